import json

import pytest

from covrr_utils.benchmarks.benchmark import (
    LabelError,
    UnknownBenchmark,
    list_benchmarks,
    load_benchmark,
    read_labels,
)

ROW = {"id": 1, "video_source": "a/1", "video_target": "a/2", "modification_text": "Kick it."}


def labels(tmp_path, data):
    path = tmp_path / "labels.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_embedded_benchmarks_load():
    assert set(list_benchmarks()) >= {"mini", "mini-val"}
    mini = load_benchmark("mini")
    assert (mini.kind, mini.exclude_reference, mini.gallery_name) == (
        "mini",
        True,
        "all clips of mini test",
    )
    assert (
        mini.head(3).triplets == mini.triplets[:3]
        and mini.head(3).gallery == mini.gallery
        and mini.head(None) is mini
    )
    assert mini.video_path("test/0001").name == "0001.mp4" and set(mini.gallery) <= set(
        mini.videos()
    )


def test_sections_and_plain_lists(tmp_path):
    sectioned = [{"webvid": [ROW]}, {"ss2": [ROW | {"video_source": 41, "video_target": 7}]}]
    one, two = read_labels(labels(tmp_path, sectioned))
    assert (one.section, two.section) == ("webvid", "ss2") and (two.reference, two.target) == (
        "ss2/41",
        "ss2/7",
    )
    assert (one.id, two.id) == ("webvid/1", "ss2/1"), "row and video ids repeat across sections"
    (plain,) = read_labels(
        labels(
            tmp_path,
            [ROW | {"video_source": "  a/1 ", "reasoned_target_video_description__main": "x"}],
        )
    )
    assert (
        plain.id == "1"
        and plain.reference == "a/1"
        and plain.extra == {"reasoned_target_video_description__main": "x"}
    )


BROKEN = {
    "not rows": ({"a": 1}, "row 0: key 'video_source' is missing; found a"),
    "not json": ("[{", "not valid JSON"),
    "row is text": ([ROW, "x"], "row 1: expected an object with the keys"),
    "missing key": (
        [{k: v for k, v in ROW.items() if k != "video_target"}, ROW],
        "row 0: key 'video_target' is missing; found id, video_source",
    ),
    "edit is a number": (
        [ROW | {"modification_text": 3}],
        "row 0: key 'modification_text': expected the edit as text, found 3",
    ),
    "empty edit": ([ROW | {"modification_text": "  "}], "expected the edit as text"),
    "source is null": (
        [ROW | {"video_source": None}],
        "key 'video_source': expected a video id such as 'folder/name', found None",
    ),
    "source is a bool": ([ROW | {"video_source": True}], "expected a video id"),
    "leads outside": (
        [ROW | {"video_source": "../../etc/passwd"}],
        "leads outside the video folder",
    ),
    "absolute": ([ROW | {"video_target": "/etc/passwd"}], "leads outside the video folder"),
    "id is null": (
        [ROW | {"id": None}],
        "row 0: key 'id': expected a text or a whole number, found None",
    ),
    "section twice": (
        [{"ss2": [ROW]}, {"ss2": [ROW | {"id": 2}]}],
        "section 'ss2' occurs more than once",
    ),
    "no rows": ([{"ss2": []}], "no rows; expected at least one triplet"),
    "tags": ([ROW | {"tags": "state"}], "key 'tags': expected a list of texts"),
    "trace": ([ROW | {"gold_trace": {"mood": []}}], "key 'gold_trace': unknown trace slots"),
    "distractors": (
        [ROW | {"distractors": ["a"]}],
        "key 'distractors': expected an object of lists",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_labels_say_where_and_what(tmp_path, case):
    data, message = BROKEN[case]
    with pytest.raises(LabelError) as caught:
        list(read_labels(labels(tmp_path, data)))
    assert message in str(caught.value) and "labels.json" in str(caught.value)


def test_what_compares_with_gold_traces_says_that_there_are_none(small_benchmark):
    load_benchmark(small_benchmark).require_gold_traces()
    labels = small_benchmark.parent / "labels.json"
    rows = json.loads(labels.read_text())
    for row in rows[0]["mini"]:
        del row["gold_trace"]
    labels.write_text(json.dumps(rows))
    with pytest.raises(
        ValueError,
        match="small has no gold traces, so nothing says which trace is right; give its json rows",
    ):
        load_benchmark(small_benchmark).require_gold_traces()


def test_unknown_benchmark_lists_the_known():
    with pytest.raises(
        UnknownBenchmark, match="unknown benchmark 'webvid'; embedded: mini, mini-val"
    ):
        load_benchmark("webvid")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"extra": 1}, "exactly the keys"),
        ({"kind": "toy"}, "expected 'mini' or 'real'"),
        ({"name": "../../elsewhere"}, "expected up to 100 letters, digits"),
        ({"name": ""}, "expected up to 100 letters, digits"),
        ({"exclude_reference": "false"}, "expected true or false, found 'false'"),
        ({"gallery": "none.json"}, "no such file, though its benchmark names it"),
    ],
)
def test_malformed_descriptors(small_benchmark, change, message):
    small_benchmark.write_text(json.dumps(json.loads(small_benchmark.read_text()) | change))
    with pytest.raises(LabelError, match=message):
        load_benchmark(small_benchmark)


def test_gallery_must_hold_every_target_once(small_benchmark):
    gallery = small_benchmark.parent / "gallery.json"
    videos = json.loads(gallery.read_text())
    target = load_benchmark(small_benchmark).triplets[0].target
    gallery.write_text(json.dumps([video for video in videos if video != target]))
    with pytest.raises(LabelError, match=f"target '{target}' of triplet .* is not in the gallery"):
        load_benchmark(small_benchmark)
    gallery.write_text(json.dumps([*videos, videos[0]]))
    with pytest.raises(LabelError, match="occurs more than once"):
        load_benchmark(small_benchmark)


def test_a_target_cannot_be_its_own_excluded_reference(small_benchmark):
    file = small_benchmark.parent / "labels.json"
    rows = json.loads(file.read_text())[0]["mini"]
    rows[2]["video_source"] = rows[2]["video_target"]
    file.write_text(json.dumps([{"mini": rows}]))
    with pytest.raises(
        LabelError, match=f"triplet {rows[2]['id']} has .* as reference and as target"
    ):
        load_benchmark(small_benchmark)
    small_benchmark.write_text(
        json.dumps(json.loads(small_benchmark.read_text()) | {"exclude_reference": False})
    )
    assert load_benchmark(small_benchmark).triplets[2].reference == rows[2]["video_target"]

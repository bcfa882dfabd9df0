"""Every published label layout, at its real size, and whatever else a file may hold."""

import csv
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.benchmarks.labels import LAYOUTS, label_sections, read_labels
from covrr_utils.benchmarks.triplets import LabelError

WEBVID = ["txt1", "txt2", "sim_txt", "pth1", "pth2", "edit", "scores"]


def write_csv(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def webvid_rows(count=2556, references=2444, both=114):
    """Rows as in the published file: every target once, references that repeat, ``both`` videos on
    both sides, two empty scores.
    """
    targets = [f"{number % 350:06d}/{1000000 + number}" for number in range(count)]
    distinct = [
        *targets[:both],
        *(f"{number % 350:06d}/{5000000 + number}" for number in range(references - both)),
    ]
    sources = [distinct[(number + 7) % references] for number in range(count)]
    scores = json.dumps([0.5, 0.25] * 7 + [1.0])
    return [
        [
            " a cat ",
            "a dog, asleep",
            "0.7",
            source,
            target,
            "make it a “dog” – quickly",
            "" if number in (2474, 2515) else scores,
        ]
        for number, (source, target) in enumerate(zip(sources, targets, strict=True))
    ]


def merged(webvid=1800, ss2=900, targets=True):
    """Two sections whose row ids and video numbers repeat, with integer sources in the second."""

    def row(number, source, target):
        rest = (
            {"video_target": target, "reasoned_target_video_description__main": "It’s broken…"}
            if targets
            else {}
        )
        return {
            "id": number,
            "video_source": source,
            "modification_text": " Kick it — now. ",
        } | rest

    return [
        {
            "webvid": [
                row(number, f"{number % 50:06d}/{number}", f"{number % 50:06d}/t{number}")
                for number in range(webvid)
            ]
        },
        {"ss2": [row(number, number, number + 100000) for number in range(ss2)]},
    ]


ROW = {"video_source": "a", "video_target": "b", "modification_text": "Make it night."}
ASKED = {key: value for key, value in ROW.items() if key != "video_target"}

# the smallest file of every layout; a new layout gets its own here
SMALLEST = {
    "webvid-csv": ",".join(WEBVID) + "\na cat,a dog,0.7,a,b,Make it night.,[0.5]\n",
    "dense-csv": "pth1,pth2,edit\na,b,Make it night.\n",
    "covr-r-json": json.dumps([ROW]),
    "sections-json": json.dumps([{"webvid": [ROW]}, {"ss2": [ROW]}]),
    "challenge-json": json.dumps([{"webvid": [ASKED]}]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_told_by_its_content(tmp_path, layout):
    """Whatever the file is called: the same triplets come from every layout, asked for or not."""
    path = tmp_path / "labels"
    path.write_text(SMALLEST[layout])
    assert label_sections(path)[0] == layout
    triplets = read_labels(path)
    assert triplets == read_labels(path, layout)
    assert [triplet.edit for triplet in triplets] == ["Make it night."] * (
        2 if layout == "sections-json" else 1
    )


def test_the_webvid_csv_at_real_size(tmp_path):
    path = write_csv(tmp_path / "webvid8m-covr_test.csv", WEBVID, webvid_rows())
    benchmark = load_benchmark(path)
    targets, references = (
        {getattr(t, side) for t in benchmark.triplets} for side in ("target", "reference")
    )
    assert (len(benchmark.triplets), len(targets), len(references), len(targets & references)) == (
        2556,
        2556,
        2444,
        114,
    )
    assert len(benchmark.gallery) == len(benchmark.videos()) == 4886
    assert (
        label_sections(path)[0] == "webvid-csv"
        and benchmark.kind == "real"
        and benchmark.name == "webvid8m-covr_test"
    )
    first = benchmark.triplets[0]
    assert (
        first.edit == "make it a “dog” – quickly"
        and len(first.extra["scores"]) == 15
        and first.reference.count("/") == 1
    )
    assert benchmark.triplets[2474].extra["scores"] == [], (
        "two rows of the published file have no scores"
    )
    assert len(load_benchmark(path, gallery="webvid-covr").gallery) == 2556


def test_the_dense_csv_with_and_without_an_index(tmp_path):
    rows = [
        [f"1/{number}", f"2/{number}", "a long edit, with a comma\nand a line break"]
        for number in range(2555)
    ]
    plain = write_csv(tmp_path / "dense.csv", ["pth1", "pth2", "edit"], rows)
    indexed = write_csv(
        tmp_path / "indexed.csv",
        ["", "pth1", "pth2", "edit"],
        [[number, *row] for number, row in enumerate(rows)],
    )
    assert read_labels(plain) == read_labels(indexed) and len(read_labels(plain)) == 2555
    assert label_sections(plain)[0] == "dense-csv"


@pytest.mark.parametrize(
    "shape", [list, lambda rows: {str(number): row for number, row in enumerate(rows)}]
)
def test_the_covr_r_json_as_list_and_as_object(tmp_path, shape):
    path = tmp_path / "reasoning.json"
    path.write_text(
        json.dumps(
            shape(
                [
                    {
                        "video_source": " 1/2.mp4 ",
                        "video_target": "1/3",
                        "modification_text": "x",
                        "video_extension": "mp4",
                        "index": 7,
                    },
                    {
                        "video_source": "1/2",
                        "video_target": "1/4",
                        "modification_text": "y",
                        "index": 7,
                    },
                ]
            )
        ),
        encoding="utf-8-sig",
    )
    one, two = read_labels(path)
    assert label_sections(path)[0] == "covr-r-json" and one.reference == two.reference == "1/2", (
        "the extension is no part of the id"
    )
    assert (one.id, two.id) == ("7", "7#2"), "an id that repeats loses no row"


def test_the_merged_json_at_real_size(tmp_path):
    path = tmp_path / "merged_webvid_ss2.json"
    path.write_text(json.dumps(merged(), ensure_ascii=False), encoding="utf-8")
    benchmark = load_benchmark(path)
    assert len(benchmark.triplets) == len(
        {t.id for t in benchmark.triplets}
    ) == 2700 and benchmark.sections == ("webvid", "ss2")
    assert (
        len(benchmark.gallery) == 5400
        and benchmark.triplets[-1].reference == "ss2/899"
        and benchmark.triplets[0].edit == "Kick it — now."
    )
    assert [benchmark.section_of(video) for video in ("webvid/1/2", "ss2/41")] == ["webvid", "ss2"]
    assert benchmark.head(5).section_of("ss2/41") == "ss2", (
        "also where no triplet of a section is left"
    )


def test_challenge_files_have_no_targets(tmp_path):
    path = tmp_path / "challenge.json"
    path.write_text(json.dumps(merged(30, 20, targets=False)))
    assert label_sections(path)[0] == "challenge-json" and {
        t.target for t in read_labels(path)
    } == {None}
    assert not load_benchmark(path).has_targets
    with pytest.raises(
        LabelError, match="these labels have no targets, so they cannot be the gallery"
    ):
        load_benchmark(path, gallery="targets")


def test_time_grows_as_the_rows_do(tmp_path):
    """Eight times the rows take about eight times the processor time, not sixty-four times."""

    def seconds(rows: int) -> float:
        path = write_csv(tmp_path / f"{rows}.csv", WEBVID, webvid_rows(rows, rows - rows // 10))
        begun = time.process_time()
        assert len(load_benchmark(path).triplets) == rows
        return time.process_time() - begun

    seconds(100)  # what is imported and compiled at the first call
    assert seconds(40_000) < 24 * seconds(5_000)


def test_duplicate_pairs_are_two_triplets(tmp_path):
    path = write_csv(tmp_path / "twice.csv", ["pth1", "pth2", "edit"], [["1/1", "1/2", "x"]] * 2)
    assert [t.id for t in read_labels(path)] == ["0", "1"] and len(
        load_benchmark(path).gallery
    ) == 2


BROKEN_CSV = {
    "no header": ("", "column 'pth1' is missing; expected pth1, pth2, edit, found no header"),
    "another table": (
        "a,b\n1,2\n",
        "column 'pth1' is missing; expected pth1, pth2, edit, found a, b",
    ),
    "no rows": ("pth1,pth2,edit\n", "no rows"),
    "too few cells": (
        "pth1,pth2,edit\n1/1,1/2,x\n1/1,x\n",
        "row 1 (line 3): 2 cells, but the header has 3 columns",
    ),
    "empty edit": (
        "pth1,pth2,edit\n1/1,1/2, \n",
        "row 0: column 'edit': expected the edit as text",
    ),
    "empty id": ("pth1,pth2,edit\n,1/2,x\n", "row 0: column 'pth1': expected a video id"),
    "scores": (
        "pth1,pth2,edit,scores\n1/1,1/2,x,high\n",
        "row 0 (line 2): column 'scores': expected a list of numbers or an empty cell",
    ),
    "column twice": ("pth1,pth2,edit,edit\n1/1,1/2,x,y\n", "column 'edit' occurs more than once"),
    "open quote": ('pth1,pth2,edit\n1/1,1/2,"x\n', "not valid CSV"),
}


@pytest.mark.parametrize("case", BROKEN_CSV)
def test_malformed_csv_says_where_and_what(tmp_path, case):
    text, message = BROKEN_CSV[case]
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(LabelError) as caught:
        read_labels(path)
    assert message in str(caught.value) and "labels.csv" in str(caught.value)


def test_a_layout_can_be_asked_for_and_must_fit(tmp_path):
    path = write_csv(tmp_path / "x.csv", WEBVID, webvid_rows(3, 3, 0))
    assert len(read_labels(path, "webvid-csv")) == 3
    with pytest.raises(LabelError, match="the content has the layout webvid-csv, not dense-csv"):
        read_labels(path, "dense-csv")
    with pytest.raises(LabelError, match="unknown label layout 'csv'; known: webvid-csv"):
        read_labels(path, "csv")
    with pytest.raises(LabelError, match="not valid JSON"):
        read_labels(path, "sections-json")
    (tmp_path / "latin.csv").write_bytes("pth1,pth2,edit\n1/1,1/2,caf\xe9\n".encode("latin-1"))
    with pytest.raises(LabelError, match="latin.csv: cannot be read as UTF-8 text"):
        read_labels(tmp_path / "latin.csv")


KEYS = st.sampled_from(
    [
        "id",
        "index",
        "video_source",
        "video_target",
        "modification_text",
        "tags",
        "gold_trace",
        "distractors",
        "webvid",
        "ss2",
        "",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1/2", "../x", "a\\b", "/x", ".mp4"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
ROWS = st.fixed_dictionaries(
    {"video_source": VALUES, "video_target": VALUES, "modification_text": VALUES},
    optional={"id": VALUES, "tags": VALUES},
)
DOCUMENTS = (
    VALUES
    | st.lists(ROWS | VALUES, max_size=4)
    | st.lists(st.dictionaries(KEYS, st.lists(ROWS, max_size=3), max_size=2), max_size=3)
)
TABLES = st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=4), max_size=4).map(
    lambda rows: "\n".join(["pth1,pth2,edit", *(",".join(cells) for cells in rows)])
)


@pytest.mark.parametrize(
    "text", ['[{"\\n": null}]', '[{"video_source": "\\u001b[31m"}]', "a\x0cb,c\n1,2"]
)
def test_an_error_is_one_line_of_printable_text(tmp_path, text):
    (tmp_path / "labels").write_text(text)
    with pytest.raises(LabelError) as error:
        read_labels(tmp_path / "labels")
    assert str(error.value).isprintable()


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=DOCUMENTS.map(json.dumps)
    | TABLES.map(lambda text: text.encode("utf-8", "replace").decode())
    | st.text(max_size=40),
    layout=st.none() | st.sampled_from(LAYOUTS),
)
def test_any_file_gives_triplets_or_one_clear_error(tmp_path, text, layout):
    path = tmp_path / "labels.any"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        triplets = read_labels(path, layout)
    except LabelError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
    else:
        assert triplets and len({t.id for t in triplets}) == len(triplets)
        for triplet in triplets:
            for video in filter(None, (triplet.reference, triplet.target)):
                assert video.encode() and ".." not in video.split("/") and not video.startswith("/")

"""Gallery protocols, and where the files of videos are found."""

import json

import pytest

from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.benchmarks.galleries import CONVENTIONS, Protocol, UnknownProtocol, protocol
from covrr_utils.benchmarks.triplets import LabelError


@pytest.fixture
def two_sections(tmp_path):
    """Labels of two sections in which names repeat, and empty files where videos would lie."""

    def row(number, source, target):
        return {
            "id": number,
            "video_source": source,
            "video_target": target,
            "modification_text": "x",
        }

    path = tmp_path / "labels.json"
    path.write_text(
        json.dumps(
            [{"webvid": [row(1, "10/1", "10/2"), row(2, "11/1", "10/3")]}, {"ss2": [row(1, 1, 2)]}]
        )
    )
    return path


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_protocols_are_read_and_written_back():
    for text in (
        "all",
        "targets",
        "folder",
        "per_section:all",
        "per_section:targets+reference",
        "all+reference",
    ):
        assert str(protocol(text)) == text
    assert protocol("per_section") == Protocol("all", True, True)
    for name, convention in CONVENTIONS.items():
        assert (
            protocol(name) == protocol(convention.protocol) and convention.where and convention.says
        )
    with pytest.raises(
        UnknownProtocol,
        match=(
            "unknown gallery 'everything': expected .*all, targets, folder.*webvid-covr, covr-r,"
            " challenge"
        ),
    ):
        protocol("everything")


def test_each_protocol_declares_its_gallery(two_sections, tmp_path):
    everything = load_benchmark(two_sections)
    assert set(everything.gallery) == {
        "webvid/10/1",
        "webvid/10/2",
        "webvid/11/1",
        "webvid/10/3",
        "ss2/1",
        "ss2/2",
    }
    assert (everything.name, everything.protocol, everything.gallery_name) == (
        "labels",
        "all",
        "all videos of the labels",
    )
    targets = load_benchmark(two_sections, gallery="targets+reference")
    assert (
        targets.gallery == ("webvid/10/2", "webvid/10/3", "ss2/2") and not targets.exclude_reference
    )
    assert targets.name == "labels@targets+reference", (
        "results of another gallery have a folder of their own"
    )
    own = load_benchmark(two_sections, gallery="per_section")
    assert own.gallery_name == "all videos of the labels, each section by itself"
    assert own.outside(["ss2/1", "webvid/10/2", "ss2/2"]) == {"webvid": {0, 2}, "ss2": {1}}
    assert everything.outside(["ss2/1"]) == {"webvid": set(), "ss2": set()}


def test_a_list_is_the_gallery_as_it_stands(two_sections, tmp_path):
    listed = {"webvid": ["10/2", "10/3", "99/9"], "ss2": [2]}
    (tmp_path / "list.json").write_text(json.dumps(listed))
    (tmp_path / "list.txt").write_text("webvid/10/2\nwebvid/10/3.mp4\n\nwebvid/99/9\nss2/2\n")
    galleries = [
        load_benchmark(two_sections, gallery=str(tmp_path / name)).gallery
        for name in ("list.json", "list.txt")
    ]
    assert galleries[0] == galleries[1] == ("webvid/10/2", "webvid/10/3", "webvid/99/9", "ss2/2")
    for text, message in (
        ("webvid/10/2\n", "target 'webvid/10/3' of triplet webvid/2 is not in the gallery"),
        ("ss2/2\nss2/2\n", "occurs more than once"),
        ("2\n", "begins with one of them: webvid, ss2"),
        ("\n", "expected a non-empty list"),
    ):
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(LabelError, match=message):
            load_benchmark(two_sections, gallery=str(tmp_path / "list.txt"))


def test_roots_per_section_nested_and_flat_in_mixed_containers(two_sections, tmp_path):
    webvid = touch(tmp_path / "w", "10/1.mp4", "2.mkv", "1.mp4")
    ss2 = touch(tmp_path / "s", "1.webm", "2.mp4")
    benchmark = load_benchmark(two_sections, videos=[f"webvid={webvid}", f"ss2={ss2}"])
    found = {video: benchmark.video_path(video) for video in benchmark.videos()}
    assert (
        found["webvid/10/1"] == webvid / "10/1.mp4" and found["webvid/10/2"] == webvid / "2.mkv"
    ), "nested first, then flat"
    assert found["ss2/1"] == ss2 / "1.webm" and found["ss2/2"] == ss2 / "2.mp4"
    assert not found["webvid/11/1"].is_file(), (
        "10/1 and 11/1 share a flat name: 1.mp4 belongs to neither of them for sure"
    )
    assert benchmark.files.ambiguous() == ["webvid/10/1", "webvid/11/1"]


def test_one_root_with_a_folder_per_section(two_sections, tmp_path):
    root = touch(tmp_path / "all", "webvid/10/2.mp4", "ss2/1.webm", "webvid/77/7.mp4")
    benchmark = load_benchmark(two_sections, videos=str(root), gallery="covr-r")
    assert (
        benchmark.video_path("ss2/1") == root / "ss2/1.webm"
        and benchmark.video_path("webvid/10/2").is_file()
    )
    assert set(benchmark.gallery) == {
        "webvid/10/2",
        "ss2/1",
        "webvid/77/7",
        "webvid/10/3",
        "ss2/2",
    }, "files of the folder and missing targets"
    touch(root, "8.mp4")
    with pytest.raises(
        LabelError, match="cannot be said to belong to one of the sections webvid, ss2"
    ):
        load_benchmark(two_sections, videos=str(root), gallery="folder")


def test_flat_files_are_the_videos_of_the_labels(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("pth1,pth2,edit\n10/1,10/2,x\n")
    root = touch(tmp_path / "flat", "1.mp4", "2.webm", "3.mp4")
    assert set(load_benchmark(path, videos=str(root), gallery="folder").gallery) == {
        "10/1",
        "10/2",
        "3",
    }


def test_folders_that_do_not_exist_are_named(two_sections, tmp_path):
    with pytest.raises(
        LabelError,
        match=(
            "'ss2=.*none': no such folder; expected DIR or SECTION=DIR, sections of these labels:"
            " webvid, ss2"
        ),
    ):
        load_benchmark(two_sections, videos=[f"ss2={tmp_path / 'none'}"])
    with pytest.raises(LabelError, match="only one common folder"):
        load_benchmark(two_sections, videos=[str(tmp_path), str(tmp_path)])

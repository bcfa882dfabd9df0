"""Files of videos as systems and clusters keep them: names, links, and what cannot be read."""

import csv
import errno
import json
import os
import shutil
import unicodedata

import pytest

from covrr_utils import paths
from covrr_utils.benchmarks import checking
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.benchmarks.checking import PRESENT, PROBE, check_videos, counts, save_report
from covrr_utils.benchmarks.labels import read_labels
from covrr_utils.benchmarks.triplets import LabelError, first_repeated
from covrr_utils.cli import main
from covrr_utils.video import access
from covrr_utils.video.clips import AV, CAUSES, DECORD, ClipError
from covrr_utils.video.readers import decode

CLIP = min((paths.mini_dir() / "videos" / "val").glob("*.mp4"))

NFC, NFD = (unicodedata.normalize(form, "caf\u00e9/d\u00e9j\u00e0") for form in ("NFC", "NFD"))


def benchmark_of(folder, names, gallery=None, **more):
    """A csv of labels in which each name is once a reference and once a target."""
    path = folder / "labels.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pth1", "pth2", "edit"])
        writer.writerows([name, names[n - 1], "Make it night."] for n, name in enumerate(names))
    (folder / "videos").mkdir(exist_ok=True)
    return load_benchmark(path, gallery, **more)


def put(folder, *names):
    for name in names:
        path = folder / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CLIP, path)


def refusal(benchmark, video):
    """The error of a video that cannot be read, None of one that can."""
    try:
        decode(benchmark.video_path(video), PROBE)
    except ClipError as error:
        return error
    return None


def causes(benchmark):
    errors = {video: refusal(benchmark, video) for video in benchmark.videos()}
    return {video: error.cause if error else PRESENT for video, error in errors.items()}


@pytest.mark.parametrize("gallery", ["all", "folder"])
def test_capitals_of_suffixes_and_forms_of_accents_are_found(tmp_path, gallery):
    put(tmp_path, "one.MP4", "two.Mp4", f"{NFD}.mp4", "sub/three.WebM")
    benchmark = benchmark_of(tmp_path, ["one", "two", NFC, "sub/three"], gallery)
    assert set(benchmark.gallery) == {"one", "two", NFC, "sub/three"}
    assert set(causes(benchmark).values()) == {PRESENT}


def test_labels_may_decompose_what_files_compose(tmp_path):
    put(tmp_path, f"{NFC}.mp4", f"{NFC}2.mp4")
    benchmark = benchmark_of(tmp_path, [NFD, NFD + "2"], "folder")
    assert benchmark.gallery == (NFD, NFD + "2") and set(causes(benchmark).values()) == {PRESENT}


def test_a_gallery_list_may_write_accents_in_its_own_way(tmp_path):
    put(tmp_path, f"{NFC}.mp4", "a.mp4")
    (tmp_path / "gallery.txt").write_text(f"{NFD}\na\n", encoding="utf-8")
    benchmark = benchmark_of(tmp_path, [NFC, "a"], str(tmp_path / "gallery.txt"))
    assert benchmark.gallery == (NFC, "a")


def test_what_a_folder_lists_is_found(tmp_path):
    names = ["plain.mp4", "CAPITALS.MKV", "two.mp4.mp4", os.fsdecode(b"caf\xe9.mp4"), "a/b/c.mov"]
    put(tmp_path, "r.mp4", *names, "._r.mp4", ".mp4", "notes.txt")
    benchmark = benchmark_of(tmp_path, ["r", "plain"], "folder")
    assert benchmark.gallery == ("CAPITALS", "a/b/c", "caf\\xe9", "plain", "r", "two.mp4")
    assert set(causes(benchmark).values()) == {PRESENT}


def test_one_bad_file_is_one_miss_with_its_own_cause(tmp_path):
    put(tmp_path, "good.mp4")
    videos = tmp_path / "videos"
    (videos / "folder.mp4").mkdir()
    os.mkfifo(videos / "pipe.mp4")
    (videos / "nowhere.mp4").symlink_to(videos / "gone.mp4")
    (videos / "circle.mp4").symlink_to(videos / "circle.mp4")
    (videos / "empty.mp4").touch()
    long = "x" * 300
    names = ["good", "folder", "pipe", "nowhere", "circle", "empty", long, "absent", "good/inside"]
    benchmark = benchmark_of(tmp_path, names)
    assert causes(benchmark) == {
        "good": PRESENT,
        "folder": "not a file",
        "pipe": "not a file",
        "nowhere": "missing",
        "circle": "missing",
        "empty": "empty file",
        long: "impossible name",
        "absent": "missing",
        "good/inside": "missing",
    }
    errors = {video: str(refusal(benchmark, video)) for video in names}
    assert errors["nowhere"].endswith("put the video there or correct the link")
    assert [video for video, error in errors.items() if "download" in error] == ["empty"]


@pytest.mark.parametrize(
    "number, cause",
    [
        (errno.EACCES, "no permission"),
        (errno.EIO, "read error"),
        (errno.ESTALE, "read error"),
        (errno.ENAMETOOLONG, "impossible name"),
    ],
)
def test_what_the_file_system_refuses_has_its_cause(tmp_path, monkeypatch, number, cause):
    """Tests may run as a user who may read everything: the refusal is injected."""

    def refused(*arguments, **more):
        raise OSError(number, os.strerror(number))

    put(tmp_path, "a.mp4")
    monkeypatch.setattr(access, "open", refused, raising=False)
    with pytest.raises(ClipError) as error:
        decode(tmp_path / "videos" / "a.mp4", PROBE)
    assert error.value.cause == cause and cause in CAUSES and "download" not in str(error.value)


def test_a_folder_that_may_not_be_looked_into_costs_its_own_videos(tmp_path, monkeypatch):
    put(tmp_path, "a.mp4", "b.mp4", "closed/c.mp4")
    closed = tmp_path / "videos" / "closed"
    scandir, stat = os.scandir, os.stat

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def scanned(path="."):
        return refuse(path) if str(path) == str(closed) else scandir(path)

    def looked_at(path, **more):
        return refuse(path) if os.path.dirname(str(path)) == str(closed) else stat(path, **more)

    monkeypatch.setattr(os, "scandir", scanned)
    monkeypatch.setattr(os, "stat", looked_at)
    benchmark = benchmark_of(tmp_path, ["a", "b", "closed/c"], "folder")
    assert benchmark.gallery == ("a", "b", "closed", "closed/c")
    assert causes(benchmark) == {
        "a": PRESENT,
        "b": PRESENT,
        "closed": "not a file",
        "closed/c": "no permission",
    }


def test_a_folder_of_other_videos_is_no_file_of_that_name(tmp_path):
    """The flat name of a nested id may be that of a folder in which others lie."""
    put(tmp_path, "10/9.mp4")
    (tmp_path / "videos" / "11").mkdir()
    benchmark = benchmark_of(tmp_path, ["10/9", "8/10", "11"])
    assert causes(benchmark) == {"10/9": PRESENT, "8/10": "missing", "11": "not a file"}


def test_links_lead_only_where_they_may(tmp_path):
    """A hub's cache keeps contents in ``blobs``; clusters link whole folders."""
    put(tmp_path, "own.mp4")
    videos, blobs, disk = tmp_path / "videos", tmp_path / "blobs", tmp_path / "disk"
    blobs.mkdir()
    shutil.copy(CLIP, blobs / "3f9a")
    (disk / "inner").mkdir(parents=True)
    shutil.copy(CLIP, disk / "inner" / "far.mp4")
    (videos / "linked.mp4").symlink_to(blobs / "3f9a")
    (videos / "class").symlink_to(disk)
    (disk / "back").symlink_to(videos)
    names = ["own", "linked", "class/inner/far"]
    refused = causes(benchmark_of(tmp_path, names))
    assert refused == {"own": PRESENT, **dict.fromkeys(names[1:], "outside the video folder")}
    listed = benchmark_of(tmp_path, names, "folder")
    assert listed.gallery == ("class", "linked", "own", "class/inner/far")
    assert causes(listed)["class"] == "outside the video folder"
    half = causes(benchmark_of(tmp_path, names, link_roots=[blobs]))
    assert half == {"own": PRESENT, "linked": PRESENT, names[2]: "outside the video folder"}
    allowed = benchmark_of(tmp_path, names, "folder", link_roots=[str(blobs), str(disk)])
    assert allowed.gallery == ("class/inner/far", "linked", "own")
    assert set(causes(allowed).values()) == {PRESENT}
    assert len({one.label for one in (listed, allowed)}) == 2, "results have a folder for each"
    with pytest.raises(LabelError, match="link root .*nowhere: no such folder"):
        benchmark_of(tmp_path, names, link_roots=[tmp_path / "nowhere"])


def test_the_shell_takes_link_roots(tmp_path, runs, monkeypatch, capsys):
    put(tmp_path, "own.mp4", "other.mp4")
    (tmp_path / "videos" / "other.mp4").rename(tmp_path / "blob")
    (tmp_path / "videos" / "other.mp4").symlink_to("../blob")
    benchmark_of(tmp_path, ["own", "other"])
    monkeypatch.setattr(checking, "WORKERS", 1)
    monkeypatch.chdir(tmp_path)
    assert main.main(["check", "labels.csv"]) == 0
    assert "outside the video folder: 1, such as other:" in capsys.readouterr().out
    assert main.main(["check", "labels.csv", "--link-roots", "."]) == 0
    out = capsys.readouterr().out
    assert "outside" not in out and "decord 2" in out


def test_the_check_says_which_reader_was_used(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(checking, "WORKERS", 1)
    put(tmp_path, "a.mp4")
    remuxed = tmp_path / "videos" / "b.mkv"
    import av

    with av.open(str(CLIP)) as source, av.open(str(remuxed), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    benchmark = benchmark_of(tmp_path, ["a", "b", "=1+1"])
    findings = check_videos(benchmark, None)
    assert {finding.video: finding.reader for finding in findings} == {
        "a": DECORD,
        "b": AV,
        "=1+1": "",
    }
    report = counts(benchmark, findings)
    assert report["readers"] == {DECORD: 1, AV: 1}
    path = save_report(report, findings, benchmark)
    assert json.loads(path.read_text())["readers"] == {DECORD: 1, AV: 1}
    with open(path.with_name("check.csv"), newline="") as file:
        rows = {row["video"]: row["reader"] for row in csv.DictReader(file)}
    assert rows == {"a": DECORD, "b": AV, "'=1+1": ""}, "no spreadsheet takes it for a formula"


def test_time_grows_with_the_labels_and_not_with_their_square(tmp_path):
    """What repeats many times is counted, not searched for."""
    count = 20_000
    rows = "".join(
        '{"id": "a", "video_source": "r", "video_target": "t", "modification_text": "x"},'
        for _ in range(count)
    )
    (tmp_path / "labels.json").write_text(f"[{rows[:-1]}]")
    ids = [triplet.id for triplet in read_labels(tmp_path / "labels.json")]
    assert ids[:3] == ["a", "a#2", "a#3"] and len(set(ids)) == count

    class Counted(str):
        compared = 0

        def __eq__(self, other):
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    assert first_repeated([*map(Counted, map(str, range(1000))), Counted("7")]) == "7"
    assert Counted.compared < 5000

"""A folder of your own videos: described by content, only what is new or changed, and searched."""

import os
import shutil

import pytest

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.benchmarks.triplets import LabelError
from covrr_utils.experiments import folders
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.folders import FolderError, VideoFolder
from covrr_utils.experiments.index import index
from covrr_utils.experiments.questions import NotIndexed
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.search import FolderSearch

CLIPS = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[:8]

OTHER = paths.mini_dir() / "videos" / "test" / "0000.mp4"


@pytest.fixture
def config(tiny_folder):
    return RunConfig(backbone=str(tiny_folder), device="cpu", batch_size=8)


@pytest.fixture
def folder(tmp_path, runs):
    """Five clips, two of them nested, one of them in capitals, and a file that is no video."""
    root = tmp_path / "holidays"
    (root / "2024" / "sea").mkdir(parents=True)
    for clip, name in zip(CLIPS, ("a.mp4", "b.MP4", "c.mp4", "2024/d.mp4", "2024/sea/e.mp4")):
        shutil.copy(clip, root / name)
    (root / "notes.txt").write_text("no video")
    return root


def indexed(folder, config, tiny):
    """A fresh look at the folder, as a new command has."""
    return index(VideoFolder(folder), config, tiny)


def test_only_what_is_new_or_changed_is_computed(folder, config, tiny, described):
    first = indexed(folder, config, tiny)
    assert (first.videos, first.described, first.computed) == (5, 5, 5)
    assert first.changes.counts() == {
        **dict.fromkeys(("changed", "moved", "removed", "same"), 0),
        "new": 5,
    }
    assert sum(described) == 5
    again = indexed(folder, config, tiny)
    assert (again.computed, again.changes.counts()["same"]) == (0, 5) and sum(described) == 5

    (folder / "a.mp4").rename(folder / "2024" / "renamed.mov")  # moved
    shutil.copy(CLIPS[5], folder / "b.MP4")  # changed
    (folder / "c.mp4").unlink()  # removed
    shutil.copy(CLIPS[6], folder / "new.mp4")
    shutil.copy(folder / "2024" / "d.mp4", folder / "copy of d.mp4")  # described already
    third = indexed(folder, config, tiny)
    counts = third.changes.counts()
    assert counts == {"new": 2, "changed": 1, "moved": 1, "removed": 1, "same": 2}
    assert third.changes.moved == ["2024/renamed.mov"] and third.changes.removed == ["c.mp4"]
    assert (third.videos, third.described, third.computed) == (6, 6, 2) and sum(described) == 7

    shutil.copy(
        CLIPS[2], folder / "back again.mp4"
    )  # what c.mp4 was: its description is still there
    assert indexed(folder, config, tiny).computed == 0 and sum(described) == 7


def test_new_copies_of_one_video_are_described_once(folder, config, tiny, described):
    for number in range(3):
        shutil.copy(CLIPS[7], folder / f"copy {number}.mp4")
    result = indexed(folder, config, tiny)
    assert result.described == 8 and sum(described) == 6


def test_a_file_that_nobody_touched_is_not_read_again(folder, config, tiny, monkeypatch):
    monkeypatch.setattr(folders, "SETTLED", -1)
    indexed(folder, config, tiny)
    read = []
    monkeypatch.setattr(folders.files, "content_hash", lambda path: read.append(path) or "0" * 16)
    assert VideoFolder(folder).update().counts()["same"] == 5 and read == []
    os.utime(folder / "a.mp4")
    assert VideoFolder(folder).update().changed == ["a.mp4"]
    assert read == [folder / "a.mp4"]


def test_a_file_that_has_just_changed_is_read_again(folder, config, tiny):
    """A clock's tick may hold two changes: times alone do not tell the second."""
    seen = VideoFolder(folder)
    seen.update()
    status = (folder / "a.mp4").stat()
    blob = bytearray((folder / "a.mp4").read_bytes())
    blob[-1] ^= 1
    (folder / "a.mp4").write_bytes(bytes(blob))
    os.utime(folder / "a.mp4", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert VideoFolder(folder).update().changed == ["a.mp4"]


def test_a_bad_file_is_one_failure_with_its_cause(folder, config, tiny, capsys):
    (folder / "broken.mp4").write_bytes(b"no video at all" * 100)
    (folder / "empty.mkv").touch()
    (folder / "out.mp4").symlink_to(CLIPS[0])
    (folder / "dir.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    result = indexed(folder, config, tiny)
    causes = {video: failure.cause for video, failure in result.failures.items()}
    assert causes == {
        "broken.mp4": "not decodable",
        "empty.mkv": "empty file",
        "out.mp4": "outside the video folder",
        "pipe.mp4": "not a file",
    }
    assert result.described == 5 and set(VideoFolder(folder).seen) >= set(causes)
    linked = index(VideoFolder(folder, [CLIPS[0].parent]), config, tiny)
    assert "out.mp4" not in linked.failures and linked.computed == 0, "a copy of a.mp4"
    assert FolderSearch(VideoFolder(folder), config, tiny).run.gallery().failures.keys() >= {
        "broken.mp4"
    }


def test_interrupted_indexing_goes_on(folder, config, tiny, described, monkeypatch):
    config = config.replace(batch_size=2)
    original = Backbone.describe

    def stopping(self, prompts, *rest, **options):
        if described:
            raise KeyboardInterrupt
        return original(self, prompts, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "describe", stopping)
        with pytest.raises(KeyboardInterrupt):
            indexed(folder, config, tiny)
    with pytest.raises(NotIndexed, match="only by none that came to its end"):
        FolderSearch(VideoFolder(folder), config, tiny)
    result = indexed(folder, config, tiny)
    assert (result.described, result.computed) == (5, 3) and sum(described) == 5


def test_what_a_run_has_described_is_not_described_again_nor_the_other_way(
    small_benchmark, runs, tiny, described, config
):
    """The same clips, as a benchmark's gallery and as a folder."""
    root = small_benchmark.parent / "videos"
    run = Run(config.replace(benchmark=str(small_benchmark)), tiny)
    run.gallery()
    count = sum(described)
    assert indexed(root, config, tiny).computed == 0 and sum(described) == count
    first, *_ = sorted(root.rglob("*.mp4"))
    first.write_bytes(OTHER.read_bytes())
    assert indexed(root, config, tiny).computed == 1
    Run(config.replace(benchmark=str(small_benchmark)), tiny).gallery()
    assert sum(described) == count + 1


def test_another_backbone_describes_the_folder_anew(folder, config, tiny):
    indexed(folder, config, tiny)
    with pytest.raises(NotIndexed, match="is not indexed by mini-1m yet, only by tiny-"):
        FolderSearch(VideoFolder(folder), config.replace(backbone="mini-1m"))
    with pytest.raises(NotIndexed, match="but not with these settings"):
        FolderSearch(VideoFolder(folder), config.replace(num_frames=2, max_new_tokens=7), tiny)


def test_a_damaged_list_of_videos_costs_no_description(folder, config, tiny, described, capsys):
    indexed(folder, config, tiny)
    VideoFolder(folder).manifest.write_text('{"format": 1, "videos"')
    result = indexed(folder, config, tiny)
    assert result.changes.counts()["new"] == 5 and result.computed == 0 and sum(described) == 5
    assert "is damaged" in capsys.readouterr().err


def test_folders_that_cannot_be_indexed(tmp_path, runs, config, tiny, folder):
    with pytest.raises(FolderError, match="no such folder; give the folder of your videos"):
        VideoFolder(tmp_path / "nowhere")
    with pytest.raises(FolderError, match="a.mp4 is a file; give the folder of your videos, such"):
        VideoFolder(folder / "a.mp4")
    (tmp_path / "bare").mkdir()
    with pytest.raises(FolderError, match="no video in this folder or below it.*mp4, .webm"):
        index(VideoFolder(tmp_path / "bare"), config, tiny)
    with pytest.raises(LabelError, match="no such folder; expected the folder to which links"):
        VideoFolder(folder, [tmp_path / "nowhere"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_and_a_file_without_permission(folder, config, tiny):
    (folder / "a.mp4").chmod(0)
    (folder / "2024").chmod(0)
    try:
        causes = {v: f.cause for v, f in indexed(folder, config, tiny).failures.items()}
        assert causes == {"a.mp4": "no permission", "2024": "not a file"}
        folder.chmod(0)
        with pytest.raises(LabelError, match="may not be looked into"):
            indexed(folder, config, tiny)
    finally:
        for path in (folder, folder / "2024", folder / "a.mp4"):
            path.chmod(0o755)

"""Clips to work on, and a work that takes any ``compute``."""

import shutil

import pytest

from covrr_utils import paths
from covrr_utils.store import prefetch
from covrr_utils.store.batches import fill
from covrr_utils.store.prefetch import Work
from covrr_utils.video.clips import Clip, Sampling


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Thirty clips of the validation split in a folder of their own."""
    folder = tmp_path_factory.mktemp("videos")
    for path in sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[:30]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def work(videos, monkeypatch):
    """Thirty things to compute and a way to start on them with any ``computes``."""
    monkeypatch.setattr(prefetch, "as_clip", lambda decoded, id_: Clip(id_, decoded.frames, None))
    files = {path.stem: path for path in sorted(videos.glob("*.mp4"))}

    def start(collection, *computes, size=4, path_of=files.__getitem__):
        fill(
            collection,
            [Work(name, name, name) for name in files],
            path_of,
            Sampling(num_frames=2),
            computes,
            size,
            "test",
        )

    start.names = list(files)
    return start

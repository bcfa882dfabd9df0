"""A notebook is done for the content of everything that it reads; each thing is changed in turn."""

import json
import os
import shutil

import pytest

from covrr_utils import paths
from covrr_utils.experiments.identity import identity
from covrr_utils.experiments.jobs import plan_jobs


@pytest.fixture
def own_data(tmp_path):
    """Labels, a gallery list, videos and a checkpoint folder of one's own: an owner of a folder of
    files. The second video is missing.
    """
    folder = tmp_path / "own"
    (folder / "videos").mkdir(parents=True)
    videos = sorted((paths.mini_dir() / "videos" / "test").glob("*.mp4"))[:2]
    shutil.copy(videos[0], folder / "videos" / "0000.mp4")
    (folder / "labels.csv").write_text("pth1,pth2,edit\n0000,0001,Make it night.\n")
    (folder / "gallery.txt").write_text("0000\n0001\n")
    (folder / "checkpoint").mkdir()
    for name in ("config.json", "tokenizer.json", "processor_config.json", "model.safetensors"):
        (folder / "checkpoint" / name).write_text("{}")
    about = json.loads((paths.mini_dir() / "mini-val.benchmark.json").read_text())
    about |= {"name": "own", "labels": "labels.csv", "gallery": "gallery.txt", "videos": "videos"}
    (folder / "own.benchmark.json").write_text(json.dumps(about))
    return folder


FOLDER = "a folder in the place of the file"


def job_on(folder, benchmark, notebook="10_any", **parameters):
    (job,) = plan_jobs(
        [str(folder / "checkpoint")], [str(folder / benchmark)], [notebook], parameters
    )
    return job


@pytest.mark.parametrize(
    ("changed", "content"),
    [
        ("videos/0001.mp4", b"came back"),
        ("videos/0000.mp4", b"other frames"),
        ("videos/0000.mp4", None),
        ("videos/0001.mp4", FOLDER),
        ("labels.csv", b"pth1,pth2,edit\n0000,0001,Make it dawn!!\n"),
        ("gallery.txt", b"0001\n0000\n"),
        ("checkpoint/model.safetensors", b"[]"),
        ("checkpoint/tokenizer.json", b"[]"),
        ("checkpoint/processor_config.json", None),
        ("checkpoint/generation_config.json", b"{}"),
    ],
)
@pytest.mark.parametrize("benchmark", ["own.benchmark.json", "labels.csv"])
def test_whatever_a_notebook_reads_decides(make_workbook, own_data, benchmark, changed, content):
    make_workbook({"10_any": "pass"})
    options = {"GALLERY": str(own_data / "gallery.txt")} if benchmark == "labels.csv" else {}
    job, path = job_on(own_data, benchmark, **options), own_data / changed
    before, kept = identity(job), path.read_bytes() if path.exists() else None
    assert identity(job) == before
    if content is None:
        path.unlink()
    elif content == FOLDER:
        path.mkdir()
    else:
        path.write_bytes(content)
    assert identity(job) != before
    if content == FOLDER:
        path.rmdir()
    elif kept is None:
        path.unlink()
    else:
        path.write_bytes(kept)
    assert identity(job) == before, "what is as it was is done as it was"


def test_a_video_of_the_same_size_and_time_is_another_video(make_workbook, own_data):
    make_workbook({"10_any": "pass"})
    job, path = job_on(own_data, "labels.csv"), own_data / "videos" / "0000.mp4"
    status, before = path.stat(), identity(job)
    other = path.with_name("other")
    other.write_bytes(bytes(status.st_size))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)
    assert identity(job) != before


def test_code_parameters_and_what_cannot_be_read_decide(make_workbook, own_data):
    root = make_workbook({"10_any": "pass", "11_other": "print(1)"})
    names = {
        identity(job_on(own_data, "labels.csv", **options))
        for options in ({}, {"SEED": 1}, {"LIMIT": 1}, {"NUM_FRAMES": 2})
    }
    names.add(identity(job_on(own_data, "labels.csv", notebook="11_other")))
    path = root / "notebooks" / "10_any.ipynb"
    path.write_text(path.read_text().replace('"pass"', '"print(2)"'))
    names.add(identity(job_on(own_data, "labels.csv")))
    (own_data / "labels.csv").write_text("no labels")
    names.add(identity(job_on(own_data, "labels.csv")))
    assert len(names) == 7


def test_relative_paths_mean_the_folder_of_the_caller(make_workbook, own_data, monkeypatch):
    make_workbook({"10_any": "pass"})
    monkeypatch.chdir(own_data)
    options = {"VIDEOS": ["videos"], "GALLERY": "per_section:gallery.txt+reference"}
    (job,) = plan_jobs(["checkpoint"], ["labels.csv"], ["10_any"], options)
    assert job.parameters == {
        "BENCHMARK": str(own_data / "labels.csv"),
        "BACKBONE": str(own_data / "checkpoint"),
        "VIDEOS": [str(own_data / "videos")],
        "GALLERY": f"per_section:{own_data / 'gallery.txt'}+reference",
    }
    monkeypatch.chdir(own_data.parent)
    before = identity(job)
    (own_data / "videos" / "0001.mp4").write_bytes(b"came back")
    assert identity(job) != before, "the videos are found from anywhere"

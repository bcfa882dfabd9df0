"""``covrr index`` and ``covrr search``: what they print, write and refuse."""

import json
import shutil

import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.cli import main
from covrr_utils.experiments.folders import VideoFolder
from covrr_utils.experiments.index import kind_of

CLIPS = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[:5]

BACKBONE = ["--backbone", "mini-1m", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path, runs):
    """Four clips, one of them nested."""
    root = tmp_path / "holidays"
    (root / "2024").mkdir(parents=True)
    for clip, name in zip(CLIPS, ("a.mp4", "b.MP4", "c.mp4", "2024/d.mp4")):
        shutil.copy(clip, root / name)
    return root


def test_embedded_backbones_say_that_they_know_ten_objects_on_other_videos(folder, capsys, runs):
    """Clips in the format of the mini world need no word, such as those that one renders oneself;
    any other video does, before any number.
    """
    assert kind_of(VideoFolder(folder)) == "mini"
    shutil.copy(_other_video(folder), folder / "2024" / "beach.mp4")
    assert kind_of(VideoFolder(folder)) == "real"
    assert main.main(["index", str(folder), "--backbone", "mini-1m", "--max-new-tokens", "1"]) == 0
    said = capsys.readouterr().err
    assert "mini-1m knows" in said and "ten" in said and "qwen3-vl-2b" in said
    assert (
        main.main(
            ["search", str(folder), "--backbone", "mini-1m", "--max-new-tokens", "1"]
            + ["--text", "a lamp", "--by", "words"]
        )
        == 0
    )
    assert "mini-1m knows" in capsys.readouterr().err, "at every search too"


def _other_video(folder):
    """A video of another size than the clips of the mini world."""
    import av

    path = folder.parent / "other.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(0, 200, 20):
            picture = np.full((48, 64, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_folder_that_is_not_indexed(folder, capsys):
    command = ["search", str(folder), "--backbone", "mini-1m", "--num-frames", "4"]
    assert main.main([*command, "--text", "a lamp"]) == 2
    said = capsys.readouterr().err
    assert f"holidays is not indexed yet; `covrr index {folder} --backbone mini-1m" in said
    assert "--num-frames 4` does that" in said
    assert said.count("\n") == 1


def test_nothing_readable_ends_with_code_one(tmp_path, runs, capsys):
    root = tmp_path / "broken"
    root.mkdir()
    (root / "x.mp4").write_bytes(b"no video at all" * 100)
    assert main.main(["index", str(root), *BACKBONE]) == 1
    assert "0 described, 0 of them now; 1 failed" in capsys.readouterr().out
    assert main.main(["search", str(root), *BACKBONE, "--text", "a lamp"]) == 2
    assert "none of the 1 videos in" in capsys.readouterr().err


def test_the_commands_for_people_and_machines(folder, capsys):
    (folder / "broken.mp4").write_bytes(b"no video at all" * 100)
    options = [str(folder), *BACKBONE]
    assert main.main(["index", *options]) == 0
    said = capsys.readouterr().out
    assert "5 videos; since the last time: 5 new, 0 changed, 0 moved, 0 removed" in said
    assert "4 described, 4 of them now; 1 failed" in said
    assert "not decodable: 1, such as broken.mp4" in said
    (folder / "b.MP4").unlink()
    assert main.main(["index", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["videos"], told["computed"], told["since"]["removed"]) == (4, 0, 1)
    assert [failure["cause"] for failure in told["failures"]] == ["not decodable"]

    shutil.copy(CLIPS[4], folder / "later.mp4")
    trace = folder.parent / "trace.txt"
    trace.write_text("states: lamp: off -> on")
    asked = ["--reference", str(folder / "a.mp4"), "--edit", "Switch it on.", "--top", "2"]
    assert main.main(["search", *options, *asked, "--trace", str(trace)]) == 0
    people = capsys.readouterr()
    assert "rank" in people.out and "best of 2 videos by alone, a.mp4 left out" in people.out
    assert "states: lamp: off -> on" in people.out
    assert "since the folder was indexed: 1 new; `covrr index" in people.err
    page = folder.parent / "pages" / "answer.html"
    (folder / "c.mp4").unlink()
    assert main.main(["search", *options, *asked, "--json", "--to", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    shown = page.read_text()
    assert told["page"] == str(page) and "After the edit: Switch it on." in shown
    for hit in told["hits"]:
        assert (folder / hit["video"]).as_uri() in shown and f"{hit['score']:.4f}" in shown
    films = 2 - any(hit["video"] == "c.mp4" for hit in told["hits"]) + 1
    assert shown.count("data:image/webp") == films, "a video that is gone has a tile instead"
    assert [hit["rank"] for hit in told["hits"]] == [1, 2] and told["left_out"] == ["a.mp4"]
    assert set(told["hits"][0]["scores"]) == {"alone", "context", "words"}


def test_mistakes_at_the_commands_are_one_line(folder, capsys):
    for arguments, message in (
        (["index"], "covrr index FOLDER needs the folder of your videos"),
        (["index", str(folder / "a.mp4")], "is a file; give the folder of your videos"),
        (["index", str(folder), "--backbone", "mini-9m"], "unknown backbone 'mini-9m'"),
        (["search", str(folder), *BACKBONE, "--edit", ""], "edit must be a text, got ''"),
        (
            ["search", str(folder), *BACKBONE, "--edit", "x"],
            "give --reference VIDEO and --edit TEXT",
        ),
        (
            ["search", str(folder), *BACKBONE, "--text", "x", "--trace", str(folder / "no.txt")],
            "no.txt could not be read",
        ),
    ):
        assert main.main(arguments) in (1, 2), arguments
        error = capsys.readouterr().err
        assert error.startswith("covrr: ") and message in error and error.count("\n") == 1

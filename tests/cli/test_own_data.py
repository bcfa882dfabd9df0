"""A label file of one's own, with its own videos, gallery and frame rate, through every command
that makes or reads a run.
"""

import json
import random
import shutil
from types import SimpleNamespace

import nbformat
import pytest

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.cli import main, runs

ROWS, GALLERY, FPS = 3, 52, "2"  # a submission names 50 videos besides the source

CHAPTER = """
from covrr_utils import RunConfig
from covrr_utils.experiments.places import run_folder
config = RunConfig.from_notebook(globals())
print(run_folder(config).parent.name, config.fps, config.strategies)
"""


def write_data(folder):
    """Three triplets of the mini benchmark under other names: labels, videos, the list of a
    gallery, and the same questions without their answers.
    """
    rows = json.loads((paths.mini_dir() / "val.json").read_text())[0]["mini"][:ROWS]
    kept = ("modification_text", "gold_trace", "distractors")
    others = [path.stem for path in sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))]
    named = [video for row in rows for video in (row["video_source"], row["video_target"])]
    named += [v for row in rows for videos in row["distractors"].values() for v in videos]
    chosen = list(dict.fromkeys([*named, *(f"val/{stem}" for stem in others)]))[:GALLERY]
    names = {video: f"clip{number:02d}" for number, video in enumerate(chosen)}
    (folder / "clips").mkdir(parents=True)
    for video, name in names.items():
        shutil.copy(paths.mini_dir() / "videos" / f"{video}.mp4", folder / "clips" / f"{name}.mp4")
    questions = [
        {
            "id": f"q{number}",
            "video_source": names[row["video_source"]],
            "modification_text": row["modification_text"],
        }
        for number, row in enumerate(rows)
    ]
    labels = [
        {key: row[key] for key in kept}
        | question
        | {
            "video_target": names[row["video_target"]],
            "distractors": {
                kind: [names[video] for video in videos]
                for kind, videos in row["distractors"].items()
            },
        }
        for row, question in zip(rows, questions)
    ]
    (folder / "labels.json").write_text(json.dumps(labels))
    (folder / "questions.json").write_text(json.dumps(questions))
    listed = sorted(names.values())
    random.Random(0).shuffle(listed)
    (folder / "gallery.txt").write_text("\n".join(listed))


@pytest.fixture(scope="module")
def own(tmp_path_factory, make_kernels_light):
    """The data, after `covrr run` with a quick notebook in the chapters' place."""
    folder = tmp_path_factory.mktemp("own")
    write_data(folder)
    root = folder / "workbook"
    (root / "notebooks").mkdir(parents=True)
    (root / "data").symlink_to(paths.data_dir())
    parameters = nbformat.v4.new_code_cell("BENCHMARK = 'mini'\nBACKBONE = 'mini-3m'\nSEED = 0")
    parameters.metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(CHAPTER)])
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(notebook, root / "notebooks" / "04_quick.ipynb")
    options = ["--videos", str(folder / "clips"), "--gallery", str(folder / "gallery.txt")]
    options += ["--fps", FPS, "--backbone", "mini-1m", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        make_kernels_light(patch)
        patch.setattr(paths, "ROOT", root)
        patch.setattr(runs, "DEFAULT_NOTEBOOKS", ("04_quick",))
        for name, place in (("ROOT", "workbook"), ("RUNS", "runs"), ("FIGURES", "figures")):
            patch.setenv(f"COVRR_{name}", str(folder / place))
        here = ["--benchmark", str(folder / "labels.json"), *options]
        code = main.main(["run", *here, "--strategies", "two_stage"])
        yield SimpleNamespace(
            folder=folder, options=options, here=here, runs=folder / "runs", code=code
        )


@pytest.fixture
def no_model(monkeypatch):
    """From here on no model answers: what is read was made by the run before."""

    def refuse(*arguments, **options):
        raise ValueError("the model would be asked")

    for asking in ("describe", "write"):
        monkeypatch.setattr(Backbone, asking, refuse)


def files(own, kind):
    """The files of one kind below the runs folder, as ``benchmark/backbone/kind/name``."""
    return sorted(
        str(path.relative_to(own.runs)) for path in own.runs.glob(f"*/*/{kind}") if path.is_file()
    )


def test_run(own):
    assert own.code == 0
    (stored,) = files(own, "results/*.json")
    benchmark, backbone, _, name = stored.split("/")
    assert benchmark.startswith("labels@list-gallery-") and backbone == "mini-1m"
    assert name.startswith("two_stage__") and "__fps-2.0" in name
    result = json.loads((own.runs / stored).read_text())
    assert result["gallery_size"] == GALLERY and result["triplets"] == ROWS
    assert result["options"] == {"fps": 2.0} and not result["failures"]
    (executed,) = own.runs.rglob("*04_quick*.ipynb")
    (output,) = nbformat.read(executed, 4).cells[-1].outputs
    assert output["text"].split(maxsplit=2) == [benchmark, "2.0", "('two_stage',)\n"]


def test_score(own, no_model, capsys):
    assert main.main(["score", *own.here, "--strategies", "two_stage"]) == 0
    shown = capsys.readouterr()
    assert f"{ROWS} of {ROWS} triplets judged" in shown.out and "no result yet" not in shown.err
    (kept,) = files(own, "quality/score__*")
    assert "score__two_stage__slots__" in kept and "__fps-2.0" in kept
    assert kept.split("/")[:2] == files(own, "results/*.json")[0].split("/")[:2]


def test_report(own, no_model, capsys):
    assert main.main(["report", *own.here, "--hits"]) == 0
    assert "no result yet" not in capsys.readouterr().err
    (page,) = files(own, "quality/*.html")
    assert "__fps-2.0" in page and (own.runs / page).read_text().count("<article") == ROWS


def test_mine(own, no_model, capsys):
    assert main.main(["mine", *own.here]) == 0
    (mined,) = files(own, "quality/distractors__*")
    assert "__fps-2.0" in mined
    rows = json.loads((own.runs / mined).read_text())
    assert set(rows) == {f"q{number}" for number in range(ROWS)}
    listed = {v for row in rows.values() for vs in row["distractors"].values() for v in vs}
    assert listed <= set((own.folder / "gallery.txt").read_text().split())


def test_submit(own, no_model, capsys):
    """The challenge's questions are other labels, but the same videos and edits: nothing is asked
    of the model a second time.
    """
    questions = str(own.folder / "questions.json")
    assert main.main(["submit", questions, *own.options]) == 0
    assert f"{ROWS} rows, valid; gallery of {GALLERY}" in capsys.readouterr().out
    (submission,) = files(own, "submission__*")
    assert submission.startswith("questions@list-gallery-") and "__fps-2.0" in submission
    rows = json.loads((own.runs / submission).read_text())
    assert [len(set(row["video_target"])) for row in rows] == [50] * ROWS
    checked = ["submit", questions, "--validate", str(own.runs / submission)]
    assert main.main(checked) == 0 and "valid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "option", "value"), [("score", "--fps", "4"), ("report", "--prompt-style", "dense")]
)
def test_another_option_is_another_run_and_the_command_says_so(
    own, no_model, capsys, command, option, value
):
    before = files(own, "*/*")
    code = main.main([command, *own.here, option, value])  # the last one given wins
    error = capsys.readouterr().err
    assert "no result yet with these options on labels@list-gallery; running now" in error
    assert code == 2 and "the model would be asked" in error
    assert files(own, "*/*") == before

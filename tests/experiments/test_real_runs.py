"""Runs as they are with real data: videos missing and corrupt, sections apart, challenge files;
with a stub in the model's place.
"""

import json
import shutil

import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import Description
from covrr_utils.backbones.identity import Identity
from covrr_utils.backbones.inspection import sampled
from covrr_utils.benchmarks import checking
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.benchmarks.naming import benchmark_label
from covrr_utils.cli import main, printing
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.submission import SubmissionError, validate


class Stub:
    """In a backbone's place: answers at once, with states that depend on the clip alone, so that
    the reference's look-alike comes first.
    """

    name, weights_hash, quantization, generated_tokens, max_new_tokens = (
        "stub",
        "0" * 16,
        None,
        0,
        8,
    )

    def __init__(self):
        from types import SimpleNamespace

        from covrr_utils.video.clips import Sampling

        self.sampling, self.model, self.asked = (
            Sampling(num_frames=2),
            SimpleNamespace(dtype="float32"),
            [],
        )

    def processing(self):
        return "stub"

    @property
    def identity(self):
        return Identity(self.name, self.weights_hash, "float32", "stub", self.sampling.to_dict(), 8)

    def describe(self, prompts, generation=None, desc=None, layers=()):
        self.asked += [prompt.text for prompt in prompts]
        found = []
        for prompt in prompts:
            picture = (
                prompt.clip.frames.mean((0, 3))[:64:4, :64:4].reshape(1, -1).astype(np.float32)
            )
            states, plain = np.repeat(picture, 2, 0), np.zeros(2, bool)
            found.append(
                Description(
                    "states: a -> b",
                    ["a", " b"],
                    np.arange(2),
                    states,
                    np.zeros(2, np.float32),
                    True,
                    plain,
                )
            )
        return found

    def write(self, prompts, generation=None, desc=None):
        return [description.text for description in self.describe(prompts)]

    def sample(self, prompts, generations, desc=None):
        return [self.write(prompts, generation) for generation in generations]


def run_on(benchmark, **options):
    config = RunConfig(
        benchmark=str(benchmark), backbone="stub", batch_size=16, pooling="mean", **options
    )
    return Run(config, Stub())


def merged(tmp_path, count):
    """Triplets over copies of 20 mini clips, in the layout of a merged file: ``count`` in each of
    two sections, videos nested and flat. The label file and the video folders.
    """
    clips = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[:20]
    (tmp_path / "w" / "10").mkdir(parents=True)
    (tmp_path / "s").mkdir()
    sections = {"webvid": [], "ss2": []}
    for number in range(count):
        for section, source, target in (
            ("webvid", f"10/{number}", f"10/{number + count}"),
            ("ss2", number, number + count),
        ):
            sections[section].append(
                {
                    "id": number,
                    "video_source": source,
                    "video_target": target,
                    "modification_text": "It’s warmer",
                }
            )
        for video in (number, number + count):
            shutil.copy(clips[video % 20], tmp_path / "w" / "10" / f"{video}.mp4")
            shutil.copy(clips[(video + 3) % 20], tmp_path / "s" / f"{video}.webm")
    path = tmp_path / "merged.json"
    path.write_text(
        json.dumps([{name: rows} for name, rows in sections.items()], ensure_ascii=False),
        encoding="utf-8",
    )
    return path, [f"webvid={tmp_path / 'w'}", f"ss2={tmp_path / 's'}"]


@pytest.fixture(autouse=True)
def two_probe(monkeypatch):
    """Two processes look at videos, on every machine: each takes longer to begin than to look."""
    monkeypatch.setattr(checking, "WORKERS", 2)


@pytest.fixture
def hundred(tmp_path):
    return merged(tmp_path, 50)


@pytest.fixture
def sixteen(tmp_path):
    return merged(tmp_path, 8)


def flags(videos):
    return [part for folder in videos for part in ("--videos", folder)]


def damage(benchmark, missing, corrupt):
    """Remove and cut short as many videos, spread over references and targets of both sections; the
    ids that were hit.
    """
    videos = benchmark.videos()
    chosen = [
        videos[place]
        for place in np.linspace(0, len(videos) - 1, missing + corrupt).round().astype(int)
    ]
    for number, video in enumerate(chosen):
        path = benchmark.video_path(video)
        path.unlink() if number < missing else path.write_bytes(path.read_bytes()[:200])
    return set(chosen[:missing]), set(chosen[missing:])


def test_seven_percent_missing_and_one_percent_corrupt(hundred, runs):
    path, videos = hundred
    whole = load_benchmark(path, videos=videos)
    missing, corrupt = damage(
        whole, round(0.07 * len(whole.videos())), round(0.01 * len(whole.videos()))
    )
    report = checking.counts(whole, checking.check_videos(whole, None))
    assert (report["videos"], report["present"], report["missing"], report["unreadable"]) == (
        200,
        184,
        14,
        2,
    )
    lost = {t.id: t for t in whole.triplets if {t.reference, t.target} & (missing | corrupt)}
    result = run_on(path, videos=videos).evaluate("single_stage")
    assert (
        result.triplets == len(result.queries) == 100
        and result.present == 100 - len(lost) == report["usable_triplets"]
    )
    causes = {row["triplet"]: row["cause"] for row in result.queries if row["cause"]}
    assert set(causes) == set(lost) and set(causes.values()) == {
        "video: missing",
        "video: not decodable",
    }
    assert sum(result.failures.values()) == len(lost) and all(
        row["rank"] is None for row in result.queries if row["cause"]
    )
    for k in ("1", "50"):
        hits = sum(row["rank"] is not None and row["rank"] <= int(k) for row in result.queries)
        assert result.recall[k] == hits / 100 and result.recall_present[k] == hits / result.present
    assert (
        result.gallery_coverage == 184 / 200
        and sum(part["triplets"] for part in result.sections.values()) == 100
    )
    line = printing.results_table([result.summary()]).splitlines()[2]
    assert (
        f"100 / {result.present}" in line
        and f"{100 * result.recall['50']:.2f} / {100 * result.recall_present['50']:.2f}" in line
    )


def test_a_failed_trace_is_a_miss_among_the_present(sixteen, runs, monkeypatch):
    path, videos = sixteen
    monkeypatch.setattr(
        Stub,
        "write",
        lambda self, prompts, generation=None, desc=None: ["no slots here"] * len(prompts),
    )
    result = run_on(path, videos=videos, limit=5).evaluate("two_stage")
    assert result.failures == {"trace: unusable trace": 5} and (
        result.triplets,
        result.present,
    ) == (5, 5)
    assert result.recall["50"] == result.recall_present["50"] == 0


def test_a_section_can_be_ranked_by_itself(sixteen, runs):
    path, videos = sixteen
    together = run_on(path, videos=videos).evaluate("single_stage")
    apart = run_on(path, videos=videos, gallery="per_section").evaluate("single_stage")
    assert all(
        {video.split("/")[0] for video in row["top"]} == {row["target"].split("/")[0]}
        for row in apart.queries
    )
    assert (
        all(one <= other for one, other in zip(apart.ranks, together.ranks))
        and apart.ranks != together.ranks
    )
    assert all(row["reference"] not in row["top"] for row in apart.queries)
    assert (apart.benchmark, apart.protocol, apart.gallery_size) == (
        benchmark_label(path, videos, "per_section"),
        "per_section:all",
        32,
    )
    assert max(apart.ranks) <= 15 and list(apart.sections) == ["webvid", "ss2"]


def test_every_style_words_gallery_and_query_alike(sixteen, runs):
    from covrr_utils.reasoning.prompts import STYLES, steps, version

    path, videos = sixteen
    for style in STYLES:
        run = run_on(path, videos=videos, limit=2, prompt_style=style, gallery="targets")
        result = run.evaluate("two_stage")
        assert (
            result.prompt_style == style
            and result.coverage == 1
            and len(set(run.backbone.asked)) == 3
        )
        gallery, *queries = [row["prompt"] for row in steps(style) if row["step"] == "describe"]
        assert all(
            prompt.endswith(gallery.removeprefix("Describe this video ")) for prompt in queries
        )
        assert {row["strategy"] for row in steps(style)} == {
            "gallery",
            "single_stage",
            "two_stage",
            "self_consistency",
            "gold_trace",
        }
    assert (
        len({version(style) for style in STYLES})
        == len({steps(style)[0]["prompt"] for style in STYLES})
        == 4
    )


def test_check_reports_what_is_there(sixteen, runs, capsys):
    path, videos = sixteen
    assert main.main(["check", *flags(videos), str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    expected = {
        "triplets": 8,
        "references": 8,
        "targets": 8,
        "videos": 16,
        "present": 16,
        "missing": 0,
        "unreadable": 0,
    }
    assert {
        name: {key: part[key] for key in expected} for name, part in report["sections"].items()
    } == {"webvid": expected, "ss2": expected}
    assert {key: report[key] for key in expected} == {
        key: 2 * count for key, count in expected.items()
    }
    damage(load_benchmark(path, videos=videos), 3, 1)
    assert main.main(["check", str(path), *flags(videos), "--gallery", "webvid-covr"]) == 0
    out = capsys.readouterr().out
    assert (
        "missing: " in out
        and "the target of every row is a candidate" in out
        and "webvid-covr = targets" in out
    )
    assert main.main(["check", str(path), *flags(videos)]) == 0
    rows = (runs / benchmark_label(path, videos) / "check.csv").read_text().splitlines()
    assert (
        len(rows) == 33
        and sum(",missing," in row for row in rows) == 3
        and sum(",not decodable," in row for row in rows) == 1
    )
    assert (
        json.loads((runs / benchmark_label(path, videos) / "check.json").read_text())[
            "usable_triplets"
        ]
        < 16
    )


@pytest.fixture
def challenge(hundred, tmp_path):
    """The same rows without their targets."""
    path, videos = hundred
    asked = ("id", "video_source", "modification_text")
    sections = [item for part in json.loads(path.read_text()) for item in part.items()]
    labels = [{name: [{key: row[key] for key in asked} for row in rows]} for name, rows in sections]
    bare = tmp_path / "challenge.json"
    bare.write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    return bare, videos


def test_check_without_videos_and_without_targets(challenge, runs, capsys):
    bare, _ = challenge
    assert main.main(["check", str(bare), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (
        report["triplets"],
        report["references"],
        report["targets"],
        report["videos"],
        report["present"],
    ) == (100, 100, 0, 100, None)
    assert {name: part["targets"] for name, part in report["sections"].items()} == {
        "webvid": 0,
        "ss2": 0,
    }
    assert main.main(["check", str(bare)]) == 0 and "give --videos DIR" in capsys.readouterr().out


def test_a_submission_is_complete_and_valid(challenge, runs, capsys, monkeypatch):
    labels, videos = challenge
    benchmark = load_benchmark(labels, videos=videos)
    assert benchmark.protocol == "per_section:folder" and len(benchmark.gallery) == 200
    benchmark.video_path("ss2/7").unlink()
    monkeypatch.setattr(Backbone, "load", lambda *arguments, **options: Stub())
    out = runs / "submission.json"
    assert (
        main.main(["submit", str(labels), *flags(videos), "--backbone", "stub", "--out", str(out)])
        == 0
    )
    assert (
        "no answer of its own, gallery order instead: ss2/7 (video: missing)"
        in capsys.readouterr().out
    )
    data = json.loads(out.read_text())
    assert [list(part) for part in data] == [["webvid"], ["ss2"]] and [
        len(rows) for part in data for rows in part.values()
    ] == [50, 50]
    row = data[1]["ss2"][3]
    assert (
        len(set(row["video_target"])) == 50
        and all(isinstance(video, int) for video in row["video_target"])
        and 3 not in row["video_target"]
    )
    assert (
        row["reasoning_trace"].startswith("states: a -> b")
        and row["modification_text"] == "It’s warmer"
    )
    assert all(video.startswith("10/") for video in data[0]["webvid"][0]["video_target"])
    assert (
        main.main(["submit", str(labels), "--validate", str(out)]) == 0
        and "valid, 100 rows" in capsys.readouterr().out
    )
    blind = run_on(labels, videos=videos)
    with pytest.raises(ValueError, match="has no targets, so there is no recall; `covrr submit`"):
        blind.evaluate("single_stage")
    assert not blind.backbone.asked, "and no video was looked at"
    assert (
        main.main(["run", "--benchmark", str(labels), *flags(videos)]) == 2
        and "has no targets" in capsys.readouterr().err
    )


SPOILED = {
    "too few": (
        lambda row: row | {"video_target": row["video_target"][:49]},
        "expected 50 video ids, found 49",
    ),
    "twice": (
        lambda row: row | {"video_target": [row["video_target"][0], *row["video_target"][:49]]},
        "occurs more than once",
    ),
    "the source": (
        lambda row: row | {"video_target": [row["video_source"], *row["video_target"][:49]]},
        "the source '.*' must not be among",
    ),
    "no trace": (
        lambda row: row | {"reasoning_trace": " "},
        "key 'reasoning_trace': expected a text",
    ),
    "another edit": (
        lambda row: row | {"modification_text": "x"},
        "what the row had must not change",
    ),
    "more keys": (
        lambda row: row | {"score": 1},
        "expected the keys id, video_source, modification_text, video_target, reasoning_trace",
    ),
    "stranger": (
        lambda row: row | {"video_target": ["99/9", *row["video_target"][:49]]},
        "'99/9' is not in the gallery",
    ),
    "not a row": (lambda row: 3, "expected the challenge's row"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_invalid_submissions_are_refused(challenge, case):
    labels, _ = challenge
    spoil, message = SPOILED[case]
    gallery = [f"webvid/10/{video}" for video in range(100)] + [
        f"ss2/{video}" for video in range(100)
    ]

    def answered(row, prefix):
        ids = [
            video for video in range(60) if video != int(str(row["video_source"]).split("/")[-1])
        ][:50]
        return row | {
            "video_target": [f"10/{video}" for video in ids] if prefix else ids,
            "reasoning_trace": "states: a",
        }

    data = [
        {name: [answered(row, name == "webvid") for row in rows]}
        for part in json.loads(labels.read_text())
        for name, rows in part.items()
    ]
    assert validate(data, labels, gallery) == 100
    data[0]["webvid"][4] = spoil(data[0]["webvid"][4])
    with pytest.raises(SubmissionError, match=f"section 'webvid', row 4: .*{message}"):
        validate(data, labels, gallery)
    with pytest.raises(SubmissionError, match="expected the sections webvid, ss2 in this order"):
        validate(data[::-1], labels, gallery)
    with pytest.raises(SubmissionError, match="section 'webvid': expected 50 rows, found 49"):
        validate([{"webvid": data[0]["webvid"][:49]}, data[1]], labels, gallery)


def test_a_gallery_too_small_for_fifty_answers_says_so(challenge, runs):
    from covrr_utils.experiments.submission import answer

    labels, videos = challenge
    with pytest.raises(
        SubmissionError, match="only 49 videos can be ranked besides the source, but 50 are needed"
    ):
        answer(run_on(labels, videos=videos, gallery="per_section:all"), "single_stage")


def test_run_parameters_of_real_runs_are_checked():
    for options, message in (
        ({"fps": 1.0, "num_frames": 8}, "give fps or num_frames, not both"),
        ({"fps": 0}, "fps must be a number above 0"),
        (
            {"prompt_style": "long"},
            "unknown prompt_style 'long'; known: slots, keyword, dense, reasoning",
        ),
        ({"num_frames": 0}, "num_frames must be"),
        ({"quantization": "2bit"}, "unknown quantization '2bit'"),
        ({"label_layout": "csv"}, "unknown label_layout 'csv'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"attention": "flash"}, "unknown attention 'flash'"),
        ({"video_pixels": 0.5}, "video_pixels must be"),
    ):
        with pytest.raises(ValueError, match=message):
            RunConfig(**options)
    assert RunConfig.from_notebook(
        {"VIDEOS": ["a=b"], "GALLERY": "targets", "FPS": 2.0}
    ).videos == ("a=b",)


def test_the_model_sees_what_the_sampling_says(tiny_folder):
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.video.decoder import read_clip

    path = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[0]
    backbone = Backbone.load(tiny_folder, device="cpu", num_frames=6, video_pixels=128 * 128 * 4)
    assert (
        backbone.sampling.num_frames == 6
        and backbone.sampling.fps is None
        and json.loads(backbone.processing())["size"]["longest_edge"] == 65536
    )
    seen = sampled(backbone, read_clip(path, backbone.sampling))
    assert (
        seen["sampled"] == len(seen["times (s)"]) == 6
        and seen["temporal patches"] == len(seen["time stamps"]) == 3
    )
    assert seen["pixels used"] <= seen["pixel budget"] == 65536 < 6 * 128 * 128
    assert [float(stamp) for stamp in seen["time stamps"]] == pytest.approx(
        np.reshape(seen["times (s)"], (3, 2)).mean(1), abs=0.06
    )
    with pytest.raises(ValueError, match="below the smallest budget of 4096"):
        backbone.sample_as(video_pixels=10)
    with pytest.raises(ValueError, match="exactly one of fps and num_frames"):
        backbone.sample_as(fps=1.0, num_frames=4)


def test_a_real_run_is_one_command_and_its_notebooks_get_the_same_options(
    sixteen, runs, monkeypatch, capsys, tmp_path
):
    path, videos = sixteen
    (tmp_path / "gallery.txt").write_text("\n".join(load_benchmark(path, videos=videos).gallery))
    seen = []
    monkeypatch.setattr(Backbone, "load", lambda *arguments, **options: Stub())
    about = dict.fromkeys(("name", "class", "dtype", "device", "weights_hash"), "stub") | {
        "parameters": 0
    }
    monkeypatch.setattr(Stub, "info", lambda self: about, False)
    monkeypatch.setattr(
        "covrr_utils.experiments.reruns.rerun",
        lambda jobs, **options: seen.extend(jobs) or (each for each in ()),
    )
    monkeypatch.chdir(tmp_path)
    given = [
        "--benchmark",
        "merged.json",
        "--videos",
        "webvid=w",
        "--videos",
        "ss2=s",
        "--gallery",
        "per_section:gallery.txt+reference",
    ]
    assert (
        main.main(
            [
                "run",
                *given,
                "--prompt-style",
                "dense",
                "--limit",
                "3",
                "--num-frames",
                "2",
                "--backbone",
                "stub",
            ]
        )
        == 0
    )
    assert "dense" in capsys.readouterr().out and len(seen) == 5
    parameters = dict(seen[0].parameters)
    config = RunConfig.from_notebook(parameters)
    assert parameters["BENCHMARK"] == str(path) and config.videos == tuple(videos), (
        "absolute: notebooks run in another folder"
    )
    assert config.gallery == f"per_section:{tmp_path / 'gallery.txt'}+reference" and (
        config.num_frames,
        config.prompt_style,
    ) == (2, "dense")
    (stored,) = runs.glob("merged@*/stub/results/two_stage*.json")
    assert "__first3__prompt_style-dense__num_frames-2__" in stored.stem
    assert stored.parents[2].name.startswith("merged@per_section-list-gallery+reference-")
    result = json.loads(stored.read_text())
    assert (
        result["options"] == {"prompt_style": "dense", "num_frames": 2}
        and result["reference_excluded"] is False
    )

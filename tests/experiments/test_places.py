"""A result is never replaced by another run's, and names stay readable."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from covrr_utils import paths
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.benchmarks.naming import benchmark_label
from covrr_utils.experiments import baselines
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.places import (
    backbone_label,
    file_name,
    name_parts,
    result_name,
    run_folder,
)
from covrr_utils.experiments.results import Method, load_results
from covrr_utils.experiments.run import Run

HEX = "[0-9a-f]{6}"


def run_on(benchmark, backbone="mini-3m", **options):
    config = RunConfig(
        benchmark=str(benchmark), backbone=str(backbone), batch_size=8, device="cpu", **options
    )
    return Run(config)


@pytest.fixture
def labels(tmp_path):
    """Two label files of one name, of two triplets each, over copies of the same four clips."""
    clips = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[:4]
    files = []
    for split, rows in (("val", "01 23"), ("test", "10 32")):
        folder = tmp_path / split
        (folder / "videos").mkdir(parents=True)
        for number, clip in enumerate(clips):
            shutil.copy(clip, folder / "videos" / f"{number}.mp4")
        lines = [f"{row[0]},{row[1]},Make it night." for row in rows.split()]
        (folder / "triplets.csv").write_text("\n".join(["pth1,pth2,edit", *lines, ""]))
        files.append(folder / "triplets.csv")
    return files


def test_embedded_names_are_as_they_always_were(runs):
    assert run_folder(RunConfig()) == runs / "mini" / "mini-3m"
    assert benchmark_label("mini") == benchmark_label(paths.mini_dir() / "mini.benchmark.json")
    assert benchmark_label("mini", gallery="per_section:targets") == "mini@per_section-targets"
    assert backbone_label(str(list_backbones()["mini-1m"])) == "mini-1m"
    assert backbone_label("qwen3-vl-8b") == backbone_label("Qwen/Qwen3-VL-8B-Instruct")
    assert backbone_label("someone/checkpoint-500") == "someone--checkpoint-500"
    assert load_benchmark("mini-val").label == "mini-val"


def test_label_files_of_one_name_have_folders_of_their_own(labels, tmp_path, runs, monkeypatch):
    val, test = (run_on(path) for path in labels)
    first = val.evaluate("single_stage")
    kept = {path: path.read_bytes() for path in val.folder.iterdir()}
    second = test.evaluate("single_stage")
    assert val.folder != test.folder and len(kept) == 2
    assert {path: path.read_bytes() for path in val.folder.iterdir()} == kept
    assert re.fullmatch(f"triplets-{HEX}", first.benchmark), "readable, and told apart in tables"
    stored = {row["benchmark"]: row["files"]["labels"] for row in load_results()}
    assert stored == {first.benchmark: str(labels[0]), second.benchmark: str(labels[1])}
    monkeypatch.chdir(labels[0].parent)
    assert benchmark_label("triplets.csv") == first.benchmark, "from wherever it is named"


def test_a_label_file_called_like_an_embedded_benchmark_is_another(labels, tmp_path, runs):
    rows = list(csv.DictReader(labels[0].open()))
    keys = {"pth1": "video_source", "pth2": "video_target", "edit": "modification_text"}
    data = [{keys[name]: value for name, value in row.items()} for row in rows]
    path = labels[0].with_name("mini.json")
    path.write_text(json.dumps(data))
    run = run_on(path)
    assert re.fullmatch(f"mini-{HEX}", run.folder.parents[1].name)
    run.evaluate("single_stage")
    assert not (runs / "mini").exists()


def test_other_videos_or_another_gallery_list_are_another_benchmark(labels, tmp_path):
    one, two = labels[0].parent / "videos", labels[1].parent / "videos"
    lists = []
    for number, folder in enumerate((one, two)):
        lists.append(folder.parent / "candidates.txt")
        lists[-1].write_text("0\n1\n2\n3\n"[: 8 - 2 * number])
    names = [
        benchmark_label(labels[0]),
        benchmark_label(labels[0], [str(one)]),
        benchmark_label(labels[0], [str(two)]),
        benchmark_label(labels[0], [f"a={one}", f"b={two}"]),
        benchmark_label(labels[0], [f"a={two}", f"b={one}"]),
        benchmark_label("mini", [str(one)]),
        *(benchmark_label(labels[0], gallery=str(path)) for path in lists),
    ]
    assert len(set(names)) == len(names)


def test_long_and_strange_names_fit_every_file_system(tmp_path, runs):
    long = [benchmark_label(tmp_path / f"{'e' * 240}{end}.csv") for end in "ab"]
    assert len(set(long)) == 2 and all(len(name.encode()) < 200 for name in long)
    accents = benchmark_label(tmp_path / f"{'é' * 110}.csv")
    assert len(accents.encode()) < 200


def test_checkpoints_of_one_name_keep_their_results_apart(labels, tmp_path, runs):
    folders = [tmp_path / name / "checkpoint-500" for name in "ab"]
    for folder, backbone in zip(folders, ("mini-1m", "mini-3m")):
        shutil.copytree(list_backbones()[backbone], folder)
    one, two = (run_on(labels[0], folder) for folder in folders)
    first = one.evaluate("single_stage")
    (path,) = one.folder.glob("*.json")
    kept = path.read_bytes()
    two.evaluate("single_stage")
    assert one.folder != two.folder and path.read_bytes() == kept
    assert re.fullmatch(f"checkpoint-500-{HEX}", first.backbone)
    assert first.files["checkpoint"] == str(folders[0])
    shutil.rmtree(folders[0])
    shutil.copytree(folders[1], folders[0])  # trained on: other weights, in the same place
    again = run_on(labels[0], folders[0])
    again.evaluate("single_stage")
    assert again.folder == one.folder and path.read_bytes() == kept
    assert len(list(one.folder.glob("*.json"))) == 2


def test_edited_labels_do_not_replace_what_was_measured_before(labels, runs):
    run_on(labels[0]).evaluate("single_stage")
    labels[0].write_text(labels[0].read_text().replace("0,1,", "1,0,"))
    run = run_on(labels[0])
    run.evaluate("single_stage")
    assert len(list(run.folder.glob("*.json"))) == 2


def test_everything_that_decides_a_result_is_in_its_name_and_its_content(few_triplets, filled_runs):
    base = run_on(few_triplets)
    results = [base.evaluate("two_stage"), base.evaluate("self_consistency", "mean")]
    for options in (
        {"max_new_tokens": 80},
        {"layers": (0.5,)},
        {"limit": 2},
        {"num_frames": 2},
        {"grammar": "lines"},
        {"scheme": "idf"},
    ):
        run = run_on(few_triplets, **options)
        results.append(run.evaluate("two_stage"))
        assert run.folder == base.folder
    for options in ({"synthesis": "model"}, {"samples": 2}, {"seed": 1}):
        results.append(base.variant(**options).evaluate("self_consistency", "mean"))
    lines = base.variant(grammar="lines", pooling="mean")
    for run in (base, lines):
        results.append(baselines.evaluate_words(run, "two_stage"))
        results.append(baselines.evaluate_reread(run, "two_stage"))
        results.append(baselines.evaluate_baseline(run, "reference description"))
    gold = {triplet.id: triplet.gold_trace for triplet in base.benchmark.triplets}
    for traces in (gold, dict(list(gold.items())[:2])):
        base.given("mine", traces)
        results.append(base.evaluate("mine"))
    names = [result_name(result) for result in results]
    assert len(set(names)) == len(names)
    assert {path.name for path in base.folder.glob("*.json")} == set(names)
    said = [{**result.summary(), "recall": None} for result in results]
    for key in ("seconds_per_query", "tokens_per_query", "coverage", "failures", "interval"):
        said = [{**summary, key: None} for summary in said]
    assert all(one != two for n, one in enumerate(said) for two in said[:n])
    assert names[0].startswith("two_stage__weighted_mean__word__predicts__seed0__")
    assert "max_new_tokens-80" in names[2] and "synthesis-model" in names[8]


def test_what_is_not_embedded_is_named_by_its_content_too():
    """Weights, processing and decoding enter the key of the store, labels their own hash."""
    method = Method("b", "m", "w", "two_stage", labels_hash="1", descriptions_key="2")
    assert name_parts(method) == ["seed0"]
    outside = replace(method, files={"checkpoint": "owner/name"})
    others = (outside, replace(outside, labels_hash="3"), replace(outside, descriptions_key="3"))
    names = [name_parts(other)[1] for other in others]
    assert len(set(names)) == 3 and all(re.fullmatch(HEX, name) for name in names)


def test_names_are_plain_and_different_things_have_different_ones():
    things = [
        ("a, b",),
        ("a-b",),
        ("a b",),
        ("A-b",),
        ("a", "b"),
        ("a__b",),
        ("../a",),
        ("a/../b",),
        (".hidden",),
        ("",),
        ("é",),
        ("e",),
        ("x" * 61,),
        ("x" * 62,),
        tuple("0123456789" * 30),
        tuple("0123456789" * 29 + "012345678x"),
    ]
    names = [file_name(*parts) for parts in things]
    assert len({name.lower() for name in names}) == len(things)
    for name in names:
        assert len(name.encode()) < 255 and Path(name).name == name and name[0] not in ".-"
        assert re.fullmatch(r"[\w.-]+\.json", name, re.ASCII)
    assert file_name("two_stage", "word", None, "seed0") == "two_stage__word__seed0.json"


def test_the_default_result_has_the_name_that_it_always_had(small_benchmark, filled_runs):
    result = run_on(small_benchmark).evaluate("two_stage", save=False)
    embedded = replace(result, files={})
    assert result_name(embedded) == "two_stage__weighted_mean__word__predicts__seed0.json"


def test_a_damaged_result_is_set_aside_and_the_others_are_read(
    small_benchmark, filled_runs, capsys
):
    run = run_on(small_benchmark)
    run.evaluate("single_stage")
    (whole,) = run.folder.glob("*.json")
    for name, text in (("cut", whole.read_text()[:99]), ("other", "{}"), ("list", "[]")):
        (run.folder / f"{name}.json").write_text(text)
    assert len(load_results()) == 1
    said = capsys.readouterr().err
    assert all(f"{name}.json is damaged" in said for name in ("cut", "other", "list"))
    assert len(list(run.folder.glob("*.damaged"))) == 3 and len(load_results()) == 1

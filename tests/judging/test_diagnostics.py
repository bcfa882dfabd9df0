"""Why triplets are missed, what hard distractors a gallery holds, and the page that shows it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from covrr_utils.benchmarks.benchmark import Triplet, load_benchmark
from covrr_utils.benchmarks.naming import benchmark_label
from covrr_utils.cli import main
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.judging.diagnostics import (
    Diagnosis,
    confusion,
    diagnose,
    misses_by_kind,
    misses_by_stage,
    wrong_in_text,
    wrong_in_trace,
    wrong_slots,
)
from covrr_utils.judging.distractors import compared_with_labels, mine
from covrr_utils.judging.failure_page import write_failure_page
from covrr_utils.judging.judges import SlotsJudge, Verdict
from covrr_utils.judging.kinds import Gallery, kind_of
from covrr_utils.judging.scoring import NoTraces, load_scores, score, summary
from covrr_utils.judging.trace_quality import counterfactual, quality_and_retrieval
from covrr_utils.mini.build import shots_of
from covrr_utils.mini.world import ACTIONS, CAMERAS, COLOURS, KINDS, LIGHTS, PLACES, TEMPI
from covrr_utils.traces.matching import slot_words, stated_share, stems
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import SLOTS, ReasoningTrace

GOLD = parse_trace(
    "states: red egg; raw -> fried\nactions: rolls -> rests\nscene: kitchen; day\ncamera:"
    " static\ntempo: fast -> slow"
)


def text(
    subject="red egg",
    state="fried",
    action="rests",
    place="kitchen",
    light="by day",
    camera="static",
    tempo="slow",
):
    return (
        f"The {subject} is {state}. It {action}. The scene is the {place} {light}. The camera is"
        f" {camera}. The tempo is {tempo}."
    )


TEXTS = {
    "target": text(),
    "reference": text(state="raw", action="rolls", tempo="fast"),
    "asked": text(action="rolls", tempo="fast"),
    "effects": text(state="raw"),
    "other": text("green mug", "empty"),
    "dark": text(light="at night"),
    "else": text("blue ice", "solid", place="beach"),
    "twin": text(),
}


def test_a_value_is_said_by_its_words_in_its_slot():
    words = slot_words(text(camera="zooming out"))
    assert (
        stated_share("camera", "zooming out", words) == 1
        and stated_share("camera", "zooming in", words) == 0.5
        and stated_share("tempo", "zooming out", words) == 0
    )
    assert stated_share("states", "", words) == 0 and stems("The eggs are frying, slowly") == (
        "egg",
        "fry",
        "slow",
    )
    prose = slot_words("A red egg frying slowly.")
    assert stated_share("tempo", "slow", prose) == stated_share("states", "red egg", prose) == 1, (
        "without five sentences every slot is the whole text"
    )
    for values in (ACTIONS, PLACES, LIGHTS, CAMERAS, TEMPI, COLOURS, tuple(KINDS), *KINDS.values()):
        assert len({stems(value) for value in values}) == len(values), (
            "no two values of the mini world look alike"
        )


def test_kinds_by_hand():
    gallery = Gallery(TEXTS)
    kinds, _ = gallery.kinds(GOLD, "Make the egg fried.")
    assert dict(zip(TEXTS, kinds)) == {
        "target": "twin",
        "reference": "unchanged",
        "asked": "literal",
        "effects": "effect_only",
        "other": "other_object",
        "dark": "near",
        "else": "unrelated",
        "twin": "twin",
    }
    kinds, _ = gallery.kinds(GOLD, "Heat the egg.")
    assert [kind for name, kind in zip(TEXTS, kinds) if name in ("asked", "effects")] == [
        "partial",
        "partial",
    ], "the words name no change"
    blurred = Gallery({"a": text("green egg", action="rolls", tempo="fast")})
    assert [str(blurred.kinds(GOLD, slack=slack)[0][0]) for slack in (0, 1)] == [
        "same_object",
        "partial",
    ]
    with pytest.raises(ValueError, match="an empty trace"):
        gallery.kinds(ReasoningTrace())


def test_mining_by_hand():
    triplet = Triplet(
        "1",
        "reference",
        "Make the egg fried.",
        "target",
        "",
        distractors={"literal": ("asked",), "near": ("else",)},
    )
    untraced = replace(triplet, id="2")
    (found,) = mine([triplet, untraced], TEXTS, {"1": GOLD})
    assert found.twins == ["twin"]
    assert found.distractors == {
        "literal": ["asked"],
        "effect_only": ["effects"],
        "other_object": ["other"],
        "near": ["dark"],
    }
    table = compared_with_labels([found], [triplet]).set_index("kind")
    assert table.loc["literal"].tolist() == [1, 1, 1, 0] and table.loc["near"].tolist() == [
        1,
        0,
        0,
        0,
    ]
    with pytest.raises(ValueError, match="per_kind must be at least 1"):
        mine([triplet], TEXTS, {"1": GOLD}, per_kind=0)


def test_mining_finds_the_constructed_distractors_of_the_mini_benchmark():
    benchmark, texts = (
        load_benchmark("mini-val"),
        {video: shot.description() for video, shot in shots_of("val").items()},
    )
    mined = mine(
        benchmark.triplets,
        texts,
        {triplet.id: triplet.gold_trace for triplet in benchmark.triplets},
    )
    table = compared_with_labels(mined, benchmark.triplets).set_index("kind")
    share = table["same kind"] / table["labelled"]
    assert table["labelled"].sum() == sum(
        len(v) for t in benchmark.triplets for v in t.distractors.values()
    )
    assert (share[["literal", "effect_only", "near"]] > 0.9).all() and share[
        "other_object"
    ] > 0.8, "where the descriptions are true"
    assert table["twin"].sum() == 0 and not any(item.twins for item in mined), (
        "no two clips of a split show the same"
    )
    for item, triplet in zip(mined, benchmark.triplets):
        assert not {triplet.reference, triplet.target} & {
            video for videos in item.distractors.values() for video in videos
        }


def test_what_is_wrong_where():
    trace = replace(GOLD, states=("red egg", "raw -> cracked"), tempo=("slow",))
    assert wrong_in_trace(trace, GOLD) == ("states", "tempo") and wrong_in_text(
        text(light="at night", tempo="fast"), GOLD
    ) == ("scene", "tempo")
    labelled = Triplet(
        "1",
        "reference",
        "Heat the egg.",
        "target",
        "",
        gold_trace=GOLD,
        distractors={"literal": ("dark",)},
    )
    assert kind_of(labelled, "dark", TEXTS) == "literal", "labels come before descriptions"
    assert (
        kind_of(labelled, "other", TEXTS) == "other_object"
        and kind_of(labelled, "unseen", TEXTS) == "unexplained"
    )
    assert kind_of(replace(labelled, gold_trace=None), "other", TEXTS) == "unexplained"


def test_shares_of_misses():
    def diagnosis(rank, kind, trace=(), spoken=(), target=()):
        return Diagnosis("1", rank, None, "x", kind, trace, spoken, target)

    found = [
        diagnosis(1, None),
        diagnosis(2, "literal", ("tempo",), ("tempo",)),
        diagnosis(3, "literal", target=("tempo",)),
        diagnosis(4, "near"),
    ]
    found += [
        diagnosis(None, "failed", None, None, None),
        diagnosis(2, "unexplained", None, None, None),
    ]
    by_kind = misses_by_kind(found).set_index("kind")
    assert by_kind.loc["literal", ["n", "share", "misses"]].tolist() == [2, 40, 5] and by_kind[
        "share"
    ].sum() == pytest.approx(100)
    assert by_kind.loc["literal", "low"] < 40 < by_kind.loc["literal", "high"]
    assert dict(misses_by_stage(found)[["stage", "n"]].values) == {
        "trace": 1,
        "gallery": 1,
        "embedding": 1,
        "failed": 1,
        "unexplained": 1,
    }
    slots = wrong_slots(found).set_index("slot")
    assert (
        slots.loc["tempo", "trace, misses"] == pytest.approx(100 / 3)
        and slots.loc["tempo", "trace, hits"] == 0
    )
    assert misses_by_kind(found[:1]).empty


def test_quality_and_retrieval_by_hand():
    class Ranks:
        ranks = [1, 1, 1, 4, 9, None]
        queries = ranks

    with pytest.raises(ValueError, match="both must come from the same run"):
        quality_and_retrieval(summary(SlotsJudge(), [], "s", "b", "k"), Ranks)
    scores = summary(
        SlotsJudge(),
        [Verdict(str(i), value) for i, value in enumerate((9.0, 9.0, 8.0, 5.0, 4.0, 0.0))],
        "s",
        "b",
        "k",
    )
    relation, groups = quality_and_retrieval(scores, Ranks)
    assert 0.8 < relation["spearman"] <= relation["high"] <= 1 and relation["n"] == 6
    assert (
        groups["n"].tolist() == [2, 2, 2]
        and groups["R@1"].is_monotonic_increasing
        and groups["score"].tolist()[0].startswith("0.0")
    )
    mostly_perfect = summary(
        SlotsJudge(),
        [Verdict(str(i), value) for i, value in enumerate((10.0, 10.0, 10.0, 10.0, 4.0, 0.0))],
        "s",
        "b",
        "k",
    )
    assert quality_and_retrieval(mostly_perfect, Ranks)[1]["n"].tolist() == [1, 1, 4], (
        "what is as good as the best third belongs to it"
    )
    all_alike = summary(SlotsJudge(), [Verdict(str(i), 10.0) for i in range(6)], "s", "b", "k")
    assert quality_and_retrieval(all_alike, Ranks)[1]["n"].tolist() == [6]


def test_a_run_is_diagnosed_shown_and_questioned(small_benchmark, filled_runs, tmp_path):
    benchmark = load_benchmark(small_benchmark)
    gone = benchmark.triplets[0]
    benchmark.video_path(gone.reference).unlink()
    benchmark.video_path(
        benchmark.triplets[1].distractors[next(iter(benchmark.triplets[1].distractors))][0]
    ).write_bytes(b"")
    labels = json.loads((small_benchmark.parent / "labels.json").read_text())
    labels[0]["mini"][1]["modification_text"] = "<script>alert(1)</script> Heat it."
    (small_benchmark.parent / "labels.json").write_text(json.dumps(labels))
    run = Run(RunConfig(benchmark=str(small_benchmark), device="cpu"))
    result = run.evaluate("two_stage")
    assert (
        result.validity["texts"] + result.validity["unwritten"] == 6
        and result.validity["unwritten"] == 1
    )
    assert run.evaluate("single_stage").validity is None
    found = diagnose(run, result)
    assert (found[0].kind, found[0].stage, found[0].rank) == ("failed", "failed", None) and len(
        found
    ) == 6
    graded = score(run, "two_stage", SlotsJudge())
    assert (
        graded.triplets == graded.judged == 6
        and graded.causes == {"video: missing": 1}
        and graded.verdicts[0].score == 0
    )
    with pytest.raises(NoTraces, match="'outcome' scores its descriptions"):
        score(run, "single_stage", SlotsJudge())
    assert set(confusion(run, "two_stage").columns) == {"slot", "gold", "predicted", "n"}

    page = write_failure_page(run, result, hits=True).read_text()
    assert (
        page.count("<article") == 6
        and "&lt;script&gt;alert(1)" in page
        and "<script>alert" not in page
    )
    assert (
        "never ranked (video: missing)" in page
        and f"{gone.reference}: missing" in page
        and "measured here, mini" in page
    )
    strips = re.findall(r"url\((data:image/webp[^)]*)\)", page)
    assert len(strips) == len(set(re.findall(r'class="film (v\d+)"', page))), "every video once"
    assert not re.search(r"src=|href=\"(?!#)|url\((?!data:)|https?:", page), (
        "nothing is fetched from anywhere"
    )
    misses = write_failure_page(run, result, to=tmp_path / "misses.html").read_text()
    assert misses.count("<article") == sum(not diagnosis.hit for diagnosis in found)

    table = counterfactual(run).set_index("slot")
    wrong = {slot: sum(slot in (d.trace_wrong or ()) for d in found) for slot in SLOTS}
    assert table["replaced"].to_dict() == wrong and (table["R@1"] == 100 * result.recall["1"]).all()
    gold = {t.id: t.gold_trace for t in run.benchmark.triplets}
    given = run.given("all gold", gold)
    assert (
        set(given) == {t.id for t in run.benchmark.triplets} - {gone.id}
        and given.failures[gone.id].cause == "missing"
    )
    same = run.queries("gold_trace")
    assert {id_: query.text for id_, query in given.items()} == {
        id_: query.text for id_, query in same.items()
    }
    assert run.given("none", {}).failures[benchmark.triplets[2].id].cause == "no trace given"
    with pytest.raises(ValueError, match="'two_stage' is a strategy"):
        run.given("two_stage", gold)


def test_the_commands(small_benchmark, filled_runs, capsys, tmp_path):
    shared = ["--benchmark", str(small_benchmark)]
    assert main.main(["score", *shared, "--sabotage", "--against", "overlap"]) == 0
    said = capsys.readouterr().out
    assert (
        "single_stage writes no traces" in said
        and "on 0-10 by slots (slots-1), 6 of 6 triplets judged" in said
    )
    assert (
        "agreement with overlap (overlap-1)" in said and "empty: 0.00" in said and "valid, " in said
    )
    assert main.main(["score", *shared, "--judge", "outcome", "--json"]) == 0
    rows = {row["strategy"]: row for row in json.loads(capsys.readouterr().out)}
    assert (
        set(rows) == {"single_stage", "two_stage"}
        and 0 <= rows["single_stage"]["mean"] <= 10
        and rows["two_stage"]["version"] == "outcome-1"
    )
    assert main.main(["score", *shared, "--strategies", "gold_trace", "--limit", "2"]) == 0
    assert (
        "gold_trace: 10.00" in (said := capsys.readouterr().out)
        and "one of the two does not vary" in said
    )
    assert (
        main.main(["report", *shared, "--to", str(tmp_path / "page.html")]) == 0
        and (tmp_path / "page.html").is_file()
    )
    assert "open it in a browser" in capsys.readouterr().out
    assert (
        main.main(["mine", *shared, "--to", str(tmp_path / "mined.json")]) == 0
        and "labelled distractors found" in capsys.readouterr().out
    )
    assert set(json.loads((tmp_path / "mined.json").read_text())) == {
        triplet.id for triplet in load_benchmark(small_benchmark).triplets
    }
    assert main.main(["results"]) == 0 and "valid traces" in capsys.readouterr().out, (
        "what else lies in the run's folder is no result"
    )
    stored = {(row["benchmark"], row["strategy"], row["judge"]) for row in load_scores()}
    assert stored == {
        (benchmark_label(small_benchmark), *pair)
        for pair in (
            ("two_stage", "slots"),
            ("gold_trace", "slots"),
            ("single_stage", "outcome"),
            ("two_stage", "outcome"),
        )
    }
    for arguments, message in (
        (["score", *shared, "--judge", "endpoint"], "needs --model NAME and --url ADDRESS"),
        (["mine", *shared, "--traces", "single_stage"], "no traces from 'single_stage'"),
        (["score", *shared, "--grammar", "xml"], "unknown grammar 'xml'; known: lines, json"),
    ):
        assert main.main(arguments) == 2 and message in capsys.readouterr().err


def test_constrained_runs_are_kept_apart(few_triplets, filled_runs):
    free, bound = (
        Run(RunConfig(benchmark=str(few_triplets), device="cpu", grammar=grammar))
        for grammar in (None, "json")
    )
    one, two = free.evaluate("two_stage"), bound.evaluate("two_stage")
    assert (one.grammar, two.grammar) == (None, "json") and two.validity["rate"] == 1.0
    assert all(
        query.written.startswith('{"states"') for query in bound.queries("two_stage").values()
    )
    assert len(list(free.folder.glob("two_stage*.json"))) == 2 and np.isfinite(two.recall["1"])

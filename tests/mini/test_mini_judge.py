"""The mini judge: what it was told is right, what it says is close to it, and it rejects what is
wrong.
"""

import json
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from filling import filling_run

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.constraint import compile_form
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.registry import judge_models
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.cli import main
from covrr_utils.judging.judges import Case, SlotsJudge
from covrr_utils.judging.model_judge import backbone_judge
from covrr_utils.judging.rubric import DIMENSIONS, HEAD, Rubric, rubric_schema
from covrr_utils.judging.sabotage import sabotaged
from covrr_utils.judging.scoring import judged
from covrr_utils.mini import judgements
from covrr_utils.mini.build import held_out_shots, shots_of
from covrr_utils.mini.captions import read_description
from covrr_utils.mini.judge_card import NAME, card
from covrr_utils.mini.judge_opinions import chosen_cases, opinion_rows, tables
from covrr_utils.mini.recipes import JUDGE_RECIPES
from covrr_utils.reasoning import prompts
from covrr_utils.retrieval import metrics
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.decoder import read_clip

# how many of the traces chapter 08 has judged: the answers that are kept serve it as well
WRITTEN, SPOILED = 120, 24

GOLD = parse_trace(
    "states: red egg; raw -> fried\nactions: rolls -> rests\nscene: kitchen; day\ncamera:"
    " static\ntempo: fast -> slow"
)


def scores(**changed):
    return judgements.rubric_scores(replace(GOLD, **changed), GOLD)


def test_the_numbers_by_hand():
    assert scores() == dict.fromkeys(DIMENSIONS, 10)
    # half of the states are right; of 8 assertions 7 hold afterwards; 2 of 3 changes are found, one
    # more is said
    wrong = scores(states=("red egg", "raw -> cracked"))
    assert wrong == dict.fromkeys(DIMENSIONS, 10) | {
        "state": 5,
        "effect_factuality": 9,
        "causality": 7,
    }
    # nothing is said to change: what holds after is wrong thrice in 8, what held before is right
    still = judgements.rubric_scores(
        parse_trace(
            "states: red egg; raw\nactions: rolls\nscene: kitchen; day\ncamera: static\ntempo: fast"
        ),
        GOLD,
    )
    assert still == dict.fromkeys(DIMENSIONS, 10) | {
        "state": 5,
        "action": 0,
        "tempo": 0,
        "effect_factuality": 6,
        "causality": 0,
    }
    noisy = scores(tempo=("fast -> slow", "feels happy", "fast -> slow"))
    assert (noisy["observability"], noisy["concision"], noisy["tempo"]) == (9, 9, 7) and noisy[
        "step_consistency"
    ] == 9
    assert set(judgements.rubric_scores(ReasoningTrace(), GOLD).values()) == {0}


def test_judgements_are_seeded_well_formed_and_keep_away_from_the_benchmark():
    held_out = held_out_shots()
    one, again, other = (
        judgements.judgements(random.Random(seed), held_out, 40) for seed in (1, 1, 2)
    )
    assert one == again != other and one[0] not in held_out and len(one[1]) == 40
    captions = {shot.description() for shot in held_out}
    seen = [0] * 11
    for case, answer in one[1] + other[1]:
        assert not captions & {
            line.split(": ", 1)[1]
            for line in case.splitlines()
            if line.startswith(("Before: ", "After: "))
        }
        for value in Rubric.model_validate_json(answer).model_dump().values():
            seen[value] += 1
    assert seen[0] > 20 and seen[10] > 200 and sum(seen[1:10]) > 50, (
        "right, wrong and half right are all practised"
    )


def test_prompt_and_answer_have_the_form_that_inference_has():
    tokenizer = Backbone.load("mini-3m", device="cpu").processor.tokenizer
    _, asked = judgements.judgements(random.Random(3), frozenset(), 3)
    compiled = compile_form(rubric_schema(), tokenizer, len(tokenizer), [tokenizer.eos_token_id])
    import xgrammar

    for case, answer in asked:
        assert (
            tokenizer(HEAD + case)["input_ids"]
            == tokenizer(HEAD)["input_ids"] + tokenizer(case)["input_ids"]
        )
        matcher = xgrammar.GrammarMatcher(compiled.grammar)
        assert (
            all(matcher.accept_token(token) for token in tokenizer(answer)["input_ids"])
            and matcher.is_completed()
        )


def test_the_card_is_what_its_command_writes():
    folder = paths.judges_dir() / NAME
    assert judge_models() == {NAME: folder}
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(50, JUDGE_RECIPES[NAME].steps + 1, 50)), (
        "the log is that of the whole training"
    )
    shown = (pd.read_csv(folder / f"{name}.csv") for name in ("agreement", "dimensions"))
    parameters = Backbone.load(NAME, device="cpu").parameters()
    assert (folder / "README.md").read_text() == card(*shown, parameters, log[-1]["seconds"])


def test_the_cards_tables_are_made_of_its_judgements():
    folder = paths.judges_dir() / NAME
    agreement, dimensions = tables(pd.read_csv(folder / "opinions.csv", dtype={"triplet": str}))
    pd.testing.assert_frame_equal(agreement, pd.read_csv(folder / "agreement.csv"))
    pd.testing.assert_frame_equal(dimensions, pd.read_csv(folder / "dimensions.csv"))


def test_the_cards_judgements_are_what_a_run_measures():
    """The first judgements of each kind are asked for again; all it is asked about is that of a
    whole run.
    """
    said = pd.read_csv(paths.judges_dir() / NAME / "opinions.csv", dtype={"triplet": str})
    said = said[said["backbone"] == "mini-3m"].drop(columns="backbone")
    run = filling_run()
    cases = chosen_cases(run)
    asked = {
        kind: traces[: WRITTEN if kind == "as written" else SPOILED]
        for kind, traces in cases.items()
    }
    again = opinion_rows(run, Backbone.load(NAME, device="cpu"), asked)
    assert {kind: len(traces) for kind, traces in cases.items()} == {
        "as written": 400,
        "another's": 100,
        "slots mixed up": 100,
        "nothing changes": 100,
    }
    assert len(said) >= 0.99 * sum(map(len, cases.values()))
    both = again.merge(said, on=["traces", "triplet"], suffixes=("", " said"))
    assert len(both) >= 0.99 * len(again) >= 0.98 * sum(map(len, asked.values()))
    # another processor rounds differently: a trace of the backbone, or a number, may change
    for name in [*DIMENSIONS, *(f"right: {name}" for name in DIMENSIONS), "slots", "like"]:
        assert np.mean(both[name] == both[f"{name} said"]) >= 0.97, name


def test_the_guide_says_what_the_card_says():
    text = " ".join((paths.ROOT / "docs" / "reasoning-score.md").read_text().split())
    rows = pd.read_csv(paths.judges_dir() / NAME / "agreement.csv").set_index(
        ["backbone", "traces"]
    )
    sizes = [rows.loc[(backbone, "as written")] for backbone in ("mini-1m", "mini-3m", "mini-10m")]
    another, mixed, still, everything = (
        rows.loc[("mini-3m", kind)]
        for kind in ("another's", "slots mixed up", "nothing changes", "all of these")
    )
    rho = "{rho:.2f} [{low:.2f}, {high:.2f}]".format
    assert (
        "gives the same traces {:.2f}, {:.2f} and {:.2f}".format(*(row["score"] for row in sizes))
        in text
    )
    assert (
        f"another clip's {another['score']:.2f}, mixed-up ones {mixed['score']:.2f}" in text
        and f"unchanged ones {still['score']:.2f}" in text
    )
    assert (
        "rho {}, {} and {}".format(*(rho(**row) for row in sizes)) in text
        and f"of `mini-3m` meet, {rho(**everything)}" in text
    )
    assert round(1 / another["7 or more"]) == 8


def test_the_judge_is_no_backbone():
    benchmark, model = load_benchmark("mini"), Backbone.load(NAME, device="cpu")
    clips = [
        read_clip(benchmark.video_path(t.reference), model.sampling, t.reference)
        for t in benchmark.triplets[:2]
    ]
    texts = model.write(
        [Prompt(clip, prompts.describe()) for clip in clips], Generation(max_new_tokens=60)
    )
    assert not any(read_description(text) for text in texts), (
        "the card says that it has forgotten how to describe"
    )


@pytest.fixture(scope="module")
def asked():
    """Sabotage of the first gold traces of the benchmark, and the judge's verdicts on each kind.
    Most of these traces are what the backbone wrote, too, and are judged once.
    """
    benchmark, shots = load_benchmark("mini"), shots_of("test")
    cases = [
        Case(
            t.id,
            t.edit,
            t.gold_trace,
            gold=t.gold_trace,
            before=shots[t.reference].description(),
            after=shots[t.target].description(),
            reference=t.reference,
        )
        for t in benchmark.triplets[:SPOILED]
    ]
    model = Backbone.load(NAME, device="cpu")
    judge = backbone_judge(
        model, lambda video: read_clip(benchmark.video_path(video), model.sampling, video)
    )
    return {
        kind: list(zip(traces, judged(judge, traces))) for kind, traces in sabotaged(cases).items()
    }


def test_the_judge_likes_gold_and_rejects_sabotage(asked):
    mean = {kind: np.mean([verdict.score for _, verdict in pairs]) for kind, pairs in asked.items()}
    assert mean["as written"] > 9
    assert (
        mean["another's"] < 6
        and mean["slots mixed up"] < 5
        and mean["nothing changes"] < mean["as written"] - 1
        and mean["empty"] == 0
    )


def test_the_judge_says_what_it_was_told_to_say(asked):
    pairs = [pair for kind, pairs in asked.items() if kind != "empty" for pair in pairs]
    right = [
        verdict.parts[name] == number
        for case, verdict in pairs
        for name, number in judgements.rubric_scores(case.trace, case.gold).items()
    ]
    assert np.mean(right) > 0.8
    exact = [SlotsJudge().verdict(case).score for case, _ in pairs]
    assert metrics.rank_correlation([verdict.score for _, verdict in pairs], exact)[1] > 0.5


def test_the_command_line_knows_the_judge(small_benchmark, runs, capsys):
    shared = [
        "score",
        "--benchmark",
        str(small_benchmark),
        "--strategies",
        "two_stage",
        "--judge",
        "backbone",
    ]
    assert main.main([*shared, "--model", NAME, "--against", "slots", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (
        row["judge"] == f"model:{NAME}"
        and row["agreement"]["second"] == "slots (slots-1)"
        and set(row["parts"]) == set(DIMENSIONS)
    )
    assert (
        main.main(shared) == 2
        and f"or for the mini world an embedded judge ({NAME})" in capsys.readouterr().err
    )

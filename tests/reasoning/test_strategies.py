import subprocess
import sys
from dataclasses import replace

import pytest

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.generation import Generation
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.reasoning.settings import Settings
from covrr_utils.reasoning.strategies import STRATEGIES, UnknownStrategy, strategy, vote
from covrr_utils.reasoning.validity import trace_texts, validity
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import TraceError
from covrr_utils.video.decoder import read_clip

WITHOUT_TRACE = {"single_stage"}  # the strategies that write no trace

SETTINGS = Settings(Generation(max_new_tokens=96), samples=3)


@pytest.fixture(scope="module")
def backbone():
    return Backbone.load("mini-3m", device="cpu")


@pytest.fixture(scope="module")
def items(backbone):
    benchmark = load_benchmark("mini-val")
    return [
        (t, read_clip(benchmark.video_path(t.reference), backbone.sampling, t.reference))
        for t in benchmark.triplets[:3]
    ]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_ends_in_a_description_per_triplet(backbone, items, name):
    queries, failures = strategy(name)(backbone, items, SETTINGS)
    assert [query.triplet for query in queries] == [
        triplet.id for triplet, _ in items
    ] and failures == []
    assert all(query.description.text for query in queries)
    assert [query.trace is None for query in queries] == [name in WITHOUT_TRACE] * 3
    if name == "gold_trace":
        assert [query.trace for query in queries] == [triplet.gold_trace for triplet, _ in items]
    assert [len(query.samples) for query in queries] == [3 if name == "self_consistency" else 0] * 3


def test_an_unusable_trace_fails_its_row_alone(backbone, items, monkeypatch):
    real = backbone.write
    # also when asked again
    monkeypatch.setattr(backbone, "write", lambda *args: ["no idea", *real(*args)[1:]])
    queries, failures = strategy("two_stage")(backbone, items, SETTINGS)
    assert [query.triplet for query in queries] == [triplet.id for triplet, _ in items[1:]]
    assert [(f.id, f.stage, f.cause) for f in failures] == [
        (items[0][0].id, "trace", "unusable trace")
    ]


@pytest.mark.parametrize("name", ["two_stage", "self_consistency"])
def test_what_holds_no_trace_is_asked_for_again_in_form(backbone, items, name, monkeypatch):
    real = backbone.write
    monkeypatch.setattr(
        backbone,
        "write",
        lambda asked, generation, *rest: (
            real(asked, generation) if generation.grammar else ["no idea"] * len(asked)
        ),
    )
    monkeypatch.setattr(
        backbone,
        "sample",
        lambda asked, generations, *rest: [backbone.write(asked, one) for one in generations],
    )
    queries, failures = strategy(name)(backbone, items, SETTINGS)
    assert failures == [] and all(query.retried and query.trace.states for query in queries)
    assert [query.written for query in queries] == [
        "no idea" if name == "two_stage" else None
    ] * 3, "what was written first is kept"
    queries, failures = strategy(name)(
        backbone, items, Settings(SETTINGS.generation, samples=3, grammar="lines")
    )
    assert failures == [] and not any(query.retried for query in queries)


def test_a_slot_that_is_lost_is_asked_for_again_and_the_others_stay(backbone, items, monkeypatch):
    real = backbone.write
    text = "States: raw -> fried\nactions: rolls -> rests\nscene: kitchen\nCamera and tempo: slow"
    monkeypatch.setattr(
        backbone,
        "write",
        lambda asked, generation, *rest: (
            real(asked, generation) if generation.grammar else [text, *real(asked, generation)[1:]]
        ),
    )
    queries, failures = strategy("two_stage")(backbone, items, SETTINGS)
    assert failures == [] and [query.retried for query in queries] == [True, False, False]
    trace, gold = queries[0].trace, items[0][0].gold_trace
    assert trace.states == ("raw -> fried",) and queries[0].written == text
    assert (trace.camera, trace.tempo) == (gold.camera, gold.tempo)


def test_a_limit_too_small_for_any_trace_is_said_and_ends_nothing(backbone, items, capsys):
    settings = replace(SETTINGS, generation=Generation(max_new_tokens=4))
    queries, failures = strategy("two_stage")(backbone, items, settings)
    assert len(queries) + len(failures) == len(items)
    assert all(query.trace.missing() and not query.retried for query in queries)
    assert "not asked for again under a grammar: max_new_tokens is 4" in capsys.readouterr().err


def test_vote_takes_the_majority_slot_by_slot():
    texts = [
        "states: a -> b\ntempo: slow",
        "states: a -> c\ntempo: fast",
        "states: a -> c\ntempo: slow",
        "gibberish",
    ]
    assert vote(texts) == parse_trace("states: a -> c\ntempo: slow")
    assert vote(texts[:2]) == parse_trace(texts[0]), "a tie goes to the earlier trace"
    with pytest.raises(TraceError, match="none of the 2 sampled texts"):
        vote(["x", "y"])


def test_bad_names_and_numbers():
    with pytest.raises(
        UnknownStrategy,
        match=(
            "unknown strategy 'three_stage'; known: single_stage, two_stage, self_consistency,"
            " gold_trace"
        ),
    ):
        strategy("three_stage")
    with pytest.raises(ValueError, match="unknown synthesis"):
        Settings(synthesis="mix")
    with pytest.raises(ValueError, match="at least 1"):
        Settings(samples=0)


def test_an_empty_answer_counts_as_unusable():
    assert trace_texts("", []) == [""] and trace_texts(None, ["a", "b"]) == ["a", "b"]
    assert validity([""], [])["unusable"] == 1


def test_the_names_of_the_strategies_are_known_without_torch():
    """The command line takes its choices from them, and ``--help`` must not wait for torch."""
    program = (
        "import sys; from covrr_utils.reasoning.strategies import STRATEGIES;"
        " from covrr_utils.reasoning.settings import SYNTHESES;"
        " from covrr_utils.backbones.registry import list_backbones; list_backbones();"
        " print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr

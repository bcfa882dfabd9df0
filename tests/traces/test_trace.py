import doctest
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covrr_utils.reasoning import prompts
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError, split_assertion

TRACE = ReasoningTrace(
    ("red egg", "raw -> fried"),
    ("rests",),
    ("kitchen", "day -> night"),
    ("static -> close-up",),
    ("slow",),
)


def test_text_reads_back():
    assert parse_trace(TRACE.text()) == TRACE
    assert ReasoningTrace.from_dict(TRACE.to_dict()) == TRACE


def test_rows_and_after():
    assert ("states", "raw", "fried") in TRACE.rows() and ("tempo", "slow", "slow") in TRACE.rows()
    after = {
        "states": ("red egg", "fried"),
        "actions": ("rests",),
        "scene": ("kitchen", "night"),
        "camera": ("close-up",),
        "tempo": ("slow",),
    }
    assert TRACE.after() == after


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here it is:\n```\nstates: raw → fried\nTempo: slow => fast\n```",
        "- **states**: raw -> fried\n- **tempo**: slow -> fast",
        "states: raw -> fried\ntempo: slow -> fast\ntempo: fast -> slow",
    ],
)
def test_prose_and_markup_around_a_trace_are_tolerated(text):
    trace = parse_trace(text)
    assert (trace.states, trace.tempo) == (("raw -> fried",), ("slow -> fast",))


def test_only_four_assertions_per_slot_are_kept():
    assert parse_trace("states: a; b; c; d; e").states == ("a", "b", "c", "d")
    with pytest.raises(TraceError, match="5 assertions, at most 4"):
        ReasoningTrace(states=("a",) * 5)


@pytest.mark.parametrize("text", ["", "I cannot see a video.", "states:\ntempo:\n"])
def test_no_trace_is_an_error_that_says_what_was_expected(text):
    with pytest.raises(TraceError, match="expected lines such as"):
        parse_trace(text)


def test_from_dict_names_what_is_wrong():
    with pytest.raises(TraceError, match="unknown trace slots"):
        ReasoningTrace.from_dict({"mood": ["happy"]})
    with pytest.raises(TraceError, match="expected a tuple of strings"):
        ReasoningTrace.from_dict({"states": "raw"})


@given(st.text())
def test_any_text_is_read_or_refused(text):
    try:
        trace = parse_trace(text)
    except TraceError:
        return
    assert any(getattr(trace, slot) for slot in SLOTS)


ASSERTIONS = st.from_regex(r"[a-z]{1,8}( [a-z]{1,8})?( -> [a-z]{1,8})?", fullmatch=True)


@given(
    st.dictionaries(
        st.sampled_from(SLOTS), st.lists(ASSERTIONS, min_size=1, max_size=4), min_size=1
    )
)
def test_every_trace_survives_its_text(slots):
    trace = ReasoningTrace.from_dict(slots)
    assert parse_trace(trace.text()) == trace


def test_split_assertion():
    assert split_assertion("raw -> fried") == ("raw", "fried") and split_assertion("static") == (
        "static",
        "static",
    )


def test_gallery_and_query_prompts_end_alike():
    ends = {
        text.split("five short sentences")[-1]
        for text in (prompts.describe(), prompts.single_stage("E"), prompts.after_trace("E", "R"))
    }
    assert len(ends) == 1
    assert "E" in prompts.trace("E") and prompts.synthesis("E", ["A", "B"]).count("Trace ") == 2


@pytest.mark.parametrize("module", ["trace", "assertions", "headings", "matching"])
def test_the_examples_in_the_documentation(module):
    results = doctest.testmod(import_module(f"covrr_utils.traces.{module}"))
    assert results.attempted and not results.failed

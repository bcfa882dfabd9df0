"""What models really write: read, mended, and every mend named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.mini.world import ACTIONS, CAMERAS, COLOURS, KINDS, LIGHTS, PLACES, TEMPI
from covrr_utils.traces.matching import SYNONYMS, canonical, canonical_pairs, canonical_value
from covrr_utils.traces.reading import parse_trace, read_trace_text
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError, TraceSchema

LINES = "states: red egg; raw -> fried\nactions: rests\nscene: kitchen\ncamera: static\ntempo: slow"
TRACE = parse_trace(LINES)
JSON = json.dumps(TRACE.to_dict())


@pytest.mark.parametrize(
    "text, form", [(LINES, "lines"), (f"\n{LINES}\n", "lines"), (JSON, "json")]
)
def test_a_trace_as_asked_for_needs_no_repair(text, form):
    written = read_trace_text(text)
    assert (written.trace, written.form, written.repairs, written.valid) == (TRACE, form, (), True)


@pytest.mark.parametrize(
    "text, repair",
    [
        (f"Sure, here is the trace:\n{LINES}", "prose around the trace dropped"),
        (f"{LINES}\n\nI hope this helps!", "prose around the trace dropped"),
        (f"```\n{LINES}\n```", "code fence dropped"),
        (f"```json\n{JSON}\n```", "code fence dropped"),
        (f"The trace: {JSON} Done.", "prose around the trace dropped"),
        (LINES.replace("states:", "- **States**:"), "markup around slot names"),
        (LINES.replace("states:", "state:"), "slot 'state' read as 'states'"),
        (LINES.replace("->", "→"), "arrows rewritten"),
        (
            LINES.replace("actions: rests\n", "").replace("states", "actions: rests\nstates"),
            "slots in another order",
        ),
        (f"{LINES}\ntempo: fast", "slot 'tempo': repeated, the first statement kept"),
        (
            LINES.replace("states: red egg; raw", "states:\n- red egg\n- raw"),
            "slot 'states': continued on further lines",
        ),
        (LINES.replace("rests", " rests."), "spacing or punctuation"),
        (JSON.replace("]}", "],}"), "broken JSON mended"),
        (JSON.replace('"', "'"), "broken JSON mended"),
        (JSON[:-3], "broken JSON mended"),
        (JSON.replace('"scene"', '"Scene"'), "slot 'Scene' read as 'scene'"),
        (JSON.replace('["rests"]', '"rests"'), "slot 'actions': a list was expected"),
        (
            JSON.replace('"raw -> fried"', '{"before": "raw", "after": "fried"}'),
            "slot 'states': assertions rewritten",
        ),
        (JSON.replace("]}", '], "mood": ["calm"]}'), "unknown slot 'mood' dropped"),
        (JSON.replace("{", '{"mood": ["calm"], ', 1), "unknown slot 'mood' dropped"),
        (f'{{"trace": {JSON}}}', "prose around the trace dropped"),
    ],
)
def test_every_repair_is_named_and_loses_nothing(text, repair):
    written = read_trace_text(text)
    assert written.trace == TRACE and repair in written.repairs and not written.valid


def test_what_cannot_be_mended_is_named_too():
    written = read_trace_text("states: a; b; c; d; e\ntempo: slow")
    assert written.repairs == (
        "slot 'states': kept 4 of 5 assertions",
        "slot 'actions': missing",
        "slot 'scene': missing",
        "slot 'camera': missing",
    )
    with pytest.raises(TraceError, match="no trace in"):
        read_trace_text('{"states": [], "tempo": null}')
    with pytest.raises(TraceError, match="nested too deep"):
        read_trace_text('{"states": ' + "[" * 200_000)


@given(st.text(), st.sampled_from(["", LINES, JSON, "```", "states: ", '{"states": [']), st.text())
def test_valid_means_exactly_as_asked(before, middle, after):
    text = before + middle + after
    try:
        written = read_trace_text(text)
    except TraceError:
        return
    complete = all(getattr(written.trace, slot) for slot in SLOTS)
    as_lines = complete and text.strip() == written.trace.text()
    as_json = written.form == "json" and written.valid
    assert written.valid == (as_lines or as_json)
    if as_json:
        assert TraceSchema.model_validate_json(text.strip()).model_dump() == written.trace.to_dict()
    assert parse_trace(written.trace.text()) == written.trace, "what was read survives its own text"


def test_every_gold_trace_of_the_mini_benchmark_is_valid_in_both_forms():
    for triplet in load_benchmark("mini").triplets:
        assert (
            read_trace_text(triplet.gold_trace.text()).valid
            and read_trace_text(json.dumps(triplet.gold_trace.to_dict())).valid
        )


def test_traces_compare_whatever_their_order_casing_and_wording():
    other = parse_trace(
        "states: Raw → Fried; a red egg\nactions: at rest\nscene: the kitchen\ncamera:"
        " Locked-off\ntempo: slow motion"
    )
    assert canonical_pairs(other) == canonical_pairs(TRACE) and canonical(other) == canonical(TRACE)
    assert canonical_pairs(
        parse_trace(LINES.replace("raw -> fried", "fried -> raw"))
    ) != canonical_pairs(TRACE), "direction counts"
    assert canonical(ReasoningTrace(states=("egg -> Egg", "egg"))).states == ("egg",)


def test_synonyms_never_join_two_values_of_the_mini_world():
    values = {
        "states": (
            {state for states in KINDS.values() for state in states}
            | {f"{c} {k}" for c in COLOURS for k in KINDS}
        ),
        "actions": set(ACTIONS),
        "scene": {*PLACES, *LIGHTS},
        "camera": set(CAMERAS),
        "tempo": set(TEMPI),
    }
    for slot, known in values.items():
        assert {canonical_value(slot, value) for value in known} == known
        for head, others in SYNONYMS[slot].items():
            assert not set(others) & known and all(
                canonical_value(slot, other) == head for other in others
            )


@given(st.sampled_from(SLOTS), st.text(min_size=1))
def test_the_canonical_form_is_its_own_canonical_form(slot, value):
    once = canonical_value(slot, value)
    assert once and canonical_value(slot, once) == once

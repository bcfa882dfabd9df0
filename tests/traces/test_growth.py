"""Reading and comparing texts takes time linear in their length, whatever stands in them."""

import time

import pytest

from covrr_utils.traces.matching import canonical, slot_words
from covrr_utils.traces.reading import read_trace_text
from covrr_utils.traces.trace import TraceError

SIZE = 8_000

# a unit that is repeated, and what stands before and behind it
TEXTS = {
    "braces": ("{", "", ""),
    "braces of an object": ("{", '{"states": ', ""),
    "brackets of an object": ("[", '{"states": ', ""),
    "open objects": ('{"states": ', "", ""),
    "whole objects": ('{"states": ["a"]} ', "", ""),
    "broken objects": ('{"states": ["a" } ', "", ""),
    "keys": ('"states": ', "", ""),
    "names": ("states ", "", ""),
    "slots": ("states: a\n", "", ""),
    "slots in one line": ("states: a; actions: b; ", "", ""),
    "dashes": ("-", "states: a", "b"),
    "dashes alone": ("-", "", ""),
    "equals signs": ("=", "states: a", "b"),
    "spaces": (" ", "states: a", "b"),
    "spaces in front": (" ", "a", "states: b"),
    "line ends": ("\r", "states: a", "b"),
    "stars": ("*", "states: a", "b"),
    "arrows": ("a -> ", "states: ", ""),
    "changes": ("a -> b, ", "states: ", ""),
    "assertions": ("a; ", "states: ", ""),
    "bullets": ("- a\n", "states:\n", ""),
    "sides": ("before\n\n\n", "states:\n", ""),
    "labels": ("before: a, after: b; ", "states: ", ""),
    "one side": ("after ", "states: before: ", ""),
    "tags": ("<states>", "", ""),
    "open tags": ("<a ", "", ""),
    "bars": ("| a ", "states", "\nactions | b"),
    "rows": ("| states | a | b |\n", "", ""),
    "rows of tabs": ("states\ta\n", "before\tafter\n", ""),
    "fences": ("```\n", "states: a\n", ""),
    "titles": ("# a\n", "states: a\n", ""),
    "thoughts": ("</think>", "", "states: a"),
    "entities": ("&gt;", "states: ", ""),
    "list": ("'a', ", "states: [", "]"),
    "quoted lines": (">", "", "\n> a"),
}


def seconds(text: str) -> float:
    """Processor time of reading and comparing ``text``."""
    begun = time.process_time()
    try:
        canonical(read_trace_text(text).trace)
    except TraceError:
        pass
    slot_words(text)
    return time.process_time() - begun


@pytest.mark.parametrize("name", TEXTS)
def test_four_times_the_text_takes_about_four_times_as_long(name):
    unit, before, behind = TEXTS[name]
    short, long = (before + unit * (size // len(unit)) + behind for size in (SIZE, 4 * SIZE))
    limit = 9 * min(seconds(short) for _ in range(2)) + 0.05
    assert any(seconds(long) < limit for _ in range(2)), "with the square it would be sixteen times"


def test_a_megabyte_is_read():
    for unit in ("{", "states ", "-", '"'):
        try:
            read_trace_text(unit * (1_000_000 // len(unit)))
        except TraceError as error:
            assert len(str(error)) < 300

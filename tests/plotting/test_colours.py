"""One colour has one meaning in every figure of the book."""

import pytest
from drawers import measured
from matplotlib.colors import to_rgb

from covrr_utils.plotting import charts, judging_charts, ranks, style
from covrr_utils.reasoning.strategies import STRATEGIES

SINGLE, TWO = (to_rgb(style.COLOURS[name]) for name in ("single stage", "two stage"))


def test_no_two_meanings_share_a_colour_and_no_series_has_one_of_them():
    colours = [to_rgb(colour) for colour in (*style.COLOURS.values(), *style.SERIES)]
    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_has_a_colour_of_its_own(strategy):
    named = {name: to_rgb(style.COLOURS[name]) for name in style.STRATEGY_COLOURS}
    assert style.colour_of(5, strategy) == named[strategy.replace("_", " ")]
    assert style.colour_of(5, f"{strategy}, 3") == named[strategy.replace("_", " ")]


def test_a_name_that_only_begins_like_a_strategy_is_a_series():
    assert style.colour_of(1, "two stage: words") == to_rgb(style.SERIES[1])


def rows(column):
    table = measured("x").assign(kind="near", tag="all", traces="as written")
    return table.assign(**{column: ["two_stage", "single_stage"]})


SUMMARIES = [
    {"strategy": name, "recall": {"1": 0.5}, "interval": {"1": (0.4, 0.6)}}
    | {"triplets": 2, "kind": "mini"}
    for name in ("two_stage", "single_stage")
]

DRAWN = {
    "bars": lambda: charts.recall_bars(SUMMARIES, "strategy", "", ks=["1"])[0],
    "forest": lambda: charts.forest(rows("name"), ""),
    "tags": lambda: charts.by_tag(rows("name"), ""),
    "cost": lambda: charts.gain_and_cost(rows("name"), ""),
    "score": lambda: judging_charts.score_and_recall(rows("strategy"), "", "slots"),
    "misses": lambda: judging_charts.shares_of_misses(
        rows("strategy"), ["two_stage", "single_stage"], ["near"], ""
    ),
    "ranks": lambda: ranks.rank_histogram({"two_stage": [1, 2], "single_stage": [3, None]}, 9),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_strategy_has_the_same_colour_in_every_chart(name):
    (axis,) = DRAWN[name]().axes
    bars = {to_rgb(patch.get_facecolor()) for patch in axis.patches}
    drawn = bars or {to_rgb(line.get_color()) for line in axis.lines}
    assert {SINGLE, TWO} <= drawn
    assert not drawn & {to_rgb(colour) for colour in style.SERIES}

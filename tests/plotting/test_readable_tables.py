"""Tables as a chapter shows them to readers."""

import re

import numpy as np
import pandas as pd
import pytest

from covrr_utils.plotting.tables import with_interval
from covrr_utils.plotting.typesetting import readable

TABLE = pd.DataFrame(
    {
        "system": ["single_stage", "two_stage"],
        "R@1": [with_interval(36.75, 32.0, 41.52), with_interval(56.5, 51.5, 61.5)],
        "score": [np.nan, 9.614],
        "queries": [np.nan, 4200.0],
        "p": [1e-9, 0.0301],
        "kind": ["measured here, mini"] * 2,
    }
)


def test_every_cell_is_words_or_a_number_that_is_read_easily():
    shown = readable(TABLE)
    assert shown.cells.to_dict("list") == {
        "system": ["single stage", "two stage"],
        "R@1": ["36.75 [32.0, 41.5]", "56.50 [51.5, 61.5]"],
        "score": ["–", "9.61"],
        "queries": ["–", "4,200"],
        "p": ["< 0.001", "0.030"],
    }
    assert shown.caption == "measured here, mini"


def test_html_and_plain_text_have_no_index_and_the_same_bytes_each_time():
    shown = readable(TABLE, "Recall.")
    html = shown._repr_html_()
    assert html == readable(TABLE, "Recall.")._repr_html_()
    assert "row_heading" not in html and "nan" not in html.lower() and "_stage" not in html
    assert shown.to_string().splitlines()[0] == "Recall., measured here, mini"
    assert repr(shown) == shown.to_string()


def test_numbers_stand_on_the_right_and_the_best_is_bold():
    shown = readable(TABLE, best=["R@1"])
    assert shown.numbers == ("R@1", "score", "queries", "p")
    assert shown.bold["R@1"].tolist() == [False, True]
    assert shown._repr_html_().count('class="data row1 col1 number"') == 1


def test_a_named_index_becomes_a_column_and_a_column_that_is_missing_is_an_error():
    indexed = TABLE.set_index("system")[["score"]]
    assert list(readable(indexed).cells) == ["system", "score"]
    assert list(readable(indexed.reset_index(drop=True)).cells) == ["score"]
    with pytest.raises(ValueError, match="no column 'R@9'; the table has system, R@1"):
        readable(TABLE, best=["R@9"])


def test_cells_cannot_bring_markup_of_their_own():
    assert "<b>" not in readable(pd.DataFrame({"edit": ["<b>Night</b>"]}))._repr_html_()


def test_the_looks_of_two_tables_on_a_page_do_not_mix():
    """What aligns the heads of one table must not reach those of another."""
    names = [
        set(re.findall(r"#(T_\w+)", readable(table)._repr_html_()))
        for table in (TABLE, TABLE.rename(columns={"system": "run"}))
    ]
    assert [len(found) for found in names] == [1, 1] and names[0] != names[1]


def test_a_text_that_begins_with_a_number_stands_on_the_left():
    table = pd.DataFrame({"figure": ["11 figure 1", "12 miles"], "days": ["4 to 21", "400 of 400"]})
    assert readable(table).numbers == ("days",)

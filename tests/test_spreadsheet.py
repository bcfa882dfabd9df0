"""Texts of labels and models stay texts in every csv file, and numbers stay numbers."""

import io

import numpy as np
import pytest

from covrr_utils.frames import pd
from covrr_utils.spreadsheet import csv_bytes, plain_cell


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1"]
)
def test_a_text_that_a_spreadsheet_would_run_has_an_apostrophe(text):
    assert plain_cell(text) == f"'{text}".replace("\r", "\n")
    table = pd.read_csv(io.BytesIO(csv_bytes(pd.DataFrame({"edit": [text, "Zoom out."]}))))
    assert table["edit"][0].startswith("'") and table["edit"][1] == "Zoom out."


@pytest.mark.parametrize(
    "value", [-9.4, 3, None, "-9.4", "+1e-3", "-", "", "a=b", "'quoted'", "two\nlines"]
)
def test_everything_else_is_as_it_was(value):
    assert plain_cell(value) == value


def test_numbers_stay_numbers_and_bytes_are_the_same_twice():
    table = pd.DataFrame(
        {
            "=name": ["=a", "b"],
            "gain": [-0.1 - 0.2, np.nan],
            "rank": pd.array([1, None], "Int64"),
            "top": [["=x"], []],
        }
    )
    assert csv_bytes(table) == csv_bytes(table)
    assert csv_bytes(table).decode().splitlines() == [
        "'=name,gain,rank,top",
        "'=a,-0.3,1,['=x']",
        "b,,,[]",
    ]
    assert csv_bytes(pd.DataFrame()) == b"\n"


def test_a_carriage_return_does_not_end_the_row():
    table = pd.read_csv(io.BytesIO(csv_bytes(pd.DataFrame({"edit": ["a\rb", "c\r\nd"]}))))
    assert table["edit"].tolist() == ["a\nb", "c\nd"]


def test_half_a_character_is_written_as_its_escape():
    assert csv_bytes(pd.DataFrame({"edit": ["a\ud800b"]})) == b"edit\na\\ud800b\n"


def test_tables_hold_half_characters_also_where_pyarrow_is_installed():
    import pyarrow  # noqa: F401  (the extra mteb brings it)

    table = pd.DataFrame({"edit": ["a \ud800 b", "c"]})
    assert table["edit"].tolist() == ["a \ud800 b", "c"]

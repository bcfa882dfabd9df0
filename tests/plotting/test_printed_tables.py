"""Tables as a paper prints them."""

import re

import numpy as np
import pandas as pd
import pytest

from covrr_utils import paths
from covrr_utils.plotting.tables import save_table, with_interval

TABLE = pd.DataFrame(
    {
        "system": ["single_stage", "two_stage", 'the "large" one'],
        "R@1": [
            with_interval(*bounds) for bounds in ((6.75, 2, 9.5), (56.5, 51.5, 61.5), (1, 1, 1))
        ],
        "score": [np.nan, 9.614, -0.5],
        "kind": ["measured here, mini"] * 3,
        "remark": [np.nan, "five rounds", "five rounds"],
    }
)


@pytest.fixture
def printed(tmp_path, monkeypatch):
    """The LaTeX of a table, its lines without what Styler always writes."""
    monkeypatch.setattr(paths, "figures_dir", lambda: tmp_path)

    def save(table, caption="Recall in percent", **options):
        save_table(table, "t", caption, **options)
        return (tmp_path / "t.tex").read_text()

    return save


def test_values_are_aligned_at_their_points_and_intervals_stand_beside_them(printed):
    latex = printed(TABLE.drop(columns="remark"))
    assert r"\begin{tabular}{lr@{ }lr}" in latex
    assert r"system & \multicolumn{2}{c}{R@1} & score \\" in latex
    assert r"single stage & 6.75 & \footnotesize [2.0, 9.5] & -- \\" in latex
    assert r"& $-$0.50 \\" in latex, "a minus, no hyphen"


def test_the_best_of_a_column_alone_is_bold(printed):
    latex = printed(TABLE, best=["R@1", "score"])
    assert re.findall(r"\\textbf\{(.*?)\}", latex) == ["56.50", "9.61"]


def test_what_all_rows_share_is_said_in_the_caption_and_names_of_code_are_words(printed):
    latex = printed(TABLE, "Recall of two_stage")
    assert r"\caption{Recall of two stage, measured here, mini}" in latex
    assert r"\label{tab:t}" in latex and r"\_" not in latex
    assert "the ``large'' one" in latex, "quotation marks are paired"


def test_notes_are_marked_in_the_rows_and_told_in_the_caption(printed):
    latex = printed(TABLE, note="remark")
    assert r"\caption{Recall in percent, measured here, mini. a: five rounds}" in latex
    assert latex.count(r"\textsuperscript{a}") == 2 and "remark" not in latex
    assert printed(TABLE.head(1), note="remark").count("textsuperscript") == 0


def test_a_table_wider_than_a_column_spans_the_page(printed):
    assert r"\begin{table}" in printed(TABLE[["system", "R@1"]])
    wide = pd.concat(
        [TABLE[["system"]], *[TABLE["R@1"].rename(f"R@{k}") for k in (1, 5, 9)]], axis=1
    )
    latex = printed(wide)
    assert r"\begin{table*}" in latex and r"\end{table*}" in latex


def test_an_empty_table_is_set_too(printed):
    assert r"\begin{tabular}{}" in printed(pd.DataFrame())


@pytest.mark.parametrize(
    "path", sorted(paths.ROOT.glob("figures/*.tex")), ids=lambda path: path.stem
)
def test_the_tables_of_the_book_are_fit_to_be_printed(path):
    """A caption that says what the numbers are; heads and cells in words; as many cells a row as
    the table has columns.
    """
    latex = path.read_text()
    (caption,) = re.findall(r"\\caption\{(.*)\}", latex)
    assert re.search("percent|paper-reported|traces", caption) and r"\_" not in caption
    heads, body = re.search(r"\\toprule\n(.*)\\midrule\n(.*)\\bottomrule", latex, re.S).groups()
    assert r"\_" not in heads + body and "nan" not in body.lower()
    (form,) = re.findall(r"\\begin\{tabular\}\{(.*)\}", latex)
    columns = len(re.findall("[lr]", form))
    assert {line.count(" & ") + 1 for line in body.splitlines()} == {columns}
    assert pd.read_csv(path.with_suffix(".csv")).shape[0] == len(body.splitlines())

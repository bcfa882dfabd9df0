import errno
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from disks import read_only

from covrr_utils import paths
from covrr_utils.experiments.results import Result
from covrr_utils.files import FileError, write_atomically
from covrr_utils.plotting import charts, paper_figures, style, tables
from covrr_utils.plotting.lettering import plain_text
from covrr_utils.plotting.tables import TABLES, UnknownTable, paper_table


def result(hits, name="two_stage"):
    ranks = [1] * hits + [9] * (10 - hits)
    values = {str(k): hits / 10 for k in (1, 5, 10, 50)}
    return Result(
        "measured here, mini",
        "mini",
        "all",
        50,
        1.0,
        "mini-3m",
        "0",
        name,
        "mean",
        "word",
        "predicts",
        0,
        10,
        1.0,
        values,
        {k: (max(0, v - 0.1), min(1, v + 0.1)) for k, v in values.items()},
        {},
        queries=[{"rank": rank} for rank in ranks],
    )


def test_figures_give_the_same_bytes_twice(figures):
    for _ in range(2):
        table = tables.recall_table({"a": result(3), "b": result(5)})
        for name, figure in (
            ("forest", charts.forest(table, "t", table)),
            ("paths", paper_figures.two_paths()),
        ):
            style.save_figure(figure, name, table)
        tables.save_table(tables.recall_columns({"a_b": result(3)}), "table", "100% of a_b")
        now = {path.name: path.read_bytes() for path in figures.iterdir()}
        if _ == 0:
            before = now
            for path in figures.iterdir():
                path.unlink()
    assert now == before and {
        "forest.pdf",
        "forest.png",
        "forest.csv",
        "table.tex",
        "table.csv",
    } <= set(now)
    assert rb"a b & 30.00 & \footnotesize [20.0, 40.0]" in now["table.tex"]
    assert rb"100\% of a b" in now["table.tex"]


def test_a_pdf_is_drawn_where_it_is_not_of_this_figure(figures, monkeypatch):
    one, other = (charts.forest(tables_of(name), name) for name in ("one", "other"))
    style.save_figure(one, "figure", tables_of("one"))
    pdf, png = figures / "figure.pdf", figures / "figure.png"
    drawn = pdf.read_bytes()
    pdf.write_bytes(b"as it was")
    style.save_figure(one, "figure", tables_of("one"))
    assert pdf.read_bytes() == b"as it was", "the PNG is the same, so the PDF is left"
    pdf.unlink()
    style.save_figure(one, "figure", tables_of("one"))
    assert pdf.read_bytes() == drawn

    def killed(path, blob):
        write_atomically(path, blob)
        if path == pdf:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(style, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            style.save_figure(other, "figure", tables_of("other"))
    assert pdf.read_bytes() != drawn and not png.exists(), "no PNG stands beside another's PDF"
    style.save_figure(one, "figure", tables_of("one"))
    assert pdf.read_bytes() == drawn and png.exists()


def test_a_folder_that_cannot_be_written_keeps_the_figure_and_is_named(figures):
    style.save_figure(charts.forest(tables_of("one"), "one"), "figure", tables_of("one"))
    before = {path: path.read_bytes() for path in figures.iterdir()}
    with read_only(figures, errno.EROFS), pytest.raises(FileError, match="read-only: .*COVRR_FIG"):
        style.save_figure(charts.forest(tables_of("other"), "x"), "figure", tables_of("other"))
    assert {path: path.read_bytes() for path in figures.iterdir()} == before


@pytest.mark.parametrize("ending", ["csv", "pdf", "png"])
def test_a_folder_in_the_place_of_a_figure_is_named(figures, ending):
    (figures / f"figure.{ending}").mkdir(parents=True)
    with pytest.raises(FileError, match=f"a folder lies .*figure.{ending} .*COVRR_FIGURES"):
        style.save_figure(charts.forest(tables_of("one"), "one"), "figure", tables_of("one"))


def test_a_file_in_the_place_of_the_figures_is_named(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"x")
    monkeypatch.setenv("COVRR_FIGURES", str(file))
    for save in (
        lambda: style.save_figure(charts.forest(tables_of("x"), "x"), "figure", tables_of("x")),
        lambda: tables.save_table(tables_of("x"), "table", "x"),
    ):
        with pytest.raises(FileError, match="a file lies where a folder .*COVRR_FIGURES"):
            save()
    assert file.read_bytes() == b"x"


def test_a_figure_that_cannot_be_read_is_written_again(figures, monkeypatch):
    """It is not known to be this figure, so it is drawn; a reader's permission is not needed."""
    table = tables_of("one")
    style.save_figure(charts.forest(table, "one"), "figure", table)
    before, read = (figures / "figure.png").read_bytes(), Path.read_bytes

    def refusing(path):
        if path.parent == figures:
            raise PermissionError(errno.EACCES, "denied", str(path))
        return read(path)

    with monkeypatch.context() as unreadable:
        unreadable.setattr(Path, "read_bytes", refusing)
        style.save_figure(charts.forest(table, "one"), "figure", table)
    assert (figures / "figure.png").read_bytes() == before


@pytest.mark.parametrize("text", ["$20 to $30", "$$", "$x^$ and $"])
def test_texts_of_labels_are_no_formulas(figures, text):
    figure = charts.forest(tables_of(text), text)
    style.save_figure(figure, "dollars", tables_of(text))
    assert not any(label.get_parse_math() for label in figure.findobj(plt.Text))
    tables.save_table(pd.DataFrame({text: [text]}), "dollars", f"{text} & 5 % of a_B")
    latex = (figures / "dollars.tex").read_text()
    assert text not in latex and r"\& 5 \% of a\_B" in latex


def tables_of(name):
    return tables.recall_table({name: result(3)})


def test_the_powers_of_a_log_axis_are_still_set(figures):
    figure, axis = plt.subplots()
    axis.plot([1, 1000], [1, 1000])
    axis.set(xscale="log")
    plain_text(figure)
    assert all(label.get_parse_math() for label in axis.get_xticklabels())


def test_paper_and_measured_numbers_have_panels_of_their_own():
    table = tables.recall_table({"a": result(3)})
    left, right = charts.forest(
        table, "measured here, mini", pd.DataFrame({"name": ["8B"], "recall": [49.88]})
    ).axes
    assert right.get_title() == "paper-reported" and left.get_title() == "measured here, mini"
    drawn = [float(x) for line in left.lines for x in np.atleast_1d(line.get_xdata())]
    assert 49.88 not in drawn and 30.0 in drawn


def test_recall_by_tag_counts_the_triplets_of_the_tag():
    from covrr_utils.benchmarks.benchmark import Triplet

    triplets = [
        Triplet(str(i), "r", "e", "t", "", ("implicit",) if i < 4 else ("state",))
        for i in range(10)
    ]
    table = tables.tag_table(
        {"a": result(6)}, triplets, ["all", "implicit", "explicit", "camera"]
    ).set_index("tag")
    assert table["n"].to_dict() == {"all": 10, "implicit": 4, "explicit": 6}, (
        "a tag that no triplet has gets no line"
    )
    assert table["recall"].to_dict() == {
        "all": 60.0,
        "implicit": 100.0,
        "explicit": pytest.approx(100 / 3),
    }


def test_published_numbers_have_their_source():
    for name in TABLES[:-1]:
        assert paper_table(name)["source"].notna().all(), name
    covr_r = paper_table("covr_r").set_index("system")
    assert covr_r.loc["CoVR-R 8B", ["R@1", "R@5", "R@10", "R@50", "reasoning_score"]].tolist() == [
        49.88,
        66.99,
        72.97,
        85.14,
        8.31,
    ]
    assert paper_table("pooling")["R@1"].is_monotonic_increasing
    with pytest.raises(UnknownTable, match="unknown table 'x'; known: covr_r"):
        paper_table("x")
    assert {path.stem for path in (paths.data_dir() / "paper").glob("*.csv")} == set(TABLES)


def test_candidates_hold_the_target_and_three_distractors():
    from covrr_utils.benchmarks.benchmark import load_benchmark

    for triplet in load_benchmark("mini-val").triplets:
        shown = paper_figures.candidates_of(triplet)
        assert (
            len(shown) == len(set(shown)) == 4
            and triplet.target in shown
            and triplet.reference not in shown
        )

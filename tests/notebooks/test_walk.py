"""The walk through all chapters finds nothing, and it finds what it is made to find."""

import nbformat
import pytest
import walk
from nbformat import v4

from covrr_utils import paths


@pytest.mark.parametrize("kind", walk.KINDS)
@pytest.mark.parametrize("path", walk.chapters(), ids=lambda path: path.stem)
def test_the_walk_finds_nothing(path, kind):
    assert list(walk.KINDS[kind](path)) == []


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Writes a chapter, and solutions of it, from markdown and code; code that begins with a name
    of a kind of output shows one.
    """
    monkeypatch.setattr(paths, "notebooks_dir", lambda: tmp_path)
    (tmp_path / "solutions").mkdir()

    def put(*sources, folder=tmp_path):
        content = v4.new_notebook(cells=[_cell(source) for source in sources])
        path = folder / "00_a_chapter.ipynb"
        nbformat.write(content, path)
        return path

    return put


def _cell(source):
    if not source.startswith("code"):
        return v4.new_markdown_cell(source)
    _, kind, text = source.split(maxsplit=2)
    shown = [v4.new_output("display_data", {kind: "x"})] if "/" in kind else []
    return v4.new_code_cell(text, outputs=shown, execution_count=1)


@pytest.mark.parametrize("kind", ["image/png", "text/html"])
@pytest.mark.parametrize(
    "after",
    ["code - x()", "## The next heading", "## A heading\nAnd five words or more.", "Short.", None],
)
def test_a_figure_or_table_without_a_sentence_is_found(shelf, kind, after):
    cells = [f"code {kind} draw()", *([after] if after else [])]
    (finding,) = walk.sentences(shelf(*cells))
    assert finding == "no sentence follows the figure or table of cell 1"


@pytest.mark.parametrize(
    "after", ["Look at the bars first: they grow.", "- The table ends\n  here."]
)
def test_a_sentence_after_a_figure_is_enough(shelf, after):
    path = shelf("code image/png draw()", f"{after}\n## Next", "code - print()", "## A heading")
    assert list(walk.sentences(path)) == []


@pytest.mark.parametrize(
    ("output", "alt", "found"),
    [
        ({"image/png": "x"}, None, 1),
        ({"image/png": "x"}, "A chart.", 1),
        ({"image/png": "x"}, "Bars of recall, one a strategy.", 0),
        ({"text/html": '<img src="data:x"/><img alt="" src="y">'}, None, 2),
        ({"text/html": '<p>a</p><img src="data:x" alt="a moving mug"/>'}, None, 0),
        ({"text/plain": "1"}, None, 0),
    ],
)
def test_a_picture_that_only_eyes_can_read_is_found(shelf, output, alt, found):
    path = shelf("code - draw()")
    content = nbformat.read(path, 4)
    content.cells[0].outputs = [v4.new_output("display_data", output)]
    content.cells[0].metadata = {"alt": alt} if alt else {}
    nbformat.write(content, path)
    assert len(list(walk.alternatives(path))) == found


@pytest.mark.parametrize(
    "source",
    ["The score is F = 2 p r.", "A sum Σ of all.", "It costs $5.", "code - v = a  # v = a_i * h"],
)
def test_a_formula_that_is_not_typeset_is_found(shelf, source):
    assert len(list(walk.formulas(shelf(source)))) == 1


@pytest.mark.parametrize(
    "source", [r"$$\\tilde s_i = 1$$", "$frac{a}{b}$", r"It is $p(text{candidate} \mid x)$."]
)
def test_a_formula_whose_commands_lost_their_backslash_is_found(shelf, source):
    (finding,) = walk.formulas(shelf(source))
    assert finding.endswith("in a formula is no command of TeX")


@pytest.mark.parametrize(
    "source",
    [
        "With $F = 2 p r$ and `x = 1`.",
        "$$\\sum_i a_i = \\text{share of it}$$",
        "code - x = y  # what it is",
    ],
)
def test_typeset_formulas_and_code_pass(shelf, source):
    assert list(walk.formulas(shelf(source))) == []


CHAPTER = "# A\n\n## Exercises\n\n" + "\n".join(f"{n}. Do it." for n in range(1, 5))
SOLVED = [text for n in range(1, 5) for text in (f"## Exercise {n}\n> Do.", "code - assert done")]
LINK = "\n\n[Solutions](solutions/00_a_chapter.ipynb)"


def exercise_findings(shelf, chapter, solved):
    path = shelf(chapter)
    if solved:
        shelf(*solved, folder=path.parent / "solutions")
    return list(walk.exercises(path))


@pytest.mark.parametrize(
    ("chapter", "solved", "finding"),
    [
        (CHAPTER + LINK, SOLVED, None),
        (CHAPTER.replace("4. ", "") + LINK, SOLVED[:6], "3 exercises, expected at least 4"),
        (CHAPTER + LINK, [], "no solutions/00_a_chapter.ipynb"),
        (CHAPTER, SOLVED, "no link to the solutions"),
        (CHAPTER + LINK, SOLVED[:6], "exercises [1, 2, 3, 4], solutions [1, 2, 3]"),
        (CHAPTER + LINK, [*SOLVED[:7], "code - look()"], "solution 4 has no assert"),
        (
            CHAPTER + LINK,
            [*SOLVED[:6], "## Exercise 4\nSo.", SOLVED[7]],
            "solution 4 does not say what was asked",
        ),
    ],
)
def test_an_exercise_without_a_solution_is_found(shelf, chapter, solved, finding):
    assert exercise_findings(shelf, chapter, solved) == ([finding] if finding else [])


def test_a_link_that_leads_nowhere_is_found(shelf, tmp_path):
    (tmp_path / "guide.md").write_text("# Guide\n\n(label)=\n## R@K: what it *is*\n")
    alive = "[a](guide.md) [b](guide.md#rk-what-it-is) [c](guide.md#label) [d](https://x.org/y#z)"
    path = shelf(f"# Top\n{alive} [e](gone.md) [f](guide.md#gone) [g](#top) [h](#gone)")
    assert list(walk.links(path)) == [
        "gone.md: no such file",
        "guide.md#gone: no such heading",
        "#gone: no such heading",
    ]


def test_a_number_that_no_output_shows_is_found(shelf):
    path = shelf(
        "# R@1 rises to 56.50.", "It costs 59.55 tokens; see [the paper](https://x.org/1.25)."
    )
    assert list(walk.numbers(path)) == [
        "no output of any chapter shows 56.50",
        "no output of any chapter shows 59.55",
    ]


def test_a_number_that_an_output_shows_may_be_rounded_once(shelf, monkeypatch):
    path = shelf("# R@1 rises to 56.50, tokens are 59.55.")
    monkeypatch.setattr(walk, "_printed", lambda path: "recall 56.50, tokens 59.548")
    assert list(walk.numbers(path)) == []

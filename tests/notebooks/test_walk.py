"""The walk through all chapters finds nothing, and it finds what it is made to find."""

import re
from dataclasses import replace

import nbformat
import pytest
import quantities
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
        for cached in (quantities.sections, quantities.whole):
            cached.cache_clear()
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
SOLVED = [
    text for n in range(1, 5) for text in (f"## Exercise {n}\n> Do it.", "code - assert done")
]
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
        (
            CHAPTER + LINK,
            [*SOLVED[:6], "## Exercise 4\n> Do that.", SOLVED[7]],
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


@pytest.mark.parametrize("path", map(walk.solutions_of, walk.chapters()), ids=lambda p: p.stem)
def test_every_number_of_the_solutions_is_held(path):
    assert list(quantities.unheld(path)) == []


@pytest.fixture
def unheld(shelf):
    """The numbers of a prose that nothing holds, after a cell that prints a text."""

    def found(prose, printed="", code="code - show()", data=None):
        path = shelf("# A\n\n## Measured\nRead on.", code, prose)
        content = nbformat.read(path, 4)
        content.cells[1].outputs = [v4.new_output("stream", text=printed)]
        if data:
            content.cells[1].outputs.append(v4.new_output("display_data", {"text/html": data}))
        nbformat.write(content, path)
        return [re.search(r"\[(.*?)\]", finding)[1] for finding in quantities.unheld(path)]

    return found


@pytest.mark.parametrize(
    ("prose", "printed", "found"),
    [
        ("R@1 rises to 56.50, tokens to 59.55.", "", ["56.50", "59.55"]),
        ("R@1 rises to 56.50, tokens to 59.55.", "recall 56.50, tokens 59.548", []),
        ("It finds 37 of them.", "37 found", []),
        ("It finds 37 of them.", "38 found", ["37"]),
        ("It finds thirty-seven of them.", "38 found", ["37"]),
        ("It finds 37 of them.", "36.75 found", ["37"]),
        ("It finds about 37 of them.", "36.75 found", []),
        ("It finds 37 %.", "a share of 0.37", []),
        ("Of those, 3 of 5 are wrong.", "5 asked\n3 wrong", ["3"]),
        ("Of those, 3 of 5 are wrong.", "3 of 5 wrong", []),
        ("Of those, three of five are wrong.", "2 of 5 wrong", ["3"]),
        ("It wins by three points.", "", ["3"]),
        ("The 119th came first of 2,100 videos.", "rank 118", ["119"]),
        ("It asks 1,234 times.", "1234 times", []),
        ("With $p = 0.016$ it is real.", "p 0.017", ["0.016"]),
    ],
)
def test_a_number_that_no_output_of_its_section_shows_is_found(unheld, prose, printed, found):
    assert unheld(prose, printed) == found


def test_a_table_is_read_row_by_row_and_code_by_its_names(unheld):
    rows = "<table><tr><td>seen</td><td>3</td></tr><tr><td>of</td><td>5</td></tr></table>"
    assert unheld("It saw 3 of 5.", data=rows) == ["3"]
    assert unheld("It saw 3 of 5.", data=rows.replace("</tr><tr>", "")) == []
    assert unheld("It looks at 7 of them.", code="code - look(depth=7)") == []
    assert unheld("It looks at 7 of them.", code="code - look()[7]") == ["7"]


@pytest.mark.parametrize(
    "prose",
    [
        "Chapters 05 to 07 and [08](08_judges.ipynb) ask; see exercise 3 and triplet 233.",
        "R@1, 5 and 10 of Qwen3-VL-8B, published as 2B and 30B-A3B (Wang et al., 2022).",
        "Watch the two clips: one is 0 where the other is 1.",
        "A trace has five slots, and one slot of five is wrong; 95 % intervals are thin.",
        "It asks 400 triplets among 2,100 clips.",
        "1. `x = 77` is $a_{12} = 77 b$.\n2. Then\n\n```\n77\n```",
        "| time | 3 minutes, else about 7 | hours |",
    ],
)
def test_names_constants_and_what_counts_the_words_beside_it_are_not_measured(unheld, prose):
    assert unheld(prose) == []


@pytest.mark.parametrize("prose", ["A trace has six slots.", "Thin lines are 90 % intervals."])
def test_a_constant_of_the_method_has_one_value_whatever_is_shown(unheld, prose):
    assert len(unheld(prose, "6 and 90")) == 1


def test_a_summary_looks_back_and_a_link_looks_elsewhere(shelf, tmp_path):
    other = shelf("# B\n\n## Shown", "code - x = 4321")
    other.rename(tmp_path / "01_another.ipynb")
    sections = ["# A\n\n## One", "code - x = 1234", "## Two\nIt is 1234.", "code - show()"]
    path = shelf(
        *sections, "## Summary\nIt was 1234, and [4321](01_another.ipynb) there, not 4321."
    )
    assert len(list(quantities.unheld(path))) == 1, "section Two does not show it"
    path = shelf(*sections, "## Summary\nIt was 4321.")
    assert len(list(quantities.unheld(path))) == 2


def test_most_numbers_cannot_be_changed_unseen():
    """Each measured number of some chapters, one higher in its last digit, is looked for again."""
    seen = []
    for path in walk.chapters()[5:10]:
        for quantity, shown in quantities.measured(path):
            step = 10 ** -len(quantity.value.partition(".")[2])
            other = f"{float(quantity.value) + step:.{len(quantity.value.partition('.')[2])}f}"
            seen.append(not shown.holds(replace(quantity, value=other)))
    assert len(seen) > 100 and sum(seen) / len(seen) > 0.8

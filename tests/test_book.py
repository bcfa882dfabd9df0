"""The book: chapters, guides and the package's reference as one site, without a warning."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from copies import work_in_a_copy
from sphinx.cmd import build

from covrr_utils import paths


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The site, built as `make book` builds it: every warning is an error."""
    folder = tmp_path_factory.mktemp("book")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", "docs", ".", str(folder / "site")]
    code = work_in_a_copy(lambda: build.main(options), paths.ROOT, folder / "said")
    assert code == 0, (folder / "said" / "stderr").read_text()[-3000:]
    return folder / "site"


def test_every_chapter_guide_and_module_is_in_the_book(book):
    for path in [*paths.notebooks_dir().rglob("*.ipynb"), *(paths.ROOT / "docs").glob("*.md")]:
        if ".ipynb_checkpoints" not in path.parts:
            assert (book / path.relative_to(paths.ROOT).with_suffix(".html")).exists(), path.name
    reference = "".join(page.read_text() for page in (book / "docs" / "api").glob("*.html"))
    for path in (paths.ROOT / "covrr_utils").rglob("*.py"):
        name = ".".join(path.relative_to(paths.ROOT).with_suffix("").parts)
        if path.stem not in ("__init__", "__main__"):
            assert f'id="module-{name}"' in reference, name


def test_links_and_pictures_of_the_book_work_from_disk(book):
    """Every address inside the book leads to a file of it; nothing is loaded from elsewhere."""
    for page in book.rglob("*.html"):
        html = page.read_text()
        for target in re.findall(r'(?:href|src)="([^"#?]+)', html):
            if not re.match(r"(https?|mailto|data):", target):
                assert (page.parent / target).exists(), (page.name, target)
        assert not re.search(r'<(?:script|link|img)[^>]*(?:src|href)="https?://', html), page.name


def test_cells_of_tables_that_hold_sentences_are_wrapped_and_names_are_not(book):
    page = (book / "notebooks" / "02_reasoning_traces.html").read_text()
    cells = re.findall(r'<td [^>]*class="([^"]*)"[^>]*>([^<]*)</td>', page)
    long = {unescape(text).strip() for classes, text in cells if classes.startswith("long ")}
    assert {"self consistency", "yellow mug"} <= {text.strip() for _, text in cells} - long
    assert long and min(map(len, long)) > 24
    guide = (book / "docs" / "results.html").read_text()
    assert '<td class="number"><p>36.75 [32.0, 41.5]</p></td>' in guide.replace("\n", "")


def test_formulas_are_typeset_without_a_network(book):
    assert (book / "_static" / "mathjax" / "tex-chtml.js").exists()
    for page in book.rglob("*.html"):
        html = page.read_text()
        if re.search(r'class="math ', html):
            (script,) = re.findall(r'src="([^"?]*mathjax[^"?]*)', html)
            assert (page.parent / script).exists(), page.name


def test_every_figure_of_a_chapter_has_its_text_and_its_size_in_the_book(book):
    """A width alone: with a height, too, a window narrower than a figure would change its shape.
    No link around it: the style sheet lets figures that stand in their cell keep their size on a
    phone.
    """
    for path in paths.notebooks_dir().glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        html = (book / "notebooks" / path.with_suffix(".html").name).read_text()
        shown = {
            unescape(text): around + attributes
            for around, text, attributes in re.findall(
                r'(<a [^>]*>)?<img alt="([^"]*)"([^>]*)>', html
            )
        }
        for cell in cells:
            for output in cell.get("outputs", []):
                if size := output.get("metadata", {}).get("image/png"):
                    text = cell["metadata"]["alt"]
                    assert f' width="{size["width"]}"' in shown.get(text, ""), (path.name, text)
                    assert not re.search("<a |height", shown[text]), (path.name, text)


def test_every_solution_is_folded_below_its_question(book):
    for path in (paths.notebooks_dir() / "solutions").glob("*.ipynb"):
        html = (book / "notebooks" / "solutions" / path.with_suffix(".html").name).read_text()
        exercises = re.findall(r"<h2>Exercise \d+.*?(?=<h2>|</article>)", html, re.S)
        asked = [cell["source"] for cell in json.loads(path.read_text())["cells"]]
        assert len(exercises) == sum(
            line.startswith("## Exercise ") for source in asked for line in source
        )
        for exercise in exercises:
            question, _, solution = exercise.partition('<details class="solution">')
            assert re.search(r"<p>.+?</p>", question, re.S) and "cell_output" not in question
            assert 'class="cell ' in solution and solution.count("</details>") == 1

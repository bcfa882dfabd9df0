"""A walk through the book's chapters: what a reader would miss in one, as sentences.

``python tests/notebooks/walk.py`` prints the findings of every chapter.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import quantities
from nbformat import NotebookNode

from covrr_utils import paths

EXERCISES = 4  # that a chapter has at least

WORDS = 5  # that the text beside a figure has at least

HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.M)

SENTENCE = re.compile(r"(?:\S+ +){4,}\S+[.:?!]")  # five words and a stop

UNSET = re.compile(r"\w = \S|[ΣΠ√∑∏≥≤∙]|\b[A-Za-z]_[a-z0-9]\b|\w\^\w")  # a formula in plain letters


FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.S)

# a doubled backslash before a command, or the name of one without any: TeX sets them as letters
BROKEN = re.compile(r"\\\\[A-Za-z]|(?<![\\A-Za-z])[A-Za-z]{4,}")


def chapters() -> list[Path]:
    """Every chapter, in reading order."""
    return sorted(paths.notebooks_dir().glob("*.ipynb"))


def solutions_of(chapter: Path) -> Path:
    """Where the solutions of a chapter's exercises lie."""
    return chapter.parent / "solutions" / chapter.name


def sentences(chapter: Path) -> Iterator[str]:
    """Figures and tables that no sentence follows before the next heading or the next code."""
    cells = nbformat.read(chapter, 4).cells
    for index, cell in enumerate(cells):
        if not _shows(cell):
            continue
        after = cells[index + 1] if index + 1 < len(cells) else None
        said = "" if after is None or after.cell_type != "markdown" else after.source
        if not SENTENCE.search(" ".join(HEADING.split(f"{said}\n", maxsplit=1)[0].split())):
            yield f"no sentence follows the figure or table of cell {cell.execution_count}"


def alternatives(chapter: Path) -> Iterator[str]:
    """Pictures that say nothing to who cannot see them: a cell that draws has its sentence under
    ``alt`` in its metadata, where nbconvert and the book find it; a picture in HTML has its own.
    """
    for cell in nbformat.read(chapter, 4).cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            drawn = any(kind.startswith("image/") for kind in shown)
            if drawn and len(cell.metadata.get("alt", "").split()) < WORDS:
                yield f"the figure of cell {cell.execution_count} has no text beside it"
            for picture in re.findall(r"<img\b[^>]*>", "".join(shown.get("text/html", ""))):
                if not re.search(r'\balt="[^"]*\w[^"]*"', picture):
                    yield f"a picture in the HTML of cell {cell.execution_count} has no alt"


def formulas(chapter: Path) -> Iterator[str]:
    """Formulas in plain letters: in the prose outside ``$...$``, and in comments of the code; and
    formulas inside it whose commands TeX does not see.
    """
    for index, cell in enumerate(nbformat.read(chapter, 4).cells):
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```|`[^`]*`", " ", cell.source, flags=re.S)
            for formula in FORMULA.findall(prose):
                if broken := BROKEN.search(re.sub(r"\\[A-Za-z]+\{[A-Za-z ,.-]*\}", " ", formula)):
                    yield f"cell {index}: {broken[0]!r} in a formula is no command of TeX"
            plain = FORMULA.sub(" ", prose)
            if "$" in plain:
                yield f"cell {index}: a dollar sign without its partner"
        else:
            plain = "\n".join(
                comment
                for comment in re.findall(r"#(.*)", cell.source)
                if re.search(r" = .*[_*/^]|[ΣΠ√∑∏]", comment)
            )
        if match := UNSET.search(plain):
            around = plain[max(match.start() - 20, 0) : match.end() + 20]
            yield f"cell {index}: a formula is not typeset: {' '.join(around.split())!r}"


def exercises(chapter: Path) -> Iterator[str]:
    """Exercises that are too few, or have no solution that says what was asked, was run and checks
    itself.
    """
    numbers = list(exercises_of(chapter))
    if len(numbers) < EXERCISES:
        yield f"{len(numbers)} exercises, expected at least {EXERCISES}"
    if not (path := solutions_of(chapter)).is_file():
        yield f"no {path.relative_to(paths.notebooks_dir())}"
        return
    if f"(solutions/{chapter.name})" not in _prose(chapter):
        yield "no link to the solutions"
    solved = solutions(path)
    if sorted(solved) != numbers:
        yield f"exercises {numbers}, solutions {sorted(solved)}"
    text, asked = _prose(path), exercises_of(chapter)
    for number, code in solved.items():
        quoted = re.search(rf"^## Exercise {number}\b.*\n+((?:>.*\n?)+)", text, re.M)
        if quoted is None or _plain(quoted[1].replace(">", "")) != asked[number]:
            yield f"solution {number} does not say what was asked"
        if not any(re.search(r"^ *assert ", cell.source, re.M) for cell in code):
            yield f"solution {number} has no assert"
        if any(cell.execution_count is None for cell in code):
            yield f"solution {number} was not run"


def links(chapter: Path) -> Iterator[str]:
    """Links inside the repository that lead to no file or to no heading of it."""
    for target in re.findall(r"\]\(([^)\s]+)", _prose(chapter)):
        if re.match(r"(?:https?|mailto|data|attachment):", target):
            continue
        name, _, anchor = target.partition("#")
        path = (chapter.parent / name).resolve() if name else chapter
        if not path.is_file():
            yield f"{target}: no such file"
        elif anchor and anchor not in _anchors(path):
            yield f"{target}: no such heading"


KINDS = {
    "sentences": sentences,
    "alternatives": alternatives,
    "formulas": formulas,
    "exercises": exercises,
    "links": links,
    "numbers": quantities.unheld,
}


def exercises_of(chapter: Path) -> dict[int, str]:
    """What a chapter's exercises ask, by their numbers."""
    section = _prose(chapter).partition("\n## Exercises")[2].split("\n## ")[0]
    asked = re.findall(r"^(\d+)\. (.*(?:\n +\S.*)*)", section, re.M)
    return {int(number): _plain(text) for number, text in asked}


def _plain(text: str) -> str:
    """A text on one line, its links without addresses, which differ from folder to folder."""
    return " ".join(re.sub(r"\]\([^)]*\)", "]", text).split())


def solutions(path: Path) -> dict[int, list[NotebookNode]]:
    """The code cells of every solution in a notebook of solutions, by the exercise's number."""
    solved: dict[int, list[NotebookNode]] = {}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^## Exercise (\d+)\b", cell.source, re.M)
            solved |= {int(number): [] for number in headings}
        elif cell.cell_type == "code" and solved:
            solved[max(solved)].append(cell)
    return solved


def _shows(cell: NotebookNode) -> bool:
    """Whether a cell's output is a picture or a table."""
    kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    return any(kind.startswith(("image/", "text/html")) for kind in kinds)


def _prose(path: Path) -> str:
    cells = nbformat.read(path, 4).cells
    return "\n".join(f"\n{cell.source}" for cell in cells if cell.cell_type == "markdown")


def _anchors(path: Path) -> set[str]:
    """The names by which a link reaches a place in a file: its headings, as GitHub and the book
    write them, and the labels of MyST and HTML.
    """
    text = _prose(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    names = set(re.findall(r'^\(([\w-]+)\)=|\bid="([\w-]+)"', text, re.M))
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {name for pair in names for name in pair} | {h.replace(" ", "-") for h in headings}


if __name__ == "__main__":
    for path in (*chapters(), *map(solutions_of, chapters())):
        kinds = KINDS if path in chapters() else {"numbers": quantities.unheld}
        for kind, find in kinds.items():
            for finding in find(path):
                print(f"{path.stem}: {kind}: {finding}")

"""Numbers in the prose of a chapter, and what holds each of them.

A number of the prose is *shown*: an output or a figure of its section has it, or one of any section
where the prose looks ahead (opening, exercises) or back (summary), or of a chapter to which the
paragraph has a link. Or it is of a kind that is declared here: a name (chapter 05, triplet 67, 8B),
a constant of the method that the package proves (five slots), a size of the embedded benchmark, a
setting that the code has (20 candidates), a bound (0 or 1), or a small word that counts what stands
beside it ("watch the two clips").
"""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, reduce
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.mini.causes import CAUSES
from covrr_utils.mini.render import SIZE
from covrr_utils.mini.world import ATTRIBUTES
from covrr_utils.reasoning.prompts import STYLES
from covrr_utils.reasoning.settings import Settings
from covrr_utils.retrieval.metrics import LEVEL
from covrr_utils.traces.trace import MAX_ASSERTIONS, SLOTS

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
WORDS = {word: n for n, word in enumerate(ONES) if n > 1}  # "one" counts nothing in "one of them"
WORDS |= {word: 10 * n for n, word in enumerate(TENS, 2)}
WORDS |= {f"{ten}-{one}": WORDS[ten] + n for ten in TENS for n, one in enumerate(ONES[1:10], 1)}

DIGITS = r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
NUMBER = (
    rf"(?<![\w.@/^−-])(?:{DIGITS}(?=(?:st|nd|rd|th)?(?!\w|\.\d|,\d{{3}}))"
    rf"|(?:{'|'.join(sorted(WORDS, key=len, reverse=True))})\b(?!-))"
)

# numbers that are names, and places where no number is prose
NAMES = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\]\([^)]*\)|^\#.*?$|^ *\d+\. "
    r"|\$(?!\w+ [=<] [\d.]+\$)[^$]+\$"
    r"|\bR@\d+(?:, \d+)*(?: and \d+)?"
    r"|\b(?:chapters?|exercises?|figures?|stages?|triplet|prerequisites|arxiv)[\s*:[]+[\dA]\d*\b"
    r"(?:(?:,| to| and| or)[ *[]+[\dA]\d*\b)*"
    r"|(?<![\d.,])\b[0A]\d\b|\b\d\d · [^\]\n]*|\[\d\d [a-z][^\]]*|, (?:19|20)\d\d\b|[*[]",
    re.S | re.M | re.I,
)
COSTS = re.compile(r"^\| (?:time|memory) \|.*$", re.M)  # of a chapter's first table

SEES = json.loads((paths.backbones_dir() / "mini-3m" / "config.json").read_text())["vision_config"]

# what the package says of the method and of the mini world; N is the number in the prose
CONSTANTS = {
    "N slots": len(SLOTS),
    "slots? of N": len(SLOTS),
    "N sentences": len(SLOTS),
    "to N assertions": MAX_ASSERTIONS,
    "N attributes": len(ATTRIBUTES),
    "N styles of prompt": len(STYLES),
    "N causes": len(CAUSES),
    "N % (?:interval|bootstrap|of what comes out)|quantile for N %": 100 * LEVEL,
    "temperature N": Settings().temperature,
    "frames into patches of N x N pixels": SEES["patch_size"],
    "join N x N patches": SEES["spatial_merge_size"],
    "at N x N pixels": SIZE,
}

MINI = load_benchmark("mini")
IMPLICIT = sum("implicit" in triplet.tags for triplet in MINI.triplets)
ALL = {str(count) for count in (len(MINI.triplets), len(MINI.gallery), IMPLICIT)}

# a small word before one of these is a measurement, too
UNITS = "points percent times seconds minutes hours tokens misses hits".split()

HEDGED = re.compile(r"\b(?:about|some|nearly|almost|over|than|below)\s$", re.I)
NEAR = 0.05  # behind these words a number is as near to the shown one, as a share of it

ANYWHERE = re.compile(
    r"$|Summary|Exercises|What stands|What is left"
)  # sections that look ahead or back


@dataclass(frozen=True)
class Quantity:
    """One number of the prose: where it stands, and in which words."""

    cell: int
    value: str  # digits and a point, no sign
    word: bool  # whether it is written as a word
    before: str
    after: str
    constant: float | None = None  # what the package says, where it fixes the number

    def __str__(self) -> str:
        around = f"{self.before[-50:]}[{self.value}]{self.after[:40]}"
        return f"cell {self.cell}: {' '.join(around.split())}"

    @property
    def total(self) -> str:
        """The n of "k of n", where the number is k."""
        match = re.match(rf"\s(?:of|in)(?: the| its| our)? ({NUMBER})", self.after, re.I)
        return plain(match[1]) if match else ""

    @property
    def measured(self) -> bool:
        """Whether it states a measurement. A small word counts what stands beside it ("watch the
        two clips"), unless it has a unit or a total; 0 and 1 are the bounds of a definition.
        """
        unit = re.match(r"\W*([\w%]*)", self.after)[1].lower()
        if self.constant is not None or self.total or unit in UNITS:
            return True
        return float(self.value) > 12 if self.word else self.value not in ("0", "1")

    @property
    def of_the_benchmark(self) -> bool:
        """Whether it says how large the embedded benchmark is."""
        noun = re.match(r"\s(?:short |implicit )?(?:triplets|videos|clips|edits)\b", self.after)
        return bool(noun) and self.value in ALL

    def equals(self, shown: str) -> bool:
        """Whether a shown number is this one: the same, or the same after one rounding."""
        value, digits = float(self.value), len(self.value.partition(".")[2])
        others = [float(shown)]
        if "." in shown and others[0] <= 1:  # a share, and in percent
            others.append(round(100 * others[0], 9))
        if HEDGED.search(self.before):
            return any(abs(other - value) <= NEAR * value for other in others)
        rounded = digits > 0 and len(shown.partition(".")[2]) > digits
        return value in others or (
            rounded and any(f"{other:.{digits}f}" == self.value for other in others)
        )


@dataclass
class Section:
    """What stands under one heading: prose by the index of its cell, and code with its outputs."""

    title: str = ""
    prose: list[tuple[int, str]] = field(default_factory=list)
    code: list[NotebookNode] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """What a part of a chapter shows: the numbers of each line, and what its code sets: values that
    have a name there, and large numbers.
    """

    lines: tuple[frozenset[str], ...] = ()
    settings: frozenset[str] = frozenset()

    @cached_property
    def numbers(self) -> frozenset[str]:
        """All of its lines."""
        return frozenset().union(*self.lines)

    def __add__(self, other: "Shown") -> "Shown":
        if not (other.lines or other.settings):
            return self
        return Shown(self.lines + other.lines, self.settings | other.settings)

    def holds(self, quantity: Quantity) -> bool:
        """Whether the number is shown; "k of n" asks for both in one line."""
        if quantity.constant is not None:
            return float(quantity.value) == quantity.constant
        if quantity.of_the_benchmark:
            return True
        if quantity.value in self.settings:
            return True
        equal = {number for number in self.numbers if quantity.equals(number)}
        total = quantity.total
        if not total or total in ALL:
            return bool(equal)
        return any(total in line and equal & line for line in self.lines)


def unheld(path: Path) -> Iterator[str]:
    """The numbers of a chapter's prose that nothing holds."""
    for quantity, shown in measured(path):
        if not shown.holds(quantity):
            yield f"nothing shows {quantity}"


def measured(path: Path) -> Iterator[tuple[Quantity, Shown]]:
    """Every number of a chapter's prose that states a measurement, with what has to show it."""
    parts = sections(path)
    everything = whole(path)
    if path.parent.name == "solutions":
        everything += whole(path.parent.parent / path.name)
    for part in parts:
        near = together(part.code)
        if ANYWHERE.match(part.title) or not part.code or path.parent.name == "solutions":
            near = everything
        if part.title == "Exercises":
            near += whole(path.parent / "solutions" / path.name)
        for index, prose in part.prose:
            for quantity in quantities(index, prose):
                if quantity.measured:
                    yield quantity, near + linked(path, prose)


def quantities(index: int, prose: str) -> Iterator[Quantity]:
    """The numbers of a text, but for those that are names."""
    text = NAMES.sub(" ", COSTS.sub("", prose))
    fixed = {
        match.start(group): float(value)
        for phrase, value in CONSTANTS.items()
        for match in re.finditer(_phrase(phrase), text, re.I)
        for group in range(1, match.re.groups + 1)
    }
    for match in re.finditer(NUMBER, text, re.I):
        before, after = text[: match.start()], text[match.end() :]
        word, constant = match[0][0].isalpha(), fixed.get(match.start())
        yield Quantity(index, plain(match[0]), word, before, after, constant)


@cache
def sections(path: Path) -> list[Section]:
    """A chapter's sections, without its references."""
    parts = [Section()]
    for index, cell in enumerate(nbformat.read(path, 4).cells):
        if cell.cell_type == "code":
            parts[-1].code.append(cell)
            continue
        before, *after = re.split(r"^## (.*)$", cell.source, flags=re.M)
        parts[-1].prose.append((index, before))
        parts += [Section(title, [(index, text)]) for title, text in zip(after[::2], after[1::2])]
    return [part for part in parts if part.title != "References"]


@cache
def whole(path: Path) -> Shown:
    """What a chapter shows from beginning to end; nothing, where there is no such chapter."""
    return together(cell for part in sections(path) for cell in part.code)


def linked(path: Path, prose: str) -> Shown:
    """What the chapters show to which a text has a link."""
    names = sorted(set(re.findall(r"\]\((\w+\.ipynb)", prose)) - {path.name})
    return reduce(Shown.__add__, (whole(path.parent / name) for name in names), Shown())


def together(cells) -> Shown:
    return reduce(Shown.__add__, map(shown_by, cells), Shown())


def shown_by(cell: NotebookNode) -> Shown:
    """What a cell of code shows: its outputs, the CSV of its figures, and its own numbers."""
    lines = [line for output in cell.outputs for line in _lines(output)]
    for name in re.findall(r'"(\w+)"', cell.source):
        if (file := paths.ROOT / "figures" / f"{name}.csv").is_file():
            lines += file.read_text(encoding="utf-8").splitlines()
    found = (frozenset(_numbers(line)) for line in lines)
    code = re.sub(r"(?<=\d)_(?=\d)", "", cell.source)
    named = {f"{float(n):g}" for n in re.findall(rf"\b\w+ ?= ?({DIGITS})(?![\w.])", code)}
    large = {number for number in _numbers(code) if float(number) > 12}
    return Shown(tuple(numbers for numbers in found if numbers), frozenset(named | large))


def plain(number: str) -> str:
    """A number of a text in digits, without sign and commas."""
    return str(WORDS.get(number.lower(), number.replace(",", "").lstrip("-+−")))


def _phrase(text: str) -> str:
    return text.replace(" ", r"\s+").replace("N", f"({NUMBER})")


def _lines(output: NotebookNode) -> list[str]:
    """The lines of an output; those of a table are its rows."""
    data = output.get("data", {})
    if "text/html" not in data:
        return (output.get("text", "") or data.get("text/plain", "")).splitlines()
    table = re.sub(r"<style.*?</style>|</t[dh]>", " ", data["text/html"], flags=re.S)
    rows = re.sub(r"</(?:tr|p|div)>", "\n", " ".join(table.split()))
    return html.unescape(re.sub(r"<[^>]*>", "", rows)).splitlines()


def _numbers(text: str) -> list[str]:
    return [plain(number) for number in re.findall(rf"(?<![\w.]){DIGITS}", text)]

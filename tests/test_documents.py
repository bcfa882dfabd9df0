"""What the documents say is so: cards agree with recipes and checkpoints, results with a run, the
README's Python with its output, its tree with the disk, every link with a file.
"""

import ast
import contextlib
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from tables import TOLERANCE, table_of

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.mini.card import card
from covrr_utils.mini.recipes import RECIPES


@pytest.mark.parametrize("name", sorted(list_backbones()))
def test_model_cards_are_what_their_command_writes(name):
    folder = paths.backbones_dir() / name
    measured = pd.read_csv(folder / "accuracy.csv")
    assert (folder / "README.md").read_text() == card(
        name, measured, Backbone.load(name, device="cpu").parameters()
    )
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(50, RECIPES[name].steps + 1, 50)), (
        "the log is that of the whole training"
    )


def test_sizes_are_at_least_three_times_apart():
    sizes = sorted(Backbone.load(name, device="cpu").parameters() for name in list_backbones())
    assert all(larger >= 3 * smaller for smaller, larger in zip(sizes, sizes[1:]))


DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in sorted((paths.ROOT / "docs").glob("*.md"))),
]


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of a document in one language."""
    text = (paths.ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def numbers_of(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def test_every_chapter_is_in_the_readme():
    text = (paths.ROOT / "README.md").read_text()
    for path in paths.notebooks_dir().glob("*.ipynb"):
        assert f"(notebooks/{path.name})" in text, path.name


def test_the_readme_shows_what_its_python_prints():
    """The words are the same; numbers may differ as between two processors."""
    (code,) = blocks("README.md", "python")
    shown, _ = blocks("README.md", "text")
    assert len([line for line in code.splitlines() if line]) <= 12
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.parse(code), "README.md", "exec"), {})
    words = [re.sub(r"\d+\.\d+", "#", text) for text in (shown, printed.getvalue())]
    assert words[0] == words[1]
    assert numbers_of(shown) == pytest.approx(numbers_of(printed.getvalue()), abs=TOLERANCE)


def test_the_readme_reports_the_results_by_kind_of_number():
    """Its one table repeats the first column of the tables in docs/results.md, and the best system
    of those measured past the paper.
    """
    rows = table_of("README.md", "## Results")
    mini = table_of("docs/results.md", "**Measured here, mini**")
    paper = table_of("docs/results.md", "## Paper-reported")
    systems = pd.read_csv(paths.ROOT / "data" / "measured" / "past_the_paper.csv")
    best = systems.query(
        "backbone == 'mini-3m' and benchmark == 'mini' and `first stage` == 'bm25'"
        " and reranker == 'likelihood, 50'"
    ).iloc[0]
    again = f"{best['R@1']:.2f} [{best['low']:.1f}, {best['high']:.1f}]"
    assert again.replace(" ", " % ", 1) in " ".join(
        (paths.ROOT / "docs" / "results.md").read_text().split()
    )
    assert {name: cells[:2] for name, cells in rows.items()} == {
        "without reasoning": [
            mini["single_stage"][0],
            paper["Qwen3-VL-8B, no explicit reasoning"][0],
        ],
        "with reasoning": [mini["two_stage"][0], paper["Qwen3-VL-8B + reasoning"][0]],
        "with the gold trace": [mini["gold_trace"][0], ""],
        "by words, and 50 candidates [looked at again](docs/past-the-paper.md)": [again, ""],
    }


def test_the_readme_shows_every_folder():
    """Its tree has one line for each folder of the repository and of the package."""
    _, tree = blocks("README.md", "text")
    shown, parent = set(), ""
    for line in tree.splitlines():
        name = line.split()[0].rstrip("/")
        parent = parent if line.startswith(" ") else name
        shown.add(f"{parent}/{name}" if line.startswith(" ") else name)
    ignored = {
        line.strip().rstrip("/") for line in (paths.ROOT / ".gitignore").read_text().splitlines()
    }

    def folders(parent: Path) -> set[str]:
        return {
            path.relative_to(paths.ROOT).as_posix()
            for path in parent.iterdir()
            if path.is_dir()
            and not path.name.startswith((".", "__"))
            and path.name not in ignored
            and path.suffix != ".egg-info"
        }

    assert shown == folders(paths.ROOT) | folders(paths.ROOT / "covrr_utils")


def test_the_readme_is_read_at_a_sitting():
    assert len((paths.ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_are_no_wider_than_a_page(document):
    """Prose and commands fit 100 columns; table rows and pictures are as wide as they are."""
    text = (paths.ROOT / document).read_text()
    wide = [line for line in text.splitlines() if len(line) > 100 and line[0] not in "|!"]
    (shown,) = blocks(document, "text")[:1] if document == "README.md" else [""]
    assert [line for line in wide if line not in shown] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    folder = (paths.ROOT / document).parent
    text = re.sub(r"`[^`]+`", "", (paths.ROOT / document).read_text())
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if not target.startswith("https://"):
            assert (folder / target.split("#")[0]).exists(), target


def test_every_guide_is_linked_from_the_readme_or_another_guide():
    texts = {name: (paths.ROOT / name).read_text() for name in DOCUMENTS}
    for name in DOCUMENTS[3:]:
        others = "".join(text for other, text in texts.items() if other != name)
        assert f"({name})" in others or f"({Path(name).name})" in others, name


@pytest.mark.parametrize("document", [*DOCUMENTS, "data/README.md"])
def test_documents_name_modules_that_exist(document):
    text = (paths.ROOT / document).read_text()
    for name in re.findall(r"`((?:covrr_utils|tests|benchmarks|notebooks|docs)/[\w./]+)`", text):
        assert "/NN_" in name or (paths.ROOT / name).exists(), name

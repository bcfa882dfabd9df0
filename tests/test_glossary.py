"""The glossary: every word is defined once, in a few sentences, and every link to it is alive."""

import json
import re

import pytest

from covrr_utils import paths

GLOSSARY = paths.ROOT / "docs" / "glossary.md"


def slug(heading: str) -> str:
    """The address that GitHub, JupyterLab and the book give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def entries() -> dict[str, str]:
    """Address of a word -> its definition."""
    parts = re.split(r"^### (.+)$", GLOSSARY.read_text(), flags=re.M)[1:]
    return {
        slug(word): re.split(r"^## ", text, flags=re.M)[0].strip()
        for word, text in zip(parts[::2], parts[1::2])
    }


def linked(text: str) -> set[str]:
    return set(re.findall(r"\]\([\w./]*glossary\.md#([^)]+)\)", text))


def texts() -> dict[str, str]:
    """Every document and every chapter, by its name."""
    found = {path.name: path.read_text() for path in (paths.ROOT / "docs").glob("*.md")}
    for path in paths.notebooks_dir().rglob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        found[path.name] = "\n".join("".join(cell["source"]) for cell in cells)
    return found


def test_a_word_is_defined_once_in_one_to_four_sentences():
    headings = re.findall(r"^### (.+)$", GLOSSARY.read_text(), re.M)
    assert len(headings) == len(entries()) >= 50
    for word, text in entries().items():
        sentences = re.findall(r"[.?!](?= [A-Z*`\[]|$)", text.replace("\n", " "))
        assert 1 <= len(sentences) <= 4, (word, sentences)


def test_the_glossary_s_own_links_lead_to_its_words():
    assert set(re.findall(r"\]\(#([^)]+)\)", GLOSSARY.read_text())) <= set(entries())


@pytest.mark.parametrize("name", sorted(texts()))
def test_links_to_the_glossary_lead_to_a_word(name):
    assert linked(texts()[name]) <= set(entries())

"""Tables of chapters and guides: a cell that holds a sentence is marked as long, so that the book's
style can wrap it and keep names and numbers on one line.
"""

import html
import json
import re

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 24  # characters of a name that stays on one line

NUMBER = re.compile(r"[-+−]?[\d.,]+(?: %)?(?: \[[^\]]*\])?")


def marked(table: str) -> str:
    """The HTML of a table, its long cells with the class ``long`` before those that they have."""
    return re.sub(r'(<td\b[^>]*?class=")([^>]*>)(.*?)(?=</td>)', _marked_cell, table, flags=re.S)


def _marked_cell(cell: re.Match[str]) -> str:
    text = html.unescape(re.sub(r"<[^>]*>", "", cell[3])).strip()
    return f"{cell[1]}{'long ' * (len(text) > LONGEST)}{cell[2]}{cell[3]}"


def mark(app: Sphinx, document: str, source: list[str]) -> None:
    """Mark the tables in the outputs of a chapter before it is read."""
    if not str(app.env.doc2path(document)).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            if "text/html" in shown:
                shown["text/html"] = marked("".join(shown["text/html"]))
    source[0] = json.dumps(notebook)


def mark_guides(app: Sphinx, tree: nodes.document) -> None:
    """Mark the tables that are written as text: ``long`` cells, and those of one ``number``, also
    with an interval.
    """
    for entry in tree.findall(nodes.entry):
        text = entry.astext()
        if len(text) > LONGEST:
            entry["classes"].append("long")
        elif NUMBER.fullmatch(text):
            entry["classes"].append("number")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", mark)
    app.connect("doctree-read", mark_guides)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Solutions are folded: the page of solutions shows what each exercise asks, and the rest when a
reader opens it.
"""

from docutils import nodes
from sphinx.application import Sphinx

OPEN = '<details class="solution"><summary>Solution</summary>'


def fold(app: Sphinx, tree: nodes.document) -> None:
    """Put all of an exercise but its heading and its question into an element that opens."""
    if "/solutions/" not in f"/{app.env.docname}":
        return
    for section in tree.findall(nodes.section):
        title, *rest = section.children
        if not title.astext().startswith("Exercise ") or not rest:
            continue
        told = 2 if isinstance(rest[0], (nodes.block_quote, nodes.paragraph)) else 1
        section.insert(told, nodes.raw("", OPEN, format="html"))
        section.append(nodes.raw("", "</details>", format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The tree of pages beside each page is made of their titles.

Furo asks for titles alone, but Sphinx copies the whole contents of every page, for every page, and
drops them again: with the names of the reference among them this was a fifth of the time that the
book took.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


def title(contents: nodes.bullet_list) -> nodes.bullet_list:
    """A page's contents without what lies below its title, where no other page lies there."""
    short = contents.deepcopy()
    for item in short.children:
        if len(item) > 1 and not any(item.findall(addnodes.toctree)):
            del item[1:]
    return short


def shorten(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Give Furo, which is called after this, a ``toctree`` that copies titles alone."""
    whole, toctree = app.env.tocs, context["toctree"]
    if not hasattr(app, "titles_of_pages"):
        app.titles_of_pages = {name: title(contents) for name, contents in whole.items()}

    def titles_only(**options: Any) -> str:
        app.env.tocs = app.titles_of_pages if options.get("titles_only") else whole
        try:
            return toctree(**options)
        finally:
            app.env.tocs = whole

    context["toctree"] = titles_only


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", shorten, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

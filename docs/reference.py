"""The reference: the docstrings of the package, as Sphinx shows them.

The directive ``room`` lists the modules of one folder of the package, so that a new module is in
the book at once. Parameters, attributes, results and errors are written in numpydoc's sections, one
line ``name : what it is`` each (for errors: the class, and below it when it is raised). What stands
indented between paragraphs (a formula, a table of words) is shown as it is typed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

PACKAGE = Path(__file__).resolve().parent.parent / "covrr_utils"
FIELDS = {"Parameters": "param", "Attributes": "ivar", "Raises": "raises", "Returns": "returns"}


def sections(lines: list[str]) -> Iterator[tuple[str | None, list[str]]]:
    """The parts of a docstring: its heading, None for the text before the first, and its lines."""
    heading, part = None, []
    for line, following in zip(lines, [*lines[1:], ""]):
        if re.fullmatch(r"-{3,}", following.strip()) and line.strip() in FIELDS:
            yield heading, part
            heading, part = line.strip(), []
        elif not (heading and not part and re.fullmatch(r"-{3,}", line.strip())):
            part.append(line)
    yield heading, part


def as_typed(lines: list[str]) -> list[str]:
    """``lines`` with the mark of a literal block before what stands indented after a blank line."""
    shown: list[str] = []
    literal = False
    for previous, line in zip(["", *lines], lines):
        indented = line.startswith("  ")
        if indented and not literal and not previous.strip():
            shown += ["::", ""]
        literal = indented or (literal and not line.strip())
        shown.append(line)
    return shown


def fields(heading: str, lines: list[str]) -> list[str]:
    """The entries of a section as fields, continuation lines joined."""
    entries: list[list[str]] = []
    for line in filter(str.strip, lines):
        if line.startswith(" ") and entries:
            entries[-1].append(line.strip())
        else:
            entries.append([line.strip()])
    shown = []
    for first, *rest in entries:
        name, _, text = first.partition(" : ")
        if heading == "Returns":
            shown.append(f":returns: {' '.join([first, *rest])}")
        else:
            shown += [
                f":{FIELDS[heading]} {single.strip()}: {' '.join([text, *rest])}"
                for single in name.split(",")
            ]
    return [*shown, ""]


def read(app, what, name, thing, options, lines: list[str]) -> None:
    """Called by autodoc for each docstring; changes ``lines`` in place."""
    shown: list[str] = []
    for heading, part in sections(lines):
        shown += fields(heading, part) if heading else as_typed(part)
    lines[:] = shown


class Room(SphinxDirective):
    """``.. room:: traces``: a section for each module of that folder, with its docstrings; without
    an argument the modules at the top.
    """

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections."""
        folder = PACKAGE / self.arguments[0] if self.arguments else PACKAGE
        lines = StringList()
        for path in sorted(folder.glob("[!_]*.py")):
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            title = f"``{name.partition('.')[2]}``"
            for line in (title, "-" * len(title), "", f".. automodule:: {name}", ""):
                lines.append(line, str(path))
        section = nodes.section()
        section.document = self.state.document
        nested_parse_with_titles(self.state, lines, section)
        return section.children


def is_foreign(app, what, name, thing, skip, options) -> bool | None:
    """Whether a member of a module is only imported there (decorated functions of other packages
    are not told apart by autodoc itself); None leaves the choice to autodoc.
    """
    module = getattr(thing, "__module__", None) or ""
    return True if what == "module" and not module.startswith(PACKAGE.name) else None


def setup(app):
    app.add_directive("room", Room)
    app.connect("autodoc-skip-member", is_foreign)
    app.connect("autodoc-process-docstring", read)
    return {"parallel_read_safe": True}

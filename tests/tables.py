"""Tables of the documents, as tests read them."""

import re

from covrr_utils import paths

# percent points: another processor rounds differently, and a rank or two may change
TOLERANCE = 1.0


def table_of(document: str, heading: str) -> dict[str, list[str]]:
    """The first table of ``document`` after the paragraph that starts with ``heading``: first cell
    -> the others.
    """
    text = (paths.ROOT / document).read_text()
    table = next(part for part in text[text.index(heading) :].split("\n\n") if part.startswith("|"))
    rows = re.findall(r"^\|(.+)\|$", table, re.M)
    return {
        first.strip(): [cell.strip() for cell in cells]
        for first, *cells in (row.split("|") for row in rows[2:])
    }

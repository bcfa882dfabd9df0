"""Tables as csv files that a spreadsheet may open: a text in them stays a text.

Excel, LibreOffice and Google Sheets run a cell as a formula when it begins with ``=``, ``+``, ``-``
or ``@`` (or their full-width forms), and take a leading tab or line break as an end of the cell
before. Texts of labels and models may begin so. Such a cell gets an apostrophe in front, which
tells a spreadsheet that text follows (OWASP, "CSV Injection"). Numbers stay numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\n")


def plain_cell(value: object) -> object:
    """The value as it may stand in a csv file: a text that would be run as a formula has an
    apostrophe in front, everything else is as it was.

    A number that is written as text, and a dash alone, are no formulas. A carriage return becomes a
    line feed: csv readers take one that is not quoted as the end of the row.

    >>> [plain_cell(value) for value in ("=1+1", "-9.4", "-", "Zoom out.", -9.4)]
    ["'=1+1", '-9.4', '-', 'Zoom out.', -9.4]
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(FORMULA_SIGNS) and not _harmless(text) else text


def _harmless(text: str) -> bool:
    if text == "-":
        return True
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as a csv file: texts plain (`plain_cell`), numbers to ten decimals, without the
    noise of binary fractions; the same table gives the same bytes.
    """
    from pandas.api.types import is_numeric_dtype

    plain = table.round(10)
    plain.columns = [plain_cell(name) for name in table.columns]
    for place, (_, column) in enumerate(table.items()):
        if not is_numeric_dtype(column):
            plain.isetitem(place, column.map(plain_cell))
    text = plain.to_csv(index=False, lineterminator="\n")
    return text.encode(errors="backslashreplace")

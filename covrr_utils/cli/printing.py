"""What commands print: tables and lines for people, json for machines. Texts that come from labels,
results or models are shown as text, whatever characters they hold.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Mapping, Sequence

from covrr_utils.paths import printable

UNLIMITED = 100_000  # columns, where no terminal limits them

LEGEND = "n, R@k: over all triplets / over those whose reference and target video could be read"


def say(text: str = "", error: bool = False) -> None:
    """Print lines on standard output, or on standard error; control characters as escapes."""
    lines = "\n".join(map(printable, text.split("\n")))
    print(lines, file=sys.stderr if error else sys.stdout, flush=True)


def say_json(data: object) -> None:
    """Print data for machines: json in plain ASCII, which every terminal and encoding holds."""
    print(json.dumps(data, indent=1), flush=True)


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes to a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def text_table(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], width: int | None = None
) -> str:
    """Rows as an aligned table of plain text: numbers to the right, text to the left.

    Where the table is wider than ``width`` columns (default: no limit), what all rows share moves
    above it, from the left, as much as is needed; cells that are still too wide are wrapped.
    """
    cells = [[printable(str(row.get(column, ""))) for column in columns] for row in rows]
    table = _rendered(cells, columns, UNLIMITED)
    if width is None or max(map(len, table)) <= width:
        return "\n".join(table)
    above = []
    left = list(range(len(columns)))
    for place in range(len(columns)):
        if len(cells) > 1 and len({line[place] for line in cells}) == 1:
            above.append(f"{columns[place]}: {cells[0][place]}")
            left.remove(place)
            kept = [[line[column] for column in left] for line in cells]
            table = _rendered(kept, [columns[column] for column in left], UNLIMITED)
            if max(map(len, table)) <= width:
                return "\n".join([*above, *table])
    kept = [[line[column] for column in left] for line in cells]
    return "\n".join([*above, *_rendered(kept, [columns[column] for column in left], width)])


def _rendered(cells: Sequence[Sequence[str]], columns: Sequence[str], width: int) -> list[str]:
    """The lines of a table that is at most ``width`` columns wide."""
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    line_below_header = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
    table = Table(box=line_below_header, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        numbers = bool(cells) and all(line[place].replace(".", "", 1).isdigit() for line in cells)
        table.add_column(
            Text(column), justify="right" if numbers else "left", overflow="fold", min_width=1
        )
    for line in cells:
        table.add_row(*map(Text, line))
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, force_terminal=False).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def results_table(results: Sequence[dict], width: int | None = None) -> str:
    """Stored results for people: one line each, recall in percent, the kind of number and the
    denominators beside it.

    Recall stands as "over all / over the present ones" (those whose reference and target video
    could be read), never one without the other.
    """
    if not results:
        return "no results"
    rows = [_result_row(result) for result in results]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    remarks = [remark for result in results if (remark := _remark(result))]
    return "\n".join([text_table(rows, columns, width), LEGEND, *map(printable, remarks)])


def _result_row(result: dict) -> dict[str, object]:
    """One result by column."""
    present = "-" if result["present"] is None else result["present"]
    low, high = (100 * bound for bound in result["interval"]["1"])

    def both(k: str) -> str:
        parts = (result["recall"], result["recall_present"])
        return " / ".join(f"{100 * part[k]:.2f}" if k in part else "-" for part in parts)

    return {
        "kind": result["kind"],
        "benchmark": result["benchmark"],
        "gallery": f"{result['gallery']} ({result['gallery_size']:,})",
        "protocol": result["protocol"],
        "backbone": result["backbone"],
        "strategy": result["strategy"],
        "prompts": result["prompt_style"],
        "pooling": result["pooling"],
        "scheme": result["scheme"] if result["pooling"] == "weighted_mean" else "-",
        "source": result["source"],
        **_options(result),
        "seed": result["seed"],
        "n": f"{result['triplets']} / {present}",
        "coverage": f"{result['coverage']:.3f}",
        "valid traces": f"{result['validity']['rate']:.3f}" if result["validity"] else "-",
        **{f"R@{k}": both(k) for k in result["recall"]},
        "R@1 95%": f"{low:.1f}-{high:.1f}",
    }


def _options(result: dict) -> dict[str, str]:
    """What is set otherwise than by default; no column where nothing is."""
    options = ", ".join(f"{name} {value}" for name, value in result["options"].items())
    return {"options": options} if options else {}


def _remark(result: dict) -> str:
    """What a reader of this result must know beside the numbers; nothing where all went as it
    should.
    """
    remarks = [f"{count} x {cause}" for cause, count in result["failures"].items()]
    remarks += [
        f"{count} descriptions of {part} cut off at the token limit"
        for part, count in result["cut_off"].items()
        if count
    ]
    if result["retried"]:
        remarks.append(f"{result['retried']} traces asked for again under a grammar")
    if not remarks:
        return ""
    name = f"{result['backbone']}, {result['strategy']}, {result['pooling']}"
    return f"{name}: {'; '.join(remarks)}"

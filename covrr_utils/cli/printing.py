"""What commands print for people: rows as an aligned table, results with their denominators."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[dict], columns: Sequence[str]) -> str:
    """Rows as an aligned text table: numbers to the right, text to the left."""
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    numeric = [
        bool(cells) and all(line[i].replace(".", "", 1).isdigit() for line in cells)
        for i in range(len(columns))
    ]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric)
        ).rstrip()

    return "\n".join([line(columns), line(["-" * width for width in widths]), *map(line, cells)])


def results_table(results: Sequence[dict]) -> str:
    """Stored results for people: one line each, recall in percent, the kind of number and the
    denominators beside it.

    Recall stands as "over all / over the present ones" (those whose reference and target video
    could be read), never one without the other.
    """

    def both(r: dict, k: str) -> str:
        return " / ".join(
            f"{100 * part[k]:.2f}" if k in part else "-"
            for part in (r["recall"], r["recall_present"])
        )

    rows = [
        {
            "kind": r["kind"],
            "benchmark": r["benchmark"],
            "gallery": f"{r['gallery']} ({r['gallery_size']:,})",
            "protocol": r["protocol"],
            "backbone": r["backbone"],
            "strategy": r["strategy"],
            "prompts": r["prompt_style"],
            "pooling": r["pooling"],
            "scheme": r["scheme"] if r["pooling"] == "weighted_mean" else "-",
            "source": r["source"],
            "seed": r["seed"],
            "n": f"{r['triplets']} / {'-' if r['present'] is None else r['present']}",
            "coverage": f"{r['coverage']:.3f}",
            "valid traces": f"{r['validity']['rate']:.3f}" if r["validity"] else "-",
            **{f"R@{k}": both(r, k) for k in r["recall"]},
            "R@1 95%": "{:.1f}-{:.1f}".format(*(100 * bound for bound in r["interval"]["1"])),
        }
        for r in results
    ]
    legend = "n, R@k: over all triplets / over those whose reference and target video could be read"
    return (
        "\n".join([text_table(rows, list(rows[0])), legend, *filter(None, map(_remark, results))])
        if rows
        else text_table([], [])
    )


def _remark(r: dict) -> str:
    """What a reader of this result must know beside the numbers; nothing where all went as it
    should.
    """
    said = [f"{count} x {cause}" for cause, count in r["failures"].items()]
    said += [
        f"{count} descriptions of {of} cut off at the token limit"
        for of, count in r["cut_off"].items()
        if count
    ]
    said += [f"{r['retried']} traces asked for again under a grammar"] if r["retried"] else []
    return f"{r['backbone']}, {r['strategy']}, {r['pooling']}: {'; '.join(said)}" if said else ""

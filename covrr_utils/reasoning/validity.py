"""How many of the traces that a model wrote were traces as it was asked for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from covrr_utils.backbones.description import Failure
from covrr_utils.traces.reading import read_trace_text
from covrr_utils.traces.trace import TraceError

UNUSABLE = "unusable trace"


class Traced(Protocol):
    """What `validity` reads of a query, answered just now or from the store."""

    @property
    def samples(self) -> list[str]:
        """The sampled traces to the letter."""

    @property
    def written(self) -> str | None:
        """The one trace to the letter; None where no single one was asked for."""


def validity(
    queries: Iterable[Traced], failures: Iterable[Failure], texts_per_failure: int = 1
) -> dict[str, object] | None:
    """How many of the traces a model wrote were traces as asked for, counted over every text
    (self-consistency writes several a triplet).

    Returns ``texts``, of them ``valid``, ``repaired`` and ``unusable`` (they add up), ``rate``
    (valid / texts, 0..1), ``repairs`` (how many texts needed which) and ``unwritten`` (triplets
    that failed before a trace was asked for). None where no trace is written at all.
    """
    causes = Counter(failure.cause == UNUSABLE for failure in failures)
    texts = [text for query in queries for text in _written(query)]
    repairs: Counter[str] = Counter()
    valid, unusable = 0, texts_per_failure * causes[True]
    total = len(texts) + unusable
    if not total:
        return None
    for text in texts:
        try:
            trace = read_trace_text(text)
        except TraceError:
            unusable += 1
            continue
        valid += trace.valid
        repairs.update(trace.repairs)
    return {
        "texts": total,
        "valid": valid,
        "repaired": total - valid - unusable,
        "unusable": unusable,
        "rate": valid / total,
        "repairs": dict(repairs.most_common()),
        "unwritten": causes[False],
    }


def _written(query: Traced) -> list[str]:
    """The texts in which a trace was asked for, an empty one among them."""
    return query.samples if query.written is None else [query.written]

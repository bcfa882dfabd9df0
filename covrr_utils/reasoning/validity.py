"""How many of the traces that a model wrote were traces as it was asked for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from covrr_utils.backbones.description import Failure
from covrr_utils.traces.reading import read_trace_text
from covrr_utils.traces.trace import TraceError

UNUSABLE = "unusable trace"


def trace_texts(written: str | None, samples: list[str]) -> list[str]:
    """The texts in which a trace was asked for, an empty one among them: the one that was
    ``written``, else the sampled ones.
    """
    return samples if written is None else [written]


def validity(
    texts: Sequence[str], failures: Iterable[Failure], texts_per_failure: int = 1
) -> dict[str, object] | None:
    """How many of the traces a model wrote were traces as asked for, counted over every text
    (self-consistency writes several a triplet).

    Returns ``texts``, of them ``valid``, ``repaired`` and ``unusable`` (they add up), ``rate``
    (valid / texts, 0..1), ``repairs`` (how many texts needed which) and ``unwritten`` (triplets
    that failed before a trace was asked for). None where no trace is written at all.
    """
    causes = Counter(failure.cause == UNUSABLE for failure in failures)
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

"""The failure gallery: one HTML page per run and strategy, with everything in it; it opens from
disk, without a server or a network.

It says what came first instead of the targets and which stage made the first mistake; then a card
per triplet (`covrr_utils.judging.failure_cards`), to be searched, sorted and filtered. The address
holds the view, so that it can be shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.experiments.places import result_name
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.files import write_atomically
from covrr_utils.judging.diagnostics import Diagnosis, diagnose, misses_by_kind, misses_by_stage
from covrr_utils.judging.failure_cards import SHOWN, STAGES, FailureCard, failure_card
from covrr_utils.judging.judges import SlotsJudge
from covrr_utils.judging.kinds import meaning
from covrr_utils.judging.scoring import SCALE, Score, cases, judged, summary
from covrr_utils.pages.films import Films, films
from covrr_utils.pages.rendering import render


def write_failure_page(
    run: Run, result: Result, hits: bool = False, to: Path | None = None
) -> Path:
    """Write the page of ``result`` and return its path (default: in the run's quality folder);
    ``hits`` shows triplets whose target came first too.
    """
    diagnoses = diagnose(run, result)
    score, cards = _scored_cards(
        run, result, diagnoses, [hits or not diagnosis.hit for diagnosis in diagnoses]
    )
    strategy = result.strategy.replace("_", " ")
    page = failure_page(
        f"{'Hits and misses' if hits else 'Misses'}: {strategy} on {result.benchmark}",
        _facts(result, score),
        diagnoses,
        cards,
        films(run.benchmark.video_path, (video for card in cards for video in card.videos)),
        lacking(run.benchmark.triplets, cards),
    )
    shown = "all" if hits else "misses"
    path = to or run.quality_folder / result_name(result, f"__{shown}.html")
    write_atomically(path, page)
    return path


def _scored_cards(
    run: Run, result: Result, diagnoses: Sequence[Diagnosis], chosen: Sequence[bool]
) -> tuple[Score | None, list[FailureCard]]:
    """The Reasoning Score of the traces, if there is any, and the cards of the triplets chosen."""
    queries = run.queries(result.strategy)
    texts = {video: described.text for video, described in run.gallery().items()}
    judge, traced = SlotsJudge(), cases(run, result.strategy)
    scored = judged(judge, traced) if any(case.trace and case.gold for case in traced) else []
    verdicts = {verdict.id: verdict for verdict in scored}
    score = (
        summary(judge, scored, result.strategy, result.backbone, result.kind) if scored else None
    )
    cards = [
        failure_card(
            number,
            triplet,
            row,
            diagnosis,
            queries.get(triplet.id),
            texts,
            verdicts.get(triplet.id),
        )
        for number, (triplet, row, diagnosis, shown) in enumerate(
            zip(run.benchmark.triplets, result.queries, diagnoses, chosen, strict=True)
        )
        if shown
    ]
    return score, cards


@dataclass(frozen=True)
class Excerpt:
    """Some cards of the page as a chapter shows them: all of them open, in a box whose styles leave
    the chapter around it alone.
    """

    cards: Sequence[FailureCard]
    films: Films

    def _repr_html_(self) -> str:
        return render(
            "covrr_utils.judging",
            "failure_excerpt.html.j2",
            films=self.films,
            items=self.cards,
            stage_meanings=STAGES,
            meaning=meaning,
        ).decode()

    def __repr__(self) -> str:
        return "\n".join(f"{card.edit} {card.verdict}" for card in self.cards)


def excerpt(run: Run, result: Result, triplets: Sequence[str]) -> Excerpt:
    """The cards of the ``triplets`` with these ids, in the benchmark's order; hits have one too."""
    diagnoses = diagnose(run, result)
    chosen = [diagnosis.id in triplets for diagnosis in diagnoses]
    _, cards = _scored_cards(run, result, diagnoses, chosen)
    videos = (video for card in cards for video in card.videos)
    return Excerpt(cards, films(run.benchmark.video_path, videos))


def failure_page(
    title: str,
    facts: Mapping[str, str],
    diagnoses: Sequence[Diagnosis],
    cards: Sequence[FailureCard],
    shown: Films,
    absences: Sequence[str],
) -> bytes:
    """The page as UTF-8: ``facts`` stand beside the shares of all ``diagnoses``, then what is not
    there, then the ``cards`` with the films that are ``shown``.
    """
    missed = sum(not diagnosis.hit for diagnosis in diagnoses)
    return render(
        "covrr_utils.judging",
        "failures.html.j2",
        "failures.js" if cards else None,
        title=title,
        lead=(
            f"{missed:,} of {len(diagnoses):,} triplets were missed: their target was not the first"
            " video of the ranking."
        ),
        facts=facts,
        kinds=misses_by_kind(diagnoses).rename(columns={"kind": "value"}).to_dict("records"),
        stages=misses_by_stage(diagnoses).rename(columns={"stage": "value"}).to_dict("records"),
        counts=_counts(cards),
        lacking=absences,
        ranked=SHOWN,
        films=shown,
        items=cards,
        stage_meanings=STAGES,
        meaning=meaning,
    )


def _counts(cards: Iterable[FailureCard]) -> dict[str, dict[str, int]]:
    """What the cards can be filtered by, with how many there are: stages in the order in which they
    follow each other, kinds from the most frequent one, tags by name.
    """
    stages = Counter(card.stage for card in cards)
    tags = Counter(tag for card in cards for tag in card.tags)
    return {
        "stage": {stage: stages[stage] for stage in STAGES if stage in stages},
        "kind": dict(Counter(card.kind for card in cards).most_common()),
        "tag": dict(sorted(tags.items())),
    }


def lacking(triplets: Sequence[Triplet], cards: Sequence[FailureCard]) -> list[str]:
    """What the page cannot show, and why, in sentences."""
    sentences = {
        "The labels have no gold traces: nothing tells which stage made the first mistake, or"
        " whether a trace or a description is right.": any(t.gold_trace for t in triplets),
        "The labels name no hard distractors: only a gold trace could tell what kind of video came"
        " first.": any(t.distractors for t in triplets),
        "The labels have no tags to filter by.": any(t.tags for t in triplets),
        "This strategy writes no traces, or none that could be used.": not cards
        or any(card.has_trace for card in cards),
    }
    return [sentence for sentence, there in sentences.items() if not there]


def _facts(result: Result, score: Score | None) -> dict[str, str]:
    """What has to be said beside every number of the page."""
    low, high = (100 * bound for bound in result.interval["1"])
    facts = {
        "kind of number": result.kind,
        "R@1": f"{100 * result.recall['1']:.1f} [{low:.1f}, {high:.1f}]",
        "triplets": f"{result.triplets:,}",
        "gallery": f"{result.gallery} ({result.gallery_size:,})",
        "coverage": f"{result.coverage:.3f}",
        "backbone": result.backbone,
        "weights": result.weights_hash,
        "pooling": f"{result.pooling} / {result.scheme}",
        "seed": str(result.seed),
    }
    if result.validity:
        facts["valid traces"] = (
            f"{100 * result.validity['rate']:.1f} % of {result.validity['texts']:,}"
        )
    if score is not None and score.mean is not None and score.interval is not None:
        low, high = score.interval
        facts["Reasoning Score"] = (
            f"{score.mean:.2f} [{low:.2f}, {high:.2f}] on {SCALE}, judge {score.judge}"
            f" ({score.version})"
        )
    return facts

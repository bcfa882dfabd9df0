"""The failure gallery: one HTML page per run and strategy, with everything in it; it opens from
disk, without a server or a network.

Per triplet: frames of reference and target, the edit, the written trace beside the gold one, the
description after the edit, the first five videos with frames and scores, and a verdict. Filterable
by tag and cause.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.experiments.places import result_name
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.stored import DescribedQuery
from covrr_utils.files import write_atomically
from covrr_utils.judging.diagnostics import Diagnosis, diagnose, misses_by_kind
from covrr_utils.judging.judges import SlotsJudge, Verdict
from covrr_utils.judging.kinds import UNEXPLAINED, kind_of, meaning
from covrr_utils.judging.scoring import SCALE, Score, cases, judged, summary
from covrr_utils.traces.matching import canonical_pairs, slot_sentences
from covrr_utils.traces.reading import read_trace_text
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError
from covrr_utils.video.clips import ClipError, Sampling
from covrr_utils.video.decoder import read_clip

FRAMES, HEIGHT, QUALITY, SHOWN = 3, 80, 70, 5

HIT = "hit"


def write_failure_page(
    run: Run, result: Result, hits: bool = False, to: Path | None = None
) -> Path:
    """Write the page of ``result`` and return its path (default: in the run's quality folder);
    ``hits`` shows found triplets too.
    """
    diagnoses = diagnose(run, result)
    queries = run.queries(result.strategy)
    texts = {video: described.text for video, described in run.gallery().items()}
    judge, seen = SlotsJudge(), cases(run, result.strategy)
    scored = judged(judge, seen) if any(case.trace and case.gold for case in seen) else []
    verdicts = {verdict.id: verdict for verdict in scored}
    items = [
        _item(triplet, row, diagnosis, queries.get(triplet.id), texts, verdicts.get(triplet.id))
        for triplet, row, diagnosis in zip(
            run.benchmark.triplets, result.queries, diagnoses, strict=True
        )
        if hits or not diagnosis.hit
    ]
    videos = [
        video
        for item in items
        for video in (item["reference"], item["target"], *(result["id"] for result in item["top"]))
    ]
    images, absent, aspect = _strips(run, dict.fromkeys(videos))
    classes = {
        video: f"v{number}" if video in images else None
        for number, video in enumerate([*images, *absent])
    }
    score = (
        summary(judge, scored, result.strategy, result.backbone, result.kind) if scored else None
    )
    environment = Environment(
        loader=PackageLoader("covrr_utils.judging"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("failures.html.j2").render(
        title=f"{'Hits and misses' if hits else 'Misses'}: {result.strategy} on {result.benchmark}",
        lead=(
            f"{sum(not d.hit for d in diagnoses)} of {len(diagnoses)} triplets were missed at rank"
            " 1. Red and ✗ mark what differs from gold."
        ),
        facts=_fact_sheet(result, score),
        kinds=misses_by_kind(diagnoses).to_dict("records"),
        meaning=meaning,
        images={classes[video]: uri for video, uri in images.items()},
        classes=classes,
        absent=absent,
        aspect=aspect,
        items=items,
        tags=sorted({tag for item in items for tag in item["tags"]}),
        causes=sorted({item["cause"] for item in items}),
    )
    shown = "all" if hits else "misses"
    path = to or run.quality_folder / result_name(result, f"__{shown}.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _fact_sheet(result: Result, score: Score | None) -> dict[str, str]:
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


def _item(
    triplet: Triplet,
    row: Mapping,
    diagnosis: Diagnosis,
    query: DescribedQuery | None,
    texts: Mapping[str, str],
    verdict: Verdict | None,
) -> dict:
    """Everything that the page shows of one triplet."""
    written = query.trace if query else None
    hard, top = {video for videos in triplet.distractors.values() for video in videos}, []
    for video, score in zip(row["top"][:SHOWN], row["scores"]):
        kind = "target" if video == triplet.target else kind_of(triplet, video, texts)
        top.append(
            {"id": video, "score": score, "label": kind.replace("_", " "), "hard": video in hard}
        )
    return {
        "id": triplet.id,
        "edit": triplet.edit,
        "tags": list(triplet.tags),
        "reference": triplet.reference,
        "target": triplet.target,
        "top": top,
        "hit": diagnosis.hit,
        "cause": HIT if diagnosis.hit else diagnosis.kind,
        "verdict": _verdict(diagnosis),
        "trace": _side_by_side(written, triplet.gold_trace) if written else None,
        "repairs": _repairs(query),
        "description": _sentences(query.text, diagnosis.description_wrong) if query else None,
        "target_text": (
            _sentences(texts[triplet.target], diagnosis.target_wrong)
            if triplet.target is not None and triplet.target in texts
            else None
        ),
        "score": (
            f"Reasoning Score {verdict.score:.1f} on {SCALE} (slots-1)"
            if verdict and verdict.score is not None and written
            else None
        ),
    }


def _verdict(diagnosis: Diagnosis) -> str:
    """The triplet's fate in a sentence."""
    if diagnosis.hit:
        return "Found at rank 1."
    if diagnosis.rank is None:
        return f"Missed: never ranked ({diagnosis.cause})."
    kind = (diagnosis.kind or UNEXPLAINED).replace("_", " ")
    parts = [f"Missed: target at rank {diagnosis.rank}, {kind} video first."]
    if diagnosis.trace_wrong is not None:
        parts.append(
            f"Trace wrong in {', '.join(diagnosis.trace_wrong)}."
            if diagnosis.trace_wrong
            else "Trace right."
        )
    if diagnosis.description_wrong is not None:
        parts.append(
            f"Description wrong in {', '.join(diagnosis.description_wrong)}."
            if diagnosis.description_wrong
            else "Description right."
        )
    if diagnosis.target_wrong:
        parts.append(
            f"The gallery describes the target wrong in {', '.join(diagnosis.target_wrong)}."
        )
    return " ".join(parts)


def _side_by_side(written: ReasoningTrace, gold: ReasoningTrace | None) -> list[tuple]:
    """Per slot: written and gold assertions, each with whether the other side has it (None where
    there is no gold trace).
    """
    ours, theirs = canonical_pairs(written), canonical_pairs(gold) if gold else None
    rows = []
    for slot in SLOTS:
        left = [
            (
                item,
                (
                    None
                    if theirs is None
                    else canonical_pairs(ReasoningTrace(**{slot: (item,)}))[slot] <= theirs[slot]
                ),
            )
            for item in getattr(written, slot)
        ]
        right = [
            (item, canonical_pairs(ReasoningTrace(**{slot: (item,)}))[slot] <= ours[slot])
            for item in (getattr(gold, slot) if gold else ())
        ]
        rows.append((slot, left, right))
    return rows


def _sentences(text: str, wrong: Sequence[str] | None) -> list[tuple[str, bool]]:
    """The description sentence by sentence, each with whether its slot is right; in one piece where
    there are not five sentences.
    """
    slots = wrong or ()
    if by_slot := slot_sentences(text):
        return [(sentence, slot not in slots) for slot, sentence in by_slot.items()]
    return [(text, not slots)]


def _repairs(query: DescribedQuery | None) -> list[str]:
    """What had to be mended in the written trace."""
    if not query or not query.written:
        return []
    try:
        return list(read_trace_text(query.written).repairs)
    except TraceError as error:
        return [str(error)]


def _strips(run: Run, videos: Iterable[str]) -> tuple[dict[str, str], dict[str, str], str]:
    """Three frames of each video side by side, as JPEG data URIs; the cause where a video cannot be
    read; the aspect of the first strip.
    """
    import numpy as np
    from PIL import Image

    images: dict[str, str] = {}
    absent: dict[str, str] = {}
    aspect = f"{FRAMES} / 1"
    for video in videos:
        try:
            clip = read_clip(run.benchmark.video_path(video), Sampling(num_frames=FRAMES), video)
        except ClipError as error:
            absent[video] = f"{video}: {error.cause}"
            continue
        strip = Image.fromarray(np.concatenate(list(clip.frames), axis=1))
        strip = strip.resize(
            (round(strip.width * HEIGHT / strip.height), HEIGHT), Image.Resampling.LANCZOS
        )
        aspect = f"{strip.width} / {strip.height}" if not images else aspect
        buffer = io.BytesIO()
        strip.save(buffer, "JPEG", quality=QUALITY)
        images[video] = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return images, absent, aspect

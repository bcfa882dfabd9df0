"""What is there before any GPU time is spent: every video of a benchmark, probed; counts for all
and per section; a table and files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import Benchmark
from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.files import write_atomically, write_json
from covrr_utils.spreadsheet import csv_bytes
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import Decoder, submitted, told

PRESENT, MISSING = "present", "missing"

WORKERS = min(8, 2 * (os.cpu_count() or 1))  # waiting for a network file system takes no processor

PROBE = Sampling(num_frames=2)


@dataclass(frozen=True)
class Finding:
    """One video: ``cause`` is "present", or one of `covrr_utils.video.clips.CAUSES`."""

    video: str
    section: str
    cause: str
    message: str
    path: str
    reader: str  # which of `covrr_utils.video.clips.READERS` read it; "" if none could


def check_videos(benchmark: Benchmark, desc: str | None = "probing videos") -> list[Finding]:
    """Probe every video that the benchmark needs (first and last frame), in the order of
    `Benchmark.videos`.
    """
    videos, findings = benchmark.videos(), []
    with Decoder(WORKERS) as decoder:
        probes = [submitted(decoder, benchmark.video_path, video, PROBE) for video in videos]
        for video, (path, answer) in zip(tqdm(videos, desc=desc, disable=desc is None), probes):
            cause, message, reader = PRESENT, "", ""
            try:
                reader = answer.result().reader
            except Exception as error:  # whatever one video does costs that video alone
                cause, message = told(error).cause, str(told(error))
            section = benchmark.section_of(video)
            findings.append(Finding(video, section, cause, message, path, reader))
    return findings


def counts(benchmark: Benchmark, findings: Iterable[Finding] | None) -> dict:
    """Distinct references, targets and videos, the state of their files, and the same under
    ``sections`` for every named section.

    ``videos`` counts what has to be read: the gallery and the references; ``present``, ``missing``
    and ``unreadable`` add up to it, and are None without ``findings``. ``usable_triplets`` have a
    reference and a target that can be read. Without targets, ``targets`` is 0.
    """
    findings = None if findings is None else list(findings)
    whole = {
        "benchmark": benchmark.name,
        "gallery_name": benchmark.gallery_name,
        "gallery_protocol": benchmark.protocol,
        "reference_excluded": benchmark.exclude_reference,
        **_counted(benchmark, benchmark.triplets, benchmark.videos(), findings),
    }
    whole["sections"] = {}
    for section in benchmark.sections:
        triplets = [triplet for triplet in benchmark.triplets if triplet.section == section]
        videos = [video for video in benchmark.videos() if benchmark.section_of(video) == section]
        part = None
        if findings is not None:
            part = [finding for finding in findings if finding.section == section]
        whole["sections"][section] = _counted(benchmark, triplets, videos, part)
    return whole


def _counted(
    benchmark: Benchmark,
    triplets: Iterable[Triplet],
    videos: Iterable[str],
    findings: list[Finding] | None,
) -> dict:
    triplets, gallery, inside = list(triplets), set(benchmark.gallery), set(videos)
    pairs = Counter((triplet.reference, triplet.edit, triplet.target) for triplet in triplets)
    report: dict[str, object] = {
        "triplets": len(triplets),
        "references": len({triplet.reference for triplet in triplets}),
        "targets": len({triplet.target for triplet in triplets} - {None}),
        "videos": len(inside),
        "gallery": len(gallery & inside),
        "duplicate_rows": len(triplets) - len(pairs),
        "repeated_ids": sum("#" in triplet.id for triplet in triplets),
        "present": None,
        "missing": None,
        "unreadable": None,
        "causes": {},
        "readers": {},
        "usable_triplets": None,
    }
    if findings is not None:
        causes = Counter(finding.cause for finding in findings)
        readable = {finding.video for finding in findings if finding.cause == PRESENT}
        report |= {
            "present": causes[PRESENT],
            "missing": causes[MISSING],
            "unreadable": len(findings) - causes[PRESENT] - causes[MISSING],
            "causes": {cause: count for cause, count in sorted(causes.items()) if cause != PRESENT},
            "readers": dict(
                sorted(Counter(finding.reader for finding in findings if finding.reader).items())
            ),
            "usable_triplets": sum(
                {triplet.reference, triplet.target or triplet.reference} <= readable
                for triplet in triplets
            ),
        }
    return report


def rows(report: Mapping) -> list[dict]:
    """A report of `counts` as table rows: one for all, one per section."""
    kept = (
        "triplets",
        "usable_triplets",
        "references",
        "targets",
        "videos",
        "gallery",
        "present",
        "missing",
        "unreadable",
    )
    parts = {"all": report} | (report["sections"] if len(report["sections"]) > 1 else {})
    return [
        {"section": name}
        | {key: "-" if part[key] is None else part[key] for key in kept}
        | {"read by": ", ".join(f"{name} {n}" for name, n in part["readers"].items()) or "-"}
        for name, part in parts.items()
    ]


def save_report(report: Mapping, findings: Iterable[Finding] | None, benchmark: Benchmark) -> Path:
    """Write ``runs/<benchmark>/check.json`` and, where videos were probed, ``check.csv`` with one
    row per video; gives the json's path.
    """
    from covrr_utils.frames import pd

    folder = paths.runs_dir() / benchmark.label
    if findings is not None:
        columns = [field.name for field in fields(Finding)]
        table = pd.DataFrame([asdict(finding) for finding in findings], columns=columns)
        write_atomically(folder / "check.csv", csv_bytes(table))
    write_json(folder / "check.json", report)
    return folder / "check.json"

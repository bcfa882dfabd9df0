"""What a run will cost, before any of it is computed: tokens, hours of a GPU, disk and memory.

Tokens follow from the lengths and sizes of the videos and from the settings of the backbone's
processor, operations and bytes from its dimensions. How much of a GPU's rates a run reaches is not
known before it is run, so hours are a range (`covrr_utils.experiments.hardware`). What this machine
has described already with the same backbone and settings is measured: it corrects the lengths of
texts, and says how long this machine itself would take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from covrr_utils.backbones.dimensions import Dimensions, dimensions, video_processor
from covrr_utils.benchmarks.benchmark import Benchmark
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.descriptions import Descriptions
from covrr_utils.experiments.engines import server_of
from covrr_utils.experiments.hardware import GPUS, SHARES, Pair, Step, seconds
from covrr_utils.experiments.keys import query_key, video_key
from covrr_utils.video.clips import ClipError, Sampling
from covrr_utils.video.decoder import read_clip
from covrr_utils.video.scaling import PixelBudget

if TYPE_CHECKING:
    from transformers import Qwen3VLVideoProcessor

GALLERY = "gallery"

QUESTION = 60  # tokens of a prompt beside the video: layout, question and edit

PROBED = 24  # videos of a benchmark that are looked at

STAMP = 10  # tokens around each temporal patch: its time, and where its picture begins and ends

TRACE, DESCRIPTION = (60.0, 200.0), (60.0, 250.0)  # new tokens, where nothing was measured

TEXT_BYTES = 20  # of a token in the store beside its state: its text, number and probability


@dataclass(frozen=True)
class Shape:
    """What a video is like: seconds, frames a second, width and height."""

    seconds: float
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class Measured:
    """What this machine has described already with a backbone and its settings: how many, the wall
    seconds of one with everything, and the tokens of a description and of all traces before it;
    pairs are the interval of their mean.
    """

    count: int
    seconds: Pair
    description: Pair
    traces: Pair


def probed(benchmark: Benchmark, count: int = PROBED) -> list[Shape]:
    """The shapes of up to ``count`` videos of a benchmark, evenly spread; those that cannot be read
    are left out.
    """
    videos = benchmark.videos()
    step = max(len(videos) / count, 1)
    chosen = [videos[int(number * step)] for number in range(min(count, len(videos)))]
    shapes = []
    for video in chosen:
        try:
            about = read_clip(benchmark.video_path(video), Sampling(num_frames=2)).metadata
        except ClipError:
            continue
        assert about.fps and about.width and about.height
        length = about.total_num_frames / about.fps
        shapes.append(Shape(length, about.fps, about.width, about.height))
    return shapes


def measured(descriptions: Descriptions) -> dict[str, Measured]:
    """By part of a run (the gallery, each strategy): what the store holds of it, of whatever
    benchmark. A part of which nothing is stored has no entry; nothing is computed.
    """
    config, identity = descriptions.config, descriptions.identity
    generation = descriptions.generation
    keys = {GALLERY: ("gallery", video_key(config, identity, generation))}
    for strategy in config.strategies:
        keys[strategy] = "queries", query_key(config, identity, generation, strategy)
    parts = {}
    for name, (kind, key) in keys.items():
        collection = descriptions.store.collection(kind, key)
        heads = [collection.head(stored) for stored in collection.records()]
        if heads:
            lengths = [len(head["tokens"]) for head in heads]
            wholes = [head["extra"].get("tokens", len(head["tokens"])) for head in heads]
            parts[name] = Measured(
                len(heads),
                interval([head["extra"]["seconds"] for head in heads]),
                interval(lengths),
                interval([whole - length for whole, length in zip(wholes, lengths)]),
            )
    return parts


def plan(
    config: RunConfig,
    benchmark: Benchmark,
    shapes: Sequence[Shape],
    known: Mapping[str, Measured],
    gpu: str = "h100",
) -> dict[str, object]:
    """The plan of a run, for machines: every number that is not known exactly is a pair, low and
    high. ``known`` is what was `measured`.

    Raises
    ------
    UnknownBackbone
        If the backbone's dimensions are not known.
    ValueError
        If there are no shapes of videos.
    """
    if not shapes:
        raise ValueError(
            f"no video of {benchmark.name} could be read, so their lengths and sizes are not known;"
            " say what they are like with --length SECONDS and --picture WIDTHxHEIGHT"
        )
    dtype = "bfloat16" if config.dtype == "auto" else config.dtype
    model = dimensions(config.backbone, dtype, config.quantization)
    video = _video_tokens(config, shapes)
    counts = {GALLERY: len(benchmark.gallery)}
    counts |= dict.fromkeys(config.strategies, len(benchmark.triplets))
    steps = steps_of(config, counts, video, known)
    server = server_of(config.engine) is not None
    batch = config.in_flight if server else config.batch_size
    shares = SHARES["a server" if server else "this package"]
    hours = [_hours(seconds(step, model, GPUS[gpu], shares, batch)) for step in steps]
    needed = memory(steps, model, batch)
    assumed = ["shares of the GPU's rates"]
    if missing := [name for name in counts if name not in known]:
        assumed.append(f"lengths of the texts of {', '.join(missing)}")
    return {
        "benchmark": benchmark.name,
        "backbone": config.backbone,
        "gpu": gpu,
        "engine": config.engine,
        "at_once": batch,
        "videos_probed": len(shapes),
        "video_tokens": video,
        "steps": [
            {
                "step": step.name,
                "prompts": step.prompts,
                "prefill_tokens": step.total(step.prompt),
                "vision_tokens": step.total(step.video),
                "decode_tokens": step.total(step.new),
                "gpu_hours": each,
            }
            for step, each in zip(steps, hours, strict=True)
        ],
        "gpu_hours": _sum(hours),
        "disk_bytes": disk(steps, model),
        "memory_bytes": needed,
        "weights_bytes": model.weights,
        "fits": needed[1] < GPUS[gpu].memory,
        "assumed": assumed,
        "assumed_shares": {"operations": shares.operations, "bandwidth": shares.bandwidth},
        "measured_here": {
            name: {
                "count": part.count,
                "seconds_each": part.seconds,
                "description_tokens": part.description,
                "hours": _hours((counts[name] * part.seconds[0], counts[name] * part.seconds[1])),
            }
            for name, part in known.items()
        },
    }


def steps_of(
    config: RunConfig, counts: Mapping[str, int], video: Pair, known: Mapping[str, Measured]
) -> list[Step]:
    """The steps of a run. At best what was read of a video for one question is not read again for
    the next one about it; at worst it is.

    Where a server writes, every description is read once more, for its token states.
    """
    prompt = video[0] + QUESTION, video[1] + QUESTION
    again = float(QUESTION), prompt[1]
    unseen = 0.0, video[1]
    written = known[GALLERY].description if GALLERY in known else DESCRIPTION
    steps = [Step("gallery: describe", counts[GALLERY], prompt, video, written)]
    for strategy in config.strategies:
        count, part = counts[strategy], known.get(strategy)
        described = part.description if part else written
        times = {"two_stage": 1, "self_consistency": config.samples}.get(strategy, 0)
        trace = TRACE
        if part and times:
            trace = part.traces[0] / times, part.traces[1] / times
        if times:
            steps.append(Step(f"{strategy}: trace", count, prompt, video, trace))
        if times > 1:
            more = count * (times - 1)
            steps.append(Step(f"{strategy}: more traces", more, again, unseen, trace))
        if strategy == "single_stage":
            steps.append(Step(f"{strategy}: describe", count, prompt, video, described))
        else:
            low, seen = (again[0], unseen) if times else (prompt[0], video)
            given = low + trace[0], prompt[1] + trace[1]
            steps.append(Step(f"{strategy}: describe", count, given, seen, described))
    if server_of(config.engine) is not None:
        describing = [step for step in steps if step.name.endswith("describe")]
        steps += [
            replace(
                step,
                name=step.name.replace("describe", "states"),
                prompt=(max(step.prompt[0], prompt[0]) + step.new[0], step.prompt[1] + step.new[1]),
                video=video,
                new=(0.0, 0.0),
            )
            for step in describing
        ]
    return steps


def disk(steps: Sequence[Step], model: Dimensions) -> Pair:
    """Bytes of the store: of every token of a description its state in float16, and `TEXT_BYTES`.
    Traces are kept as text.
    """
    described = [step.total(step.new) for step in steps if step.name.endswith("describe")]
    low, high = _sum(described)
    each = 2 * model.width + TEXT_BYTES
    return low * each, high * each


def memory(steps: Sequence[Step], model: Dimensions, batch: int) -> Pair:
    """Bytes that the weights and the cache of one batch of the longest step take. Activations come
    on top.
    """
    low, high = (
        max(step.prompt[end] + step.new[end] for step in steps) * batch * model.cache
        for end in (0, 1)
    )
    return model.weights + low, model.weights + high


def tokens_of(shape: Shape, sampling: Sampling, budget: PixelBudget) -> int:
    """Tokens of a video of this shape in a prompt: squares of ``budget.side`` pixels of every
    temporal patch, and `STAMP` around each.
    """
    frames = len(sampling.indices(max(round(shape.seconds * shape.fps), 2), shape.fps))
    patches = max(math.ceil(frames / budget.frames), 1)
    height, width = budget.seen(max(frames, budget.frames), shape.height, shape.width)
    return patches * (height * width // budget.side**2 + STAMP)


def interval(values: Sequence[float]) -> Pair:
    """The mean of a sample, give or take two standard errors; of a single value, itself."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, mean
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    error = 2 * math.sqrt(variance / len(values))
    return max(mean - error, min(values)), min(mean + error, max(values))


def _video_tokens(config: RunConfig, shapes: Sequence[Shape]) -> Pair:
    """Tokens of a video as this run would sample it: the interval of the mean of what was
    probed.
    """
    processor = video_processor(config.backbone)
    budget = PixelBudget.of(processor)
    if config.video_pixels is not None:
        budget = replace(budget, most=config.video_pixels)
    sampling = _sampling(config, processor)
    return interval([tokens_of(shape, sampling, budget) for shape in shapes])


def _sampling(config: RunConfig, processor: Qwen3VLVideoProcessor) -> Sampling:
    """How frames are taken from a video: as the options say, else as the processor does."""
    least, most = processor.min_frames, processor.max_frames
    if config.num_frames is not None or (config.fps is None and processor.num_frames is not None):
        count = config.num_frames or processor.num_frames
        return Sampling(num_frames=count, min_frames=least, max_frames=most)
    return Sampling(fps=config.fps or processor.fps, min_frames=least, max_frames=most)


def _sum(parts: Sequence[Pair]) -> Pair:
    """Low and high of a sum, whose parts err together."""
    return sum(low for low, _ in parts), sum(high for _, high in parts)


def _hours(bounds: Pair) -> Pair:
    return bounds[0] / 3600, bounds[1] / 3600

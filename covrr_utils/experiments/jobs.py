"""Which notebooks are executed with which parameters, and into which folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from covrr_utils import paths
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.experiments.config import RunConfig, default
from covrr_utils.experiments.places import benchmark_folder, file_name, run_folder
from covrr_utils.experiments.workbook import notebook_path, own_parameters, parameters_of

GATHERED = "all"  # in place of the backbone, for notebooks that compare backbones

GATHERING = ("07_ablation_backbone", "08_paper_figures")

PER_BACKBONE = (
    "00_start_here",
    "01_triplets_and_videos",
    "02_reasoning_traces",
    "03_pooling_embeddings",
    "04_retrieval",
    "05_ablation_reasoning",
    "06_ablation_pooling",
    "09_reasoning_quality",
)


@dataclass(frozen=True)
class Job:
    """One notebook to execute with these parameters; ``folder`` receives everything it makes."""

    notebook: str
    parameters: Mapping[str, object]
    folder: Path
    figures: Path

    def label(self) -> str:
        """As shown beside a progress bar."""
        return f"{self.folder.parent.parent.name} / {self.folder.parent.name} / {self.notebook}"


def plan_jobs(
    backbones: Sequence[str],
    benchmarks: Sequence[str],
    notebooks: Sequence[str] | None = None,
    parameters: Mapping[str, object] | None = None,
) -> list[Job]:
    """The jobs of a rerun: per benchmark, first every backbone's notebooks, then, once, those that
    gather backbones.

    ``parameters`` are fields of `RunConfig` in upper case, and parameters that some of the
    notebooks read by themselves, which only those receive. Other parameters have other folders.
    Figures go to ``figures/`` where a notebook runs with the parameters it is committed with, else
    into the job's folder.

    Raises
    ------
    UnknownNotebook, UnknownParameter, InvalidOption
        Before anything runs: for a notebook, parameter or value that does not exist.
    """
    notebooks = [*PER_BACKBONE, *GATHERING] if notebooks is None else list(notebooks)
    parameters = dict(parameters or {})
    for notebook in notebooks:
        notebook_path(notebook)
    RunConfig.from_parameters(parameters, own_parameters(notebooks))
    jobs = []
    for benchmark in benchmarks:
        single = [
            _job(name, benchmark, {"BACKBONE": backbone}, parameters)
            for backbone in backbones
            for name in notebooks
            if name not in GATHERING
        ]
        gathered = [
            _job(name, benchmark, {"BACKBONES": list(backbones)}, parameters, gathers=True)
            for name in notebooks
            if name in GATHERING
        ]
        jobs += single + gathered
    return jobs


def _job(
    notebook: str,
    benchmark: str,
    models: Mapping[str, object],
    parameters: Mapping[str, object],
    gathers: bool = False,
) -> Job:
    """The job of one notebook for one backbone, or for all that it ``gathers``."""
    own = own_parameters([notebook])
    fitting = {
        name: value
        for name, value in parameters.items()
        if name in own or name.lower() in RunConfig.model_fields
    }
    given = {"BENCHMARK": benchmark, **models, **fitting}
    config = RunConfig.from_parameters(given, (*own, "BACKBONES"))
    changed = changed_parameters(notebook, given)
    words = [
        f"{name.lower()}-{'-'.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in sorted(changed.items())
        if name not in ("BENCHMARK", "BACKBONE")  # the folders above say these
    ]
    lane = benchmark_folder(config) / GATHERED if gathers else run_folder(config)
    folder = lane / file_name(notebook, *words, suffix="")
    return Job(notebook, given, folder, folder / "figures" if changed else paths.figures_dir())


def changed_parameters(notebook: str, given: Mapping[str, object]) -> dict[str, object]:
    """The given parameters that differ from those that the notebook is committed with."""
    committed = parameters_of(notebook)
    return {
        name: value
        for name, value in given.items()
        if _plain(value) != _plain(committed.get(name, _usual(name)))
        and not (name == "BACKBONES" and _plain(value) == _plain(list(list_backbones())))
    }


def _usual(name: str) -> object:
    """What a parameter is where a notebook declares none."""
    return default(name.lower()) if name.lower() in RunConfig.model_fields else None


def _plain(value: object) -> object:
    """Lists and tuples are the same to a notebook."""
    return list(value) if isinstance(value, list | tuple) else value

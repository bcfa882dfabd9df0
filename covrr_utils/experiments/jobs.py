"""Which notebooks are executed with which parameters, and into which folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from covrr_utils import paths
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.experiments.config import RunConfig, default
from covrr_utils.experiments.places import benchmark_folder, file_name, run_folder
from covrr_utils.experiments.workbook import (
    notebook_names,
    notebook_path,
    own_parameters,
    parameters_of,
)

GATHERED = "all"  # in place of the backbone, for notebooks that compare backbones

GATHERING = ("10_ablation_backbone", "11_paper_figures")

PER_BACKBONE = (
    "00_start_here",
    "01_triplets_and_videos",
    "02_reasoning_traces",
    "03_pooling_embeddings",
    "04_retrieval",
    "05_ablation_reasoning",
    "06_ablation_pooling",
    "07_reasoning_score",
    "08_judges",
    "09_failures",
)


@dataclass(frozen=True)
class Execution:
    """What became of one notebook: the executed copy (also when it failed, up to the failing cell),
    the time, the error. ``reused``: it was done before.
    """

    name: str
    path: Path
    seconds: float
    error: str | None = None
    reused: bool = False

    @property
    def ok(self) -> bool:
        """Whether the notebook ended well."""
        return self.error is None


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
    backbones = [RunConfig(backbone=name).backbone for name in backbones]
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
    notebook_parameters = own_parameters([notebook])
    fitting = {
        name: value
        for name, value in parameters.items()
        if name in notebook_parameters or name.lower() in RunConfig.model_fields
    }
    requested = {"BENCHMARK": benchmark, **models, **fitting}
    config = RunConfig.from_parameters(requested, (*notebook_parameters, "BACKBONES"))
    # as the configuration has them: a kernel runs elsewhere, where relative paths lead nowhere
    given = {
        name: _plain(getattr(config, name.lower(), value)) for name, value in requested.items()
    }
    changed = changed_parameters(notebook, given)
    lane = benchmark_folder(config) / GATHERED if gathers else run_folder(config)
    folder = lane / _folder_name(notebook, changed)
    figures = folder / "figures" if changed else paths.committed_figures_dir()
    return Job(notebook, given, folder, figures)


def changed_parameters(notebook: str, given: Mapping[str, object]) -> dict[str, object]:
    """The given parameters that differ from those that the notebook is committed with."""
    committed = parameters_of(notebook)
    return {
        name: value
        for name, value in given.items()
        if _plain(value) != _plain(committed.get(name, _usual(name)))
        and not (name == "BACKBONES" and _plain(value) == _plain(list(list_backbones())))
    }


def place_figures(config: RunConfig, parameters: Mapping[str, object]) -> None:
    """Decide where the notebook with these parameters, in this process, puts its figures: where the
    committed ones lie, if a notebook is committed with just these parameters, else into a folder of
    the run. The second is said. A folder that ``COVRR_FIGURES`` names is taken without a word.
    """
    changes = [
        changed_parameters(notebook, parameters)
        for notebook in notebook_names()
        if set(parameters_of(notebook)) == set(parameters)
    ]
    if {} in changes:
        paths.put_figures(paths.committed_figures_dir())
        return
    usual = {name: value for name, value in parameters.items() if value != _usual(name)}
    paths.put_figures(
        run_folder(config) / _folder_name("figures", min(changes, key=len, default=usual))
    )
    if not os.environ.get("COVRR_FIGURES"):
        print(f"other parameters: figures go to {paths.relative(paths.figures_dir())}")


def _folder_name(first: str, changed: Mapping[str, object]) -> str:
    """A folder's name that says which parameters differ from the committed ones."""
    words = [
        f"{name.lower()}-{'-'.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in sorted(changed.items())
        if name not in ("BENCHMARK", "BACKBONE")  # the folders above say these
    ]
    return file_name(first, *words, suffix="")


def _usual(name: str) -> object:
    """What a parameter is where a notebook declares none."""
    return default(name.lower()) if name.lower() in RunConfig.model_fields else None


def _plain(value: object) -> object:
    """Lists and tuples are the same to a notebook."""
    return list(value) if isinstance(value, list | tuple) else value

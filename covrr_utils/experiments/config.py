"""`RunConfig`: everything that decides a run, declared once, checked before anything is computed.

A notebook's parameters are these names in upper case (`RunConfig.from_notebook`), a parameter file
of papermill holds the same, and the commands of the shell derive their options from the fields
(`covrr_utils.cli.options`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Self

from covrr_utils.experiments.cluster_group import ClusterOptions
from covrr_utils.experiments.engines import EngineOptions
from covrr_utils.experiments.groups import (
    BackboneOptions,
    DataOptions,
    PromptOptions,
    ReasoningOptions,
    RetrievalOptions,
)
from covrr_utils.experiments.options import InvalidOption, nearest
from covrr_utils.experiments.ranking_group import RankingOptions


class UnknownParameter(InvalidOption):
    """A parameter that no run has: most likely misspelt."""


class RunConfig(  # pydantic lists the fields of the last base first
    RankingOptions,
    RetrievalOptions,
    ReasoningOptions,
    PromptOptions,
    ClusterOptions,
    EngineOptions,
    BackboneOptions,
    DataOptions,
):
    """Everything that decides a run. Notebook parameters are these names in upper case.

    Relative paths mean the folder in which the configuration is made, and are kept as absolute
    ones: a kernel that runs elsewhere reads the same files.

    Raises
    ------
    InvalidOption
        For an unknown field or value; the message names the nearest valid one.
    """

    def replace(self, **changes: Any) -> Self:
        """The same configuration with some fields changed, checked like a new one."""
        return type(self)(**(dict(self) | changes))

    def options(self) -> dict[str, object]:
        """What is set otherwise than by default among that which changes descriptions: it belongs
        to the name of a result.
        """
        deciding = (
            "prompt_style",
            "fps",
            "num_frames",
            "video_pixels",
            "dtype",
            "attention",
            "quantization",
            "revision",
        )
        values = {name: (getattr(self, name), default(name)) for name in deciding}
        return {name: value for name, (value, usual) in values.items() if value != usual}

    @classmethod
    def from_notebook(cls, names: Mapping[str, object], own: Collection[str] = ()) -> Self:
        """A configuration from a notebook's ``globals()``: every UPPER_CASE plain value in it is
        taken as a parameter.

        ``own`` names the parameters that the notebook reads by itself. papermill only warns about a
        parameter that a notebook does not have; here it is an `UnknownParameter`.

        Only the parameters that a notebook is committed with may write the committed figures: with
        others, a line says where the figures of this notebook go (`place_figures`).
        """
        from covrr_utils.experiments.jobs import place_figures

        plain = (str, int, float, list, tuple, type(None))
        parameters = {
            name: value
            for name, value in names.items()
            if name.isupper() and name[0] != "_" and isinstance(value, plain)
        }
        config = cls.from_parameters(parameters, own)
        place_figures(config, parameters)
        return config

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], own: Collection[str] = ()) -> Self:
        """A configuration from parameters in upper case; those in ``own`` are somebody else's.

        Raises
        ------
        UnknownParameter
            For a name that is neither a field nor in ``own``.
        InvalidOption
            For a value that a field does not take.
        """
        known = {name.upper(): name for name in cls.model_fields}
        for name in parameters:
            if name not in known and name not in own:
                everything = [*known, *own]
                near = nearest(str(name), everything).replace("'", "")
                raise UnknownParameter(
                    f"unknown parameter {name}{near} Known: {', '.join(everything)}"
                )
        return cls(**{known[name]: value for name, value in parameters.items() if name in known})


def default(name: str) -> object:
    """The default of a field of `RunConfig`."""
    return RunConfig.model_fields[name].default

"""The options of the engine ``ray``: how many workers, with which GPUs, on which cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from covrr_utils.experiments.options import Number, Options, Text, Whole


class ClusterOptions(Options):
    """For the engine 'ray' alone."""

    ray_address: Annotated[
        str | None, BeforeValidator(Text(optional=True, stands_for="ADDRESS"))
    ] = Field(
        None,
        description="the Ray cluster to use, such as auto or HOST:6379 (default: one on this"
        " machine, for this run)",
    )
    ray_workers: Annotated[int, BeforeValidator(Whole())] = Field(
        1, description="processes of the cluster that load the model, each on one CPU"
    )
    ray_gpus: Annotated[float | None, BeforeValidator(Number(optional=True))] = Field(
        None,
        description="GPUs of each worker; 0.5 lets two share one (default: 1 where the cluster has"
        " any, else none)",
    )
    ray_seconds: Annotated[float, BeforeValidator(Number())] = Field(
        3600.0,
        description="seconds in which a worker has to compute what it is given, four batches at"
        " most; after that it is ended, and another one is given it",
    )

"""Which engine does a run's work: this process, Ray on many GPUs and machines, or a server that
writes the texts.

Nothing here needs torch, Ray or a server.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator

from covrr_utils.backbones.addresses import shown_address
from covrr_utils.experiments.options import Number, OneOf, Options, Whole

NO_RAY = (
    "the engine 'ray' needs the extra 'cluster': pip install 'covrr-workbook[cluster]', in all"
    " processes of the cluster"
)

LOCAL, RAY = ENGINES = ("local", "ray")

VIDEOS = ("data", "path")  # how a server gets a video: its content, or its path

KEY_VARIABLE = "COVRR_ENGINE_KEY"  # where the user sets a server's key


def server_of(engine: str) -> str | None:
    """The address of the server that writes the texts; None where no server does."""
    return None if engine in ENGINES else engine


def address(text: str) -> str:
    """An engine that is the address of a server, without a slash at its end.

    Raises
    ------
    ValueError
        If it is no address, or holds a password or a query, which would be written into files.
    """
    if "://" not in text:
        raise ValueError(
            f"unknown engine {text!r}; known: {', '.join(ENGINES)}, or the address of a server such"
            " as http://localhost:8000/v1"
        )
    shown = shown_address(text)
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            f"the engine {shown} is given with a user, a password or a query; give the address"
            f" alone, and the key in the environment variable {KEY_VARIABLE}"
        )
    return shown.rstrip("/")


class EngineOptions(Options):
    """Where the model works: in this process, or elsewhere."""

    engine: Annotated[str, BeforeValidator(OneOf(names=ENGINES, also=address))] = Field(
        LOCAL,
        description="local: this process; ray: many GPUs and machines; or the address of an"
        " OpenAI-compatible server (vLLM, SGLang) that writes the texts, such as"
        " http://localhost:8000/v1",
    )

    engine_videos: Annotated[str, BeforeValidator(OneOf(names=VIDEOS))] = Field(
        VIDEOS[0],
        description="how a server gets a video: data, the file within the prompt; or path, where"
        " it can read the same folders",
    )
    in_flight: Annotated[int, BeforeValidator(Whole())] = Field(
        64, description="prompts that a server is asked at once"
    )
    answer_seconds: Annotated[float, BeforeValidator(Number())] = Field(
        600.0,
        description="seconds in which a server has to answer a prompt, all tries together; one try"
        " may take a quarter of them",
    )

    @field_validator("engine")
    @classmethod
    def _available(cls, engine: str) -> str:
        if engine == RAY and find_spec("ray") is None:
            raise ValueError(NO_RAY)
        return engine

"""The server of a run: which model it serves, whether that is the one asked for, and what of it
belongs to the store's keys.

What a server said of itself is kept below ``runs/store/servers``, so that a run whose descriptions
are all stored can be looked at after the server was stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covrr_utils import paths
from covrr_utils.backbones.addresses import EndpointError
from covrr_utils.backbones.registry import checkpoint_folder
from covrr_utils.backbones.sizes import find
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.engines import KEY_VARIABLE, server_of
from covrr_utils.experiments.ranking_group import STATES
from covrr_utils.files import FileError, digest, read_or_set_aside, say, write_json
from covrr_utils.retrieval.pooling import CONTEXT

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.endpoint import Endpoint
    from covrr_utils.backbones.served import Served

RETRIES = 8  # how often a prompt is asked again, within the limit of a whole answer

TRIES = 4  # one try may take this part of the limit of a whole answer

CARD_SECONDS = 10.0  # in which a server has to say what it serves


class Serving:
    """The server that a configuration names."""

    def __init__(self, config: RunConfig):
        self.config = config
        self.address = server_of(config.engine) or ""

    @cached_property
    def card(self) -> dict[str, str]:
        """The served model: its name ``model``, and what serves it, ``owner``. Asked of the server;
        where it does not answer, what it said before.

        Raises
        ------
        EndpointError
            If it does not answer and never did, or does not serve the model that is asked for.
        """
        from covrr_utils.backbones.completions import AnswerError

        names = served_names(self.config.backbone)
        key = digest({"address": self.address, "names": names})
        path = paths.runs_dir() / "store" / "servers" / f"{key}.json"
        try:
            cards = self._endpoint("", CARD_SECONDS, 1).models()
        except (AnswerError, EndpointError) as error:
            kept = read_or_set_aside(path, _parsed)
            if kept is None:
                raise EndpointError(str(error)) from error
            return kept
        card = self._chosen(cards, names)
        try:
            write_json(path, card)
        except FileError as error:
            say(f"{error}. Without the server, its descriptions cannot be told from others later")
        return card

    @property
    def facts(self) -> dict[str, object]:
        """What of the server decides a description, for store keys: the model that it names, what
        serves it, and how it chooses tokens; also whether token states are kept.
        """
        from covrr_utils.backbones.generation import Generation
        from covrr_utils.backbones.served import sampled

        how = sampled(Generation())
        del how["max_completion_tokens"]  # of every key already
        facts: dict[str, object] = {**self.card, "sampled": how, "request": self._request}
        return facts if keeps_states(self.config) else facts | {"states": "none"}

    def writer(self, encoder: Backbone, path_of: Callable[[str], Path]) -> Served:
        """Writes through the server, with ``encoder`` for the states; ``path_of``: a video's
        file.
        """
        from covrr_utils.backbones.served import Served

        config = self.config
        return Served(
            encoder,
            self._endpoint(self.card["model"], config.answer_seconds, RETRIES),
            path_of,
            self.card["owner"],
            config.in_flight,
            config.engine_videos,
            keeps_states(config),
            self._request,
        )

    def _endpoint(self, model: str, seconds: float, retries: int) -> Endpoint:
        from covrr_utils.backbones.endpoint import Endpoint

        return Endpoint(
            model,
            self.address,
            os.environ.get(KEY_VARIABLE),
            KEY_VARIABLE,
            seconds,
            retries,
            {},
            attempt=seconds / TRIES,
            travels="videos and prompts" if model else "",
            refused="its log says why: most often a prompt longer than its context, no videos, or"
            " no JSON schemas",
        )

    @property
    def _request(self) -> dict[str, Any]:
        """How the server is told to take frames from videos, where the run sets it otherwise than
        the checkpoint does.
        """
        config = self.config
        processing: dict[str, Any] = {
            name: getattr(config, name)
            for name in ("fps", "num_frames")
            if getattr(config, name) is not None
        }
        if config.video_pixels is not None:
            processing["size"] = {"shortest_edge": 4096, "longest_edge": config.video_pixels}
        return {"mm_processor_kwargs": processing} if processing else {}

    def _chosen(self, cards: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, str]:
        """The card of the model that is asked for."""
        for card in cards:
            if card["id"] in names or card.get("root") in names:
                return {"model": card["id"], "owner": str(card.get("owned_by", "unknown"))}
        served = ", ".join(repr(card["id"]) for card in cards) or "no model"
        raise EndpointError(
            f"{self.address} serves {served}, and the backbone asked for is"
            f" {self.config.backbone!r}; ask for what it serves with --backbone, or start the"
            f" server with this checkpoint and --served-model-name {names[0]}"
        )


def served_names(backbone: str) -> list[str]:
    """The names under which a server may serve a backbone: its own, its folder's or its id on the
    hub.
    """
    folder = checkpoint_folder(backbone)
    if folder is not None:
        return list(dict.fromkeys([folder.name, backbone, str(folder), str(folder.resolve())]))
    published = find(backbone)
    if published is None:
        return [backbone]
    return list(dict.fromkeys([published.hub, published.name, backbone]))


def keeps_states(config: RunConfig) -> bool:
    """Whether a run compares the token states of descriptions as they were written. Where it reads
    each description alone, or compares words, a server's texts are enough.
    """
    as_written = STATES in config.scorers and config.embedding == CONTEXT
    return as_written or CONTEXT in config.scorers


def _parsed(blob: bytes) -> dict[str, str]:
    card = json.loads(blob)
    return {"model": str(card["model"]), "owner": str(card["owner"])}

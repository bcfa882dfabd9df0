"""Descriptions as another model reads each of them alone: any local checkpoint that
sentence-transformers loads makes vectors of the finished texts, through the store.

It compares what two descriptions say, whoever wrote them. It sees no video.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covrr_utils.backbones.description import Description, Failure, NotFinite, Outcomes, Record
from covrr_utils.backbones.identity import files_hash, weights_hash
from covrr_utils.experiments.stored import Described, Stored
from covrr_utils.files import digest
from covrr_utils.retrieval.pooling import NothingToPool
from covrr_utils.retrieval.scores import Scores, by_cosine
from covrr_utils.store.batches import keep
from covrr_utils.store.collection import Collection
from covrr_utils.store.pooled import pooled

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from covrr_utils.experiments.run import Run
    from covrr_utils.retrieval.vectors import Vectors

PACKAGE = "sentence-transformers"

Embed = Callable[[Sequence[str], Sequence[str]], list[Record]]


def read_texts(
    collection: Collection, texts: Mapping[str, str], embed: Embed, size: int, desc: str
) -> Outcomes[Described]:
    """What the store holds for these texts, by id, once ``embed`` has made records (of names and
    texts) of those that it lacked. Equal texts are embedded once; one whose vector is not finite is
    a failure, and the others of its batch are kept.
    """
    from tqdm import tqdm

    names = {id_: digest({"text": text}) for id_, text in texts.items()}
    lacking = set(collection.missing(names.values()))
    missing = list({names[id_]: t for id_, t in texts.items() if names[id_] in lacking}.items())
    lost: dict[str, Failure] = {}
    for start in tqdm(range(0, len(missing), size), desc=desc, disable=not missing, mininterval=1):
        records, failures = _embedded(missing[start : start + size], embed)
        lost |= {failure.id: failure for failure in failures + keep(collection, records, {})}
    return Stored(collection, names, lost, Described)


def _embedded(named: Sequence[tuple[str, str]], embed: Embed) -> tuple[list[Record], list[Failure]]:
    """Records of these texts; where a vector is not finite, each text by itself."""
    try:
        return embed([name for name, _ in named], [text for _, text in named]), []
    except NotFinite as error:
        if len(named) == 1:
            return [], [Failure(named[0][0], "model", "states not finite", str(error))]
    parts = [_embedded([each], embed) for each in named]
    return [r for records, _ in parts for r in records], [f for _, lost in parts for f in lost]


class TextModel:
    """A text model of sentence-transformers in a local folder, loaded when it is first needed.

    Raises
    ------
    ValueError
        If there is no such folder, it holds no safetensors, or the package is not here.
    """

    def __init__(self, folder: str, device: str):
        self.folder, self.device = Path(folder), device
        if not any(self.folder.rglob("*.safetensors")):
            raise ValueError(
                f"the text model {folder!r} is no folder with *.safetensors in it; save one with"
                " SentenceTransformer(...).save(FOLDER), or download it"
            )

    @property
    def key(self) -> dict[str, object]:
        """All of it that decides a vector."""
        parts = [self.folder, *sorted(path for path in self.folder.iterdir() if path.is_dir())]
        return {
            "text model": [[weights_hash(part, ""), files_hash(part)] for part in parts],
            "version": version(PACKAGE),
        }

    @cached_property
    def _model(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(self.folder),
            device=None if self.device == "auto" else self.device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )

    def records(self, names: Sequence[str], texts: Sequence[str]) -> list[Record]:
        """A record for each text, under its name: the vector is its one state.

        Raises
        ------
        NotFinite
            If a vector is not finite.
        """
        vectors = np.asarray(self._model.encode(list(texts), show_progress_bar=False), np.float32)
        if not np.isfinite(vectors).all():
            raise NotFinite(f"a vector of the text model {self.folder.name} is not finite")
        return [Record(*each) for each in zip(names, map(_described, texts, vectors), strict=True)]


def _described(text: str, vector: np.ndarray) -> Description:
    return Description(
        text,
        [""],
        np.zeros(1, np.int64),
        vector[None],
        np.zeros(1, np.float32),
        True,
        np.zeros(1, bool),
    )


def by_text_model(run: Run, strategy: str) -> Scores:
    """Cosines of a strategy's descriptions with the gallery's, by the run's text model.

    Raises
    ------
    ValueError
        If sentence-transformers is not installed, or the errors of `TextModel`.
    """
    from importlib.util import find_spec

    config = run.config
    assert config.text_model is not None
    if find_spec("sentence_transformers") is None:
        raise ValueError(
            "the scorer 'text-model' needs the package sentence-transformers, which is not here;"
            " install it: pip install -e .[text]"
        )
    model = TextModel(config.text_model, config.device)
    collection = run.descriptions.store.collection("texts", model.key)

    def vectors(described: Outcomes[Described], desc: str) -> Vectors:
        texts = {id_: item.text for id_, item in described.items()}
        stored = read_texts(collection, texts, model.records, config.batch_size, desc)
        return pooled(
            [item.record for item in stored.values()],
            {"text model": "whole vector"},
            lambda description: _unit(description.states[0]),
            described.failures | stored.failures,
            config.vectors,
        )

    return by_cosine(
        vectors(run.queries(strategy), f"embedding the texts of {strategy}"),
        vectors(run.gallery(), "embedding the gallery's texts"),
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    if norm == 0:
        raise NothingToPool("the text model gives a zero vector, as for a text without words")
    return (vector / norm).astype(np.float32)

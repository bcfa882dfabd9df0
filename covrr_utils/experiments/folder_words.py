"""The words of a folder's descriptions, kept with the folder: a question is compared with all of
them, and no description has to be read for it.

The file holds the words of each description, so that those of new ones alone are looked up, the
index that is made of all of them, and the name under which each text is stored that the model read
by itself. It is no source of anything: where it is damaged or gone it is made again from the store.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int

from covrr_utils import files
from covrr_utils.experiments.keys import text_name
from covrr_utils.experiments.stored import Described
from covrr_utils.retrieval.words import WordIndex, WordQuery, words


@dataclass(frozen=True)
class FolderWords:
    """The words of N descriptions.

    Attributes
    ----------
    places : stored name of a description -> its place in the index
    readings : for each, the name of its text as the model reads it by itself
    documents : for each, its words
    index : BM25 of them
    """

    places: Mapping[str, int]
    readings: list[str]
    documents: list[list[str]]
    index: WordIndex

    def places_of(self, names: Iterable[str]) -> Int[np.ndarray, " V"]:
        """The places of V descriptions in the index, by the names under which they are stored."""
        return np.array([self.places[name] for name in names], np.intp)

    def scores(self, text: str, places: Int[np.ndarray, " V"]) -> Float64[np.ndarray, " V"]:
        """BM25 of a text with the V descriptions at these places of the index."""
        (row,) = self.index.scores([WordQuery(text)])
        return row[places]

    def reading(self, name: str) -> str:
        """The name of the text of a stored description, as the model reads it by itself."""
        return self.readings[self.places[name]]


def folder_words(path: Path, described: Mapping[str, Described]) -> FolderWords:
    """The words of these descriptions, by video, with the help of what is kept at ``path``; what
    was missing there is added, what is not asked for leaves it.
    """
    names = {described[video].record.stored: video for video in described}
    kept = files.read_or_set_aside(path, _parsed)
    if kept is not None and kept.places.keys() == names.keys():
        return kept
    documents, readings = [], []
    for name, video in names.items():
        if kept is not None and name in kept.places:
            documents.append(kept.documents[kept.places[name]])
            readings.append(kept.reading(name))
        else:
            text = described[video].text
            documents.append(words(text))
            readings.append(text_name(text))
    places = {name: place for place, name in enumerate(names)}
    made = FolderWords(places, readings, documents, WordIndex.of(documents))
    try:
        files.write_atomically(path, _packed(made))
    except files.FileError as error:
        files.say(f"{error}. The words are counted again next time")
    return made


def _packed(made: FolderWords) -> bytes:
    """The bytes of a file, whose parts carry checksums."""
    vocabulary = list(made.index.vocabulary)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    rows = [made.index.vocabulary[word] for word in vocabulary]
    texts = {"names": list(made.places), "readings": made.readings, "vocabulary": vocabulary}
    blob = io.BytesIO()
    np.savez(
        blob,
        texts=np.frombuffer(json.dumps(texts).encode(), np.uint8),
        lengths=np.array([len(document) for document in made.documents], np.int64),
        words=np.array([numbers[w] for document in made.documents for w in document], np.int32),
        rows=np.array(rows, np.int32),
        data=made.index.by_word.data,
        columns=made.index.by_word.indices,
        bounds=made.index.by_word.indptr,
    )
    return blob.getvalue()


def _parsed(blob: bytes) -> FolderWords:
    """What `_packed` wrote; `ValueError` or `KeyError` for anything else."""
    from scipy.sparse import csr_array

    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
            parts = {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"it is not what was written ({error})") from error
    texts = json.loads(parts["texts"].tobytes())
    vocabulary, names, readings = texts["vocabulary"], texts["names"], texts["readings"]
    if not len(names) == len(readings) == len(parts["lengths"]):
        raise ValueError("it tells of different numbers of descriptions")
    spelt = [vocabulary[number] for number in parts["words"]]
    bounds = np.cumsum([0, *parts["lengths"]]).tolist()
    documents = [spelt[begin:end] for begin, end in zip(bounds, bounds[1:])]
    shape = len(parts["bounds"]) - 1, len(names)
    by_word = csr_array((parts["data"], parts["columns"], parts["bounds"]), shape=shape)
    index = WordIndex(dict(zip(vocabulary, parts["rows"].tolist(), strict=True)), by_word)
    return FolderWords(
        {name: place for place, name in enumerate(names)}, readings, documents, index
    )

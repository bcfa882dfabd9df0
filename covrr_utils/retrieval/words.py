"""Descriptions compared by their words: no model is asked.

Two ways: BM25 (Lucene's variant, k1 1.5, b 0.75, by the library bm25s), and the cosine of TF-IDF
vectors (sublinear tf, smoothed idf). All words count, also function words. The words of the edit
can be raised on the query side: they say what the target has to show.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

WORD = re.compile(r"(?u)\b\w+\b")

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Matrix = Float64[np.ndarray, "Q G"]


def words(text: str) -> list[str]:
    """The words of a text in small letters, in order."""
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class WordQuery:
    """A text that is looked for. Words of it that stand in ``edit`` too count ``edit_weight`` times
    as much as the others.
    """

    text: str
    edit: str = ""
    edit_weight: float = 1.0

    def counts(self) -> Counter[str]:
        """How often each word stands in the text."""
        return Counter(words(self.text))

    def factors(self) -> dict[str, float]:
        """How much each word of the text counts.

        >>> WordQuery("a lit lamp", edit="The lamp is lit.", edit_weight=4.0).factors()
        {'a': 1.0, 'lit': 4.0, 'lamp': 4.0}
        """
        raised = set(words(self.edit))
        return {word: self.edit_weight if word in raised else 1.0 for word in self.counts()}


@dataclass(frozen=True)
class WordIndex:
    """BM25 of a fixed set of G documents, made once for many queries.

    Attributes
    ----------
    vocabulary : word -> its row in ``by_word``
    by_word : (V, G), the score of every word with every document
    """

    vocabulary: Mapping[str, int]
    by_word: csr_array

    @classmethod
    def of(cls, documents: Sequence[Sequence[str]]) -> WordIndex:
        """The index of these documents, each a list of its words."""
        import bm25s
        from scipy.sparse import csr_array

        if not any(documents):
            return cls({}, csr_array((0, len(documents))))
        index = bm25s.BM25()
        index.index(documents, show_progress=False)
        parts = index.scores["data"], index.scores["indices"], index.scores["indptr"]
        shape = len(parts[2]) - 1, len(documents)
        return cls(index.vocab_dict, csr_array(parts, shape=shape, dtype=np.float64))

    def scores(self, queries: Sequence[WordQuery]) -> Matrix:
        """BM25 of every query with every document, summed over the query's words, each as often as
        it stands there times its factor; 0 where they share no word.
        """
        rows = [
            {word: count * factors[word] for word, count in query.counts().items()}
            for query in queries
            for factors in [query.factors()]
        ]
        return (_matrix(rows, self.vocabulary, self.by_word.shape[0]) @ self.by_word).toarray()


def bm25(queries: Sequence[WordQuery], documents: Sequence[str]) -> Matrix:
    """BM25 of every query with every document, see `WordIndex`."""
    return WordIndex.of([words(document) for document in documents]).scores(queries)


def tfidf(queries: Sequence[WordQuery], documents: Sequence[str]) -> Matrix:
    """Cosine of the TF-IDF vectors of every query and every document; 0 where they share no word.

    tf = 1 + ln(count), for a query times the word's factor; idf = 1 + ln((1 + G) / (1 + df)), where
    df of the G documents hold the word.
    """
    counts = [Counter(words(document)) for document in documents]
    frequency = Counter(word for count in counts for word in count)
    if not frequency:
        return np.zeros((len(queries), len(documents)))
    idf = {
        word: 1.0 + np.log((1.0 + len(documents)) / (1.0 + df)) for word, df in frequency.items()
    }
    vocabulary = {word: place for place, word in enumerate(idf)}
    sides = []
    for side in (
        [(query.counts(), query.factors()) for query in queries],
        [(count, dict.fromkeys(count, 1.0)) for count in counts],
    ):
        rows = [
            {
                word: (1.0 + np.log(number)) * factors[word] * idf[word]
                for word, number in count.items()
                if word in idf
            }
            for count, factors in side
        ]
        norms = [np.sqrt(sum(weight**2 for weight in row.values())) or 1.0 for row in rows]
        units = [
            {word: weight / norm for word, weight in row.items()} for row, norm in zip(rows, norms)
        ]
        sides.append(_matrix(units, vocabulary, len(vocabulary)))
    return (sides[0] @ sides[1].T).toarray()


def _matrix(
    rows: Sequence[Mapping[str, float]], vocabulary: Mapping[str, int], width: int
) -> csr_array:
    """One row per text: the weights of those of its words that the vocabulary has."""
    from scipy.sparse import csr_array

    entries = [
        (row, vocabulary[word], weight)
        for row, weights in enumerate(rows)
        for word, weight in weights.items()
        if word in vocabulary
    ]
    places = np.array([entry[:2] for entry in entries], np.int64).reshape(-1, 2)
    data = np.array([entry[2] for entry in entries], np.float64)
    return csr_array((data, (places[:, 0], places[:, 1])), shape=(len(rows), width))


WORD_SCORERS: dict[str, Callable[[Sequence[WordQuery], Sequence[str]], Matrix]] = {
    "bm25": bm25,
    "tfidf": tfidf,
}

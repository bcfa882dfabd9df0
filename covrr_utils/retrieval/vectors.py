"""`Vectors`: pooled vectors by id, as the rows of one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Float64

from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.retrieval.blocks import converted
from covrr_utils.retrieval.ranking import check_widths, norms_of

FLOAT32, FLOAT16 = FORMATS = ("float32", "float16")  # in which vectors are kept on disk


class Vectors(Outcomes[np.ndarray]):
    """One vector (D,) for each id, and why others have none.

    ``matrix`` holds them in the order of the ids, (N, D); it may be a memory map, so that a large
    gallery stays on disk.
    """

    def __init__(
        self, ids: Sequence[str], matrix: Float[np.ndarray, "N D"], failures: Mapping[str, Failure]
    ):
        super().__init__({}, failures)
        self.matrix = matrix
        self._rows = {id_: row for row, id_ in enumerate(ids)}

    @classmethod
    def of(cls, vectors: Outcomes[np.ndarray]) -> Vectors:
        """Any vectors by id as the rows of one matrix; they must be equally wide."""
        if isinstance(vectors, cls):
            return vectors
        matrix = np.stack(list(vectors.values())) if vectors else np.empty((0, 0), np.float32)
        return cls(list(vectors), matrix, vectors.failures)

    @cached_property
    def lengths(self) -> Float64[np.ndarray, " N"]:
        """The length of every vector.

        Raises
        ------
        ValueError
            If a vector is zero or not finite.
        """
        return norms_of("gallery", self.matrix)

    def cosines(self, query: Float[np.ndarray, " D"]) -> Float32[np.ndarray, " N"]:
        """The cosine of one query with every vector, in float32: for many questions that come one
        by one. `covrr_utils.retrieval.search` ranks many at once, and exactly.

        Raises
        ------
        ValueError
            If the query is not as wide as the vectors, or a vector is zero or not finite.
        """
        check_widths(query[None], self.matrix)
        unit = query / norms_of("query", query[None])
        unit = unit.astype(np.float32)
        if self.matrix.dtype == np.float16:
            parts = [single @ unit for _, _, single in converted(self.matrix)]
            return (np.concatenate(parts) / self.lengths).astype(np.float32)
        return (self.matrix @ unit / self.lengths).astype(np.float32)

    def __getitem__(self, id_: str) -> np.ndarray:
        return np.asarray(self.matrix[self._rows[id_]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

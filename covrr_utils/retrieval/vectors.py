"""`Vectors`: pooled vectors by id, as the rows of one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from covrr_utils.backbones.description import Failure, Outcomes


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

    def __getitem__(self, id_: str) -> np.ndarray:
        return np.asarray(self.matrix[self._rows[id_]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

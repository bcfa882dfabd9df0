"""Ranking in blocks gives what ranking all at once gives, to the last place."""

import numpy as np
import pytest

from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.retrieval import scores, search
from covrr_utils.retrieval.ranking import rank_of_target, similarities, top
from covrr_utils.retrieval.scores import Scores, by_cosine


def at_once(queries, gallery, targets, left_out, k):
    """Rank and best places of every query, from all scores."""
    cosines = similarities(queries, gallery)
    return [
        (rank_of_target(row, target, out), top(row, k, out).tolist())
        for row, target, out in zip(cosines, targets, left_out)
    ]


def in_blocks(*arguments):
    return [(found.rank, found.places.tolist()) for found in search.search(*arguments)]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(search, "QUERIES", 7)
    monkeypatch.setattr(search, "GALLERY", 16)
    monkeypatch.setattr(search, "PAIRS", 5)


def problem(spread, seed=0, width=24):
    """Queries, a gallery about one direction, as near to each other as ``spread`` says, targets and
    places left out.
    """
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(width)
    gallery = (centre + spread * rng.standard_normal((50, width))).astype(np.float32)
    queries = (centre + spread * rng.standard_normal((20, width))).astype(np.float32)
    targets = rng.integers(0, 50, 20).tolist()
    left_out = [
        set(rng.choice(50, size=row % 5 * 8, replace=False).tolist()) - {target}
        for row, target in enumerate(targets)
    ]
    return queries, gallery, targets, left_out


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-4, 3e-6])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_blocks_rank_as_all_at_once_also_where_float32_cannot_tell(small_blocks, spread, k):
    given = problem(spread)
    assert in_blocks(*given, k) == at_once(*given, k)


def test_equal_vectors_are_ties_against_the_query(small_blocks):
    queries, _, targets, left_out = problem(1.0)
    gallery = np.repeat(queries[:1], 50, 0)
    for (rank, best), out in zip(in_blocks(queries, gallery, targets, left_out, 5), left_out):
        assert rank == 50 - len(out)
        assert len(set(best) - out) == 5


def test_a_gallery_of_half_precision_stays_on_disk(small_blocks, tmp_path):
    queries, gallery, targets, left_out = problem(0.3)
    kept = np.lib.format.open_memmap(tmp_path / "g.npy", "w+", np.float16, gallery.shape)
    kept[:] = gallery
    kept.flush()
    there = np.load(tmp_path / "g.npy", mmap_mode="r")
    given = queries, there, targets, left_out
    assert in_blocks(*given, 10) == at_once(*given, 10)


def test_what_cannot_be_searched_says_so():
    queries, gallery, targets, left_out = problem(1.0)
    with pytest.raises(ValueError, match="24 wide, gallery vectors 23"):
        search.search(queries, gallery[:, :-1], targets, left_out, 1)
    with pytest.raises(ValueError, match="excluded from its own ranking"):
        search.search(queries, gallery, targets, [{target} for target in targets], 1)
    gallery[3] = np.nan
    with pytest.raises(ValueError, match=r"gallery vectors \[3\] are zero or not finite"):
        search.search(queries, gallery, targets, left_out, 1)


def test_cosines_are_computed_for_some_queries_at_a_time(monkeypatch):
    """And are the same, whatever row is asked for first."""
    queries, gallery, targets, left_out = problem(1.0)
    expected = similarities(queries, gallery)
    monkeypatch.setattr(scores, "KEPT_BYTES", 8 * 50 * 3)
    asked = Outcomes({f"t{row}": vector for row, vector in enumerate(queries)}, {})
    lost = {"gone": Failure("gone", "video", "missing", "")}
    there = Outcomes({f"v{row}": vector for row, vector in enumerate(gallery)}, lost)
    found = by_cosine(asked, there)
    for row in (7, 0, 19, 8):
        assert found.by_query[f"t{row}"] == pytest.approx(expected[row], abs=1e-12)
    assert list(found.by_query) == list(asked) and found.gallery_failures == lost
    ids = [f"t{row}" for row in range(20)]
    plain = Scores(dict(zip(ids, expected)), found.videos)
    for one, other in zip(
        found.ranked(ids, targets, left_out, 10), plain.ranked(ids, targets, left_out, 10)
    ):
        assert (one.rank, one.places.tolist()) == (other.rank, other.places.tolist())
        assert one.scores == pytest.approx(other.scores, abs=1e-12)

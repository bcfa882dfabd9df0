"""Ranking in blocks gives what ranking all at once gives, to the last place."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.retrieval import blocks, scores, search
from covrr_utils.retrieval.flat import NoFaiss, faiss_best
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
    monkeypatch.setattr(blocks, "ROWS", 16)
    monkeypatch.setattr(blocks, "TERMS", 10)
    monkeypatch.setattr(blocks, "PAIR_BYTES", 1000)


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
        assert best == [place for place in range(50) if place not in out][:5]


def test_float64_computes_few_scores_again(monkeypatch):
    """Those of the best at the end and of those level with the target, not of all that were among
    the best on the way.
    """
    rng = np.random.default_rng(0)
    gallery, queries = (rng.standard_normal((count, 64), np.float32) for count in (6000, 20))
    gallery = gallery[np.argsort(gallery @ queries[0])]  # worst first: all are among the best once
    given = queries, gallery, rng.integers(0, 6000, 20).tolist(), [set()] * 20, 10
    counted = []
    pairs = search.cosines_of_pairs
    monkeypatch.setattr(blocks, "ROWS", 100)
    monkeypatch.setattr(
        search,
        "cosines_of_pairs",
        lambda units, rows, *rest: counted.append(len(rows)) or pairs(units, rows, *rest),
    )
    assert in_blocks(*given) == at_once(*given)
    assert 20 * (10 + 2) <= sum(counted) < 20 * (10 + 3)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_vectors_of_any_length_are_ranked(small_blocks, size, dtype):
    """Also those whose squared length float32 cannot hold, beside others that it can."""
    queries, gallery, targets, left_out = problem(1e-4)
    gallery = gallery.astype(dtype)
    gallery[::3] *= size
    given = queries, gallery, targets, left_out
    assert in_blocks(*given, 10) == at_once(*given, 10)


def test_what_float64_alone_can_hold_is_ranked(small_blocks):
    queries, gallery, targets, left_out = problem(1.0)
    given = queries, gallery * np.float64(1e150), targets, left_out
    assert in_blocks(*given, 10) == at_once(*given, 10)


def test_the_best_are_found_in_whatever_order_they_come(small_blocks):
    """Worst first: every block holds better ones than all before."""
    queries, gallery, *_ = problem(1.0)
    order = np.argsort(similarities(queries[:1], gallery)[0])
    given = np.repeat(queries[:1], 3, 0), gallery[order], [49, 0, 25], [{48}, set(), {49, 2}]
    assert in_blocks(*given, 7) == at_once(*given, 7)


def test_half_precision_is_converted_exactly_by_either_library(monkeypatch):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 64)
    monkeypatch.setattr(blocks, "ROWS", 100)
    for large, modules in ((1, sys.modules), (1 << 30, {})):
        monkeypatch.setattr(blocks, "LARGE", large)
        monkeypatch.setattr(blocks, "sys", SimpleNamespace(modules=modules))
        parts = [single.copy() for _, _, single in blocks.converted(every)]
        np.testing.assert_array_equal(np.concatenate(parts), every.astype(np.float32))


def test_float32_is_never_further_off_than_is_said():
    rng = np.random.default_rng(0)
    for width in (3, 256, 257, 2048):
        gallery = np.abs(rng.standard_normal((50, width)))  # all terms add up
        units = np.abs(rng.standard_normal((20, width)))
        units /= np.linalg.norm(units, axis=1)[:, None]
        (block,) = blocks.blocks(gallery.astype(np.float16))
        exact = block.all_exact(units.astype(np.float32).astype(np.float64))
        off = np.abs(block.cosines(units.astype(np.float32)) - exact).max()
        assert 0 < off < blocks.error(width) < 1e-4


def test_faiss_names_the_same_videos(small_blocks):
    queries, gallery, _, left_out = problem(0.3)
    gallery = gallery.astype(np.float16)
    cosines = similarities(queries, gallery)
    for k in (1, 10, 60):
        nearest = faiss_best(queries, gallery, left_out, k)
        for row, out, (places, scored) in zip(cosines, left_out, nearest):
            assert places.tolist() == top(row, k, out).tolist()
            assert scored == pytest.approx(row[places], abs=1e-5)


def test_without_faiss_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    queries, gallery, _, left_out = problem(1.0)
    with pytest.raises(NoFaiss, match=r'pip install "covrr-workbook\[faiss\]"'):
        faiss_best(queries, gallery, left_out, 1)


def test_a_vector_without_a_direction_is_named_by_its_place_in_the_gallery(small_blocks):
    queries, gallery, targets, left_out = problem(1.0)
    gallery[[40, 41]] = 0
    with pytest.raises(ValueError, match=r"gallery vectors \[40, 41\] are zero or not finite"):
        search.search(queries, gallery, targets, left_out, 1)

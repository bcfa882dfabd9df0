"""The same scores under the rules of others, by hand."""

import numpy as np
import pytest

from covrr_utils.backbones.description import Failure
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.experiments.evaluation import rank
from covrr_utils.experiments.protocols import under_protocols
from covrr_utils.experiments.results import Method
from covrr_utils.retrieval.metrics import recalls
from covrr_utils.retrieval.scores import Scores


@pytest.fixture
def benchmark(small_benchmark):
    return load_benchmark(small_benchmark)


def scored(benchmark, of_reference, of_target, of_another):
    """Every reference, every target and the first other video get these scores, the rest 0."""
    by_query = {}
    for triplet in benchmark.triplets:
        own = np.zeros(len(benchmark.gallery))
        places = {video: place for place, video in enumerate(benchmark.gallery)}
        other = next(v for v in places if v not in (triplet.reference, triplet.target))
        own[places[other]] = of_another
        own[places[triplet.reference]] = of_reference
        own[places[triplet.target]] = of_target
        by_query[triplet.id] = own
    return Scores(by_query, list(benchmark.gallery))


def test_the_reference_and_ties_decide(benchmark):
    """The reference scores best, the target the same as another video: rank 1 to 3."""
    table = under_protocols(benchmark, scored(benchmark, 3.0, 2.0, 2.0))
    r1 = {(row["masking"], row["ties"]): row["R@1"] for _, row in table.iterrows()}
    assert r1 == {
        ("reference left out", "against the query"): 0.0,
        ("reference left out", "for the query"): 100.0,
        ("reference in", "against the query"): 0.0,
        ("reference in", "for the query"): 0.0,
    }
    assert (table["R@5"] == 100.0).all() and (table["tied"] == 6).all() and (table["N"] == 6).all()


def test_without_ties_the_first_row_is_the_result(benchmark):
    rng = np.random.default_rng(0)
    by_query = {t.id: rng.random(len(benchmark.gallery)) for t in benchmark.triplets}
    del by_query[benchmark.triplets[0].id]
    scores = Scores(by_query, list(benchmark.gallery))
    table = under_protocols(benchmark, scores)
    assert (table["tied"] == 0).all()
    lost = {benchmark.triplets[0].id: Failure(benchmark.triplets[0].id, "trace", "lost", "")}
    result = rank(benchmark, Scores(by_query, scores.videos, lost), Method("b", "b", "w", "s"))
    assert {k: 100 * v for k, v in recalls(result.ranks).items()} == {
        k: table.iloc[0][f"R@{k}"] for k in ("1", "5", "10", "50")
    }


def test_nan_is_an_error(benchmark):
    with pytest.raises(ValueError, match="scores contain NaN"):
        under_protocols(benchmark, scored(benchmark, 0.0, np.nan, 0.0))

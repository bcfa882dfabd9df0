import json

import nbformat
import pytest

from covrr_utils import paths
from covrr_utils.cli.runs import DEFAULT_NOTEBOOKS
from covrr_utils.experiments.execution import execute
from covrr_utils.experiments.workbook import UnknownNotebook

NOTEBOOKS = sorted(paths.notebooks_dir().glob("*.ipynb"))


def test_the_default_notebooks_exist():
    assert set(DEFAULT_NOTEBOOKS) <= {path.stem for path in NOTEBOOKS}


def test_the_pooling_lesson_and_the_package_agree_on_the_formula():
    """The lesson's own lines, taken out of notebook 03 and run on other numbers, give what the
    package gives.
    """
    import numpy as np

    from covrr_utils.backbones.description import Description
    from covrr_utils.retrieval.pooling import pool
    from covrr_utils.retrieval.weights import token_weights

    content = nbformat.read(paths.notebooks_dir() / "03_pooling_embeddings.ipynb", 4)
    (lesson,) = [cell.source for cell in content.cells if "v = (a[:, None] * h)" in cell.source]
    states = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    query = Description(
        "The mug is",
        ["The", " mug", " is", "<|im_end|>"],
        np.arange(4),
        states,
        np.zeros(4, np.float32),
        True,
        np.arange(4) == 3,
    )
    names = {
        "np": np,
        "query": query,
        "states": states,
        "weights": token_weights(query.tokens, "word"),
    }
    exec(lesson, names)
    assert np.abs(names["v"] - pool(query)).max() < 1e-6


def test_papermill_reruns_a_notebook_with_other_parameters(small_benchmark, filled_runs):
    output = execute(
        "04_retrieval",
        {"BENCHMARK": str(small_benchmark), "STRATEGIES": ["two_stage"], "LIMIT": 5},
        filled_runs / "rerun",
        forked=True,
    )
    assert output.error is None
    text = output.path.read_text()
    assert (
        "5 triplets, all counted: True" in text
        and "ranks by hand and by the package differ in 0 triplets" in text
    )
    (result,) = [
        json.loads(path.read_text()) for path in filled_runs.glob("small-*/mini-3m/results/*.json")
    ]
    assert (result["triplets"], result["strategy"]) == (5, "two_stage")


def test_a_misspelt_parameter_is_an_error_that_stays_visible(small_benchmark, runs):
    output = execute(
        "02_reasoning_traces", {"BENCHMRK": str(small_benchmark)}, runs / "rerun", forked=True
    )
    assert (
        not output.ok
        and "UnknownParameter: unknown parameter BENCHMRK; did you mean BENCHMARK?" in output.error
    )
    assert output.path.is_file(), "the failed notebook is left for inspection"


def test_unknown_notebook():
    with pytest.raises(UnknownNotebook, match="unknown notebook '99_x'; known: 00_start_here"):
        execute("99_x", {}, paths.runs_dir())

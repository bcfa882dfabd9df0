import json
import re

import nbformat
import pytest

from covrr_utils import paths
from covrr_utils.cli import main
from covrr_utils.experiments.reruns import UnknownNotebook, execute

NOTEBOOKS = sorted(paths.notebooks_dir().glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param, nbformat.read(request.param, 4)


def test_the_default_notebooks_exist():
    assert set(main.DEFAULT_NOTEBOOKS) <= {path.stem for path in NOTEBOOKS}


def test_notebook_checks_are_not_vacuous(notebook):
    """Every code cell was run, in order; every notebook has cells whose tag asks nbval to compare
    their output, and these have output to compare with. The reader sees no comment about it.
    """
    path, content = notebook
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    checked = [cell for cell in code if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert not any("NBVAL_" in cell.source for cell in code)
    assert checked and all(cell.outputs for cell in checked)
    for cell in checked:
        text = "".join(output.get("text", "") for output in cell.outputs)
        assert text.strip() and not re.search(
            r"\d\d:\d\d|seconds? elapsed|0x[0-9a-f]{6}|cuda|cpu", text
        )


def test_notebooks_are_as_committed_notebooks_should_be(notebook):
    path, content = notebook
    assert content.metadata.kernelspec.name == "python3" and "widgets" not in content.metadata
    assert path.stat().st_size < 300_000
    raw = path.read_text()
    assert str(paths.ROOT) not in raw and "it/s]" not in raw and "Traceback" not in raw
    tagged = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and re.search(
        r"from_notebook\(\s*globals\(\)", content.cells[content.cells.index(tagged[0]) + 1].source
    )
    assert content.cells[0].source.startswith("# ") and any(
        "## Exercises" in cell.source for cell in content.cells
    )
    median = sorted(
        len(cell.source.splitlines()) for cell in content.cells if cell.cell_type == "code"
    )
    assert median[len(median) // 2] <= 8


def test_a_chapter_imports_the_workbook_in_few_lines(notebook):
    """Shared names come from the face, others from a room by its name; only the long chapter on
    judging, which visits six rooms, needs more than four statements.
    """
    path, content = notebook
    source = "\n".join(cell.source for cell in content.cells if cell.cell_type == "code")
    statements = re.findall(r"^(?:from|import) covrr_utils\b", source, re.M)
    assert 1 <= len(statements) <= (6 if path.stem == "09_reasoning_quality" else 4)
    assert content.cells[-1].source.startswith("show_versions(")


def test_the_pooling_lesson_and_the_package_agree_on_the_formula():
    """The lesson's own lines, taken out of notebook 03 and run on other numbers, give what the
    package gives.
    """
    import numpy as np

    from covrr_utils.backbones.description import Description
    from covrr_utils.retrieval.pooling import pool
    from covrr_utils.retrieval.weights import token_weights

    content = nbformat.read(paths.notebooks_dir() / "03_pooling_embeddings.ipynb", 4)
    (lesson,) = [cell.source for cell in content.cells if "v = sum_i a_i h_i" in cell.source]
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


def test_papermill_reruns_a_notebook_with_other_parameters(small_benchmark, runs):
    output = execute(
        "04_retrieval",
        {"BENCHMARK": str(small_benchmark), "STRATEGIES": ["two_stage"], "LIMIT": 5},
        runs / "rerun",
    )
    assert output.error is None
    text = output.path.read_text()
    assert (
        "5 triplets, all counted: True" in text
        and "ranks by hand and by the package differ in 0 triplets" in text
    )
    (result,) = [
        json.loads(path.read_text()) for path in runs.glob("small-*/mini-3m/results/*.json")
    ]
    assert (result["triplets"], result["strategy"]) == (5, "two_stage")


def test_a_misspelt_parameter_is_an_error_that_stays_visible(small_benchmark, runs):
    output = execute("02_reasoning_traces", {"BENCHMRK": str(small_benchmark)}, runs / "rerun")
    assert (
        not output.ok
        and "UnknownParameter: unknown parameter BENCHMRK; did you mean BENCHMARK?" in output.error
    )
    assert output.path.is_file(), "the failed notebook is left for inspection"


def test_unknown_notebook():
    with pytest.raises(UnknownNotebook, match="unknown notebook '99_x'; known: 00_start_here"):
        execute("99_x", {}, paths.runs_dir())

"""How a committed chapter looks: executed in order, checked where it claims something, with no
trace of the machine it ran on. Reads the files alone, so that it can run before every commit.
"""

import base64
import io
import re

import nbformat
import pytest
from PIL import Image

from covrr_utils import paths
from covrr_utils.plotting import style

LARGEST = 1_000_000  # bytes of a notebook


@pytest.fixture(params=sorted(paths.notebooks_dir().glob("*.ipynb")), ids=lambda path: path.stem)
def notebook(request):
    return request.param, nbformat.read(request.param, 4)


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
    assert path.stat().st_size < LARGEST
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
    """Shared names come from the face, others from a room by its name; only chapters that visit
    several rooms need more than four statements.
    """
    path, content = notebook
    source = "\n".join(cell.source for cell in content.cells if cell.cell_type == "code")
    statements = re.findall(r"^(?:from|import) covrr_utils\b", source, re.M)
    five = {"01_triplets_and_videos", "02_reasoning_traces", "03_pooling_embeddings"}
    more = dict.fromkeys(
        five | {"04_retrieval", "05_ablation_reasoning", "07_reasoning_score", "14_scaling_out"}, 5
    ) | {"08_judges": 6}
    assert 1 <= len(statements) <= more.get(path.stem, 4)
    assert content.cells[-1].source.startswith("show_versions(")


@pytest.mark.parametrize(
    "path", sorted(paths.notebooks_dir().glob("solutions/*.ipynb")), ids=lambda path: path.stem
)
def test_solutions_were_run_and_belong_to_a_chapter(path):
    """The walk holds them to the exercises; here is held how they are committed."""
    assert (paths.notebooks_dir() / path.name).is_file(), "solutions of no chapter"
    content = nbformat.read(path, 4)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert content.metadata.kernelspec.name == "python3" and path.stat().st_size < LARGEST
    raw = path.read_text()
    assert str(paths.ROOT) not in raw and "it/s]" not in raw and "Traceback" not in raw


@pytest.mark.parametrize(
    "path",
    sorted(paths.notebooks_dir().rglob("[!.]*.ipynb")),
    ids=lambda path: f"{path.parent.stem}-{path.stem}",
)
def test_figures_have_twice_the_pixels_they_are_shown_at(path):
    """So that letters are sharp on every screen."""
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                image = Image.open(io.BytesIO(base64.b64decode(png)))
                (width,) = output.metadata["image/png"].values()
                assert image.width == style.SHARPNESS * width, cell.execution_count

"""What every test of a figure has: the style of the book, and a folder of its own for figures."""

import matplotlib.pyplot as plt
import pytest

from covrr_utils.plotting import style


@pytest.fixture(autouse=True)
def figures(tmp_path, monkeypatch):
    monkeypatch.setenv("COVRR_FIGURES", str(tmp_path / "figures"))
    style.use()
    yield tmp_path / "figures"
    plt.close("all")

"""Every script that measures speed runs, with numbers so small that they measure nothing."""

import importlib
import sys

import pytest

from covrr_utils import paths

SCRIPTS = {
    "describe": "--clips 2 --rounds 1 --threads 1 --tokens 3 --dtypes float32",
    "strategies": "--sizes tiny --queries 1 --rounds 1 --tokens 2 --frame 64 96",
    "growth": "--clips 1 2 --galleries 20 40 --width 8 --queries 3 --tokens 2 --rounds 1",
    "ranking": "--galleries 200 300 --width 16 --queries 5 --checked 3 --rounds 1",
    "startup": "--rounds 1 --ways python",
    "gpu": "--size tiny --batches 2 --tokens 2 --frames 2 --side 64 --product 32 --device cpu",
}
TABLES = {
    "describe": "2 of 2 texts equal",
    "strategies": "two_stage / single_stage: wall",
    "growth": "videos ranked for 3 queries",
    "ranking": "memory beside the map",
    "startup": "x python, wall",
    "gpu": "of the bandwidth",
}


@pytest.fixture
def script(monkeypatch):
    """A script of the folder ``benchmarks`` as a module, by name."""
    monkeypatch.syspath_prepend(paths.ROOT / "benchmarks")
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(
            str(paths.ROOT / "benchmarks")
        ):
            del sys.modules[name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_its_table(script, name, capsys):
    script(name).main(SCRIPTS[name].split())
    printed = capsys.readouterr().out
    assert TABLES[name] in printed and "nan" not in printed


def test_without_a_gpu_the_script_says_so(script, capsys, monkeypatch):
    module = script("gpu")
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    module.main([])
    assert capsys.readouterr().out.startswith("no GPU that torch can use is here")


def test_ratios_compare_round_by_round(script):
    timing = script("timing")
    assert timing.ratios([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == "2.00 [1.00, 3.00]"
    order = []
    ways = {name: lambda name=name: order.append(name) for name in "ab"}
    timed = timing.in_turn(ways, 2)
    assert "".join(order) == "ab" + "ab" + "ba" and len(timed["a"].wall) == 2
    assert timing.table(timed, "letters").startswith("\nletters (median [least, most] of 2 rounds")

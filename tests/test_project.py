"""The project itself: its dependencies and pins, the form of its code, its Makefile and hooks."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from covrr_utils import paths

LONGEST = 300  # lines of a module

CODE = ("covrr_utils", "tests", "benchmarks")


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    """A console script of this environment, run at the root of the repository."""
    script = shutil.which(command[0], path=str(Path(sys.executable).parent))
    assert script, f"{command[0]} is not installed beside {sys.executable}"
    return subprocess.run(
        [script, *command[1:]],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT), "MYPYPATH": str(paths.ROOT)},
    )


def python_files() -> list[Path]:
    return [path for folder in CODE for path in sorted((paths.ROOT / folder).rglob("*.py"))]


def test_environment_leads_to_pyproject_and_nowhere_else():
    """environment.yml names Python, pip and the project itself: dependencies stand in
    pyproject.toml alone.
    """
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text())
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert [re.split("[=<>]", entry)[0] for entry in conda] == ["python", "pip"]
    assert (
        pip == ["-c constraints.txt", "-e .[test]"] and "test" in project["optional-dependencies"]
    )
    least = project["requires-python"].removeprefix(">=")
    version = next(entry for entry in conda if entry.startswith("python")).removeprefix("python=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))


def test_the_packages_that_were_asked_for_are_dependencies():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    named = {
        re.split(r"[<>=\[]", entry)[0]
        for entry in [*project["dependencies"], *project["optional-dependencies"]["test"]]
    }
    assert {
        "jupyterlab",
        "torch",
        "transformers",
        "decord2",
        "numpy",
        "matplotlib",
        "seaborn",
        "papermill",
        "nbval",
    } <= named
    assert "decord" not in named, "decord and decord2 install the same module"


def test_constraints_pin_every_dependency_without_an_index():
    lines = [
        line
        for line in (paths.ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[^\s@/]+", line) for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    for entry in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        assert re.split(r"[<>=\[]", entry)[0].lower() in pinned


def pins() -> dict[str, str]:
    """Name -> version of every pin."""
    lines = (paths.ROOT / "constraints.txt").read_text().splitlines()
    return {
        canonicalize_name(name): version
        for name, version in (
            line.split("==") for line in lines if line and not line.startswith("#")
        )
    }


def test_every_pin_installs_on_the_oldest_python():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    installed = {canonicalize_name(found.name) for found in distributions()}
    needs = {name: metadata(name).get("Requires-Python") for name in pins() if name in installed}
    assert len(needs) > 100
    assert {
        name: need
        for name, need in needs.items()
        if need and not SpecifierSet(need).contains(oldest)
    } == {}


def test_no_pin_is_dead():
    """Every pin is needed by the project, directly or through others, on some platform."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    open_ = [
        Requirement(entry)
        for entry in [*project["dependencies"], *project["optional-dependencies"]["test"]]
    ]
    needed: set[tuple[str, frozenset[str]]] = set()
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in needed:
            continue
        needed.add(key)
        try:
            more = metadata(name).get_all("Requires-Dist") or []
        except ModuleNotFoundError:
            continue  # for another platform or Python
        for entry in map(Requirement, more):
            extras = requirement.extras or {""}
            if entry.marker is None or any(_applies(str(entry.marker), extra) for extra in extras):
                open_.append(entry)
    dead = set(pins()) - {name for name, _ in needed}
    assert dead == set()


def _applies(marker: str, extra: str) -> bool:
    """Whether a marker may hold somewhere for that extra: platforms and Pythons are left open."""
    named = re.findall(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
    return not named or canonicalize_name(extra) in map(canonicalize_name, named)


def test_modules_can_be_read_at_a_sitting():
    long = {
        path.name: len(path.read_text().splitlines())
        for path in (paths.ROOT / "covrr_utils").rglob("*.py")
    }
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_no_line_is_wider_than_a_hundred_columns():
    """Also those that the linter lets pass because they end in an address or a directive."""
    wide = [
        f"{path.relative_to(paths.ROOT)}:{number}"
        for path in python_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 100
    ]
    wide += [
        f"{path.name}, cell {number}"
        for path in sorted(paths.notebooks_dir().rglob("*.ipynb"))
        for number, cell in enumerate(json.loads(path.read_text())["cells"])
        if cell["cell_type"] == "code" and any(len(line) > 101 for line in cell["source"])
    ]
    assert wide == []


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        ("lint-imports", "--no-cache"),
        ("mypy", "--cache-dir", os.devnull),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_form_of_the_code(command):
    """What `make lint` runs: style, layout (notebooks included), direction of imports, types."""
    done = tool(*command)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_make_lint_and_the_hooks_run_what_the_tests_run():
    rules = (paths.ROOT / "Makefile").read_text()
    hooks = yaml.safe_load((paths.ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"], "hooks fetch nothing"
    entries = [hook["entry"] for hook in hooks[0]["hooks"]]
    assert all(hook["language"] == "system" for hook in hooks[0]["hooks"])
    for command in ("ruff check", "ruff format", "lint-imports", "mypy"):
        assert f"$(BIN)/{command}" in rules
        assert any(entry.startswith(f".venv/bin/{command}") for entry in entries)


def test_continuous_integration_does_what_the_readme_says():
    workflow = yaml.safe_load((paths.ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job, pinning = workflow["jobs"]["test"], workflow["jobs"]["pins"]
    assert "make test" in [step.get("run") for step in job["steps"]]
    assert "make pins" in [step.get("run") for step in pinning["steps"]]
    assert "make test" in (paths.ROOT / ".ci" / "run").read_text().splitlines()
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    oldest, *_, newest = job["strategy"]["matrix"]["python"]
    assert project["requires-python"] == f">={oldest}"
    assert f"Python {oldest} to {newest}" in (paths.ROOT / "README.md").read_text()
    (resolved,) = re.findall(r"PYTHONS := (.*)", (paths.ROOT / "Makefile").read_text())
    span = range(*(int(version.removeprefix("3.")) for version in (oldest, newest)))
    assert resolved.split() == [*(f"3.{minor}" for minor in span), newest]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_sets_up_again_what_was_moved(tmp_path):
    """Whatever characters the path of the checkout has; what was not moved is left alone."""

    def planned(folder: Path) -> str:
        command = ["make", "--no-print-directory", "-n", "run"]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout

    checkout = tmp_path / "a checkout with 'spaces', {braces} & more"
    (checkout / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(paths.ROOT / name, checkout / name)
    stamp = checkout / ".venv" / "installed"
    assert "pip install" in planned(checkout) and "--clear" not in planned(checkout)
    stamp.write_text(f"{checkout.resolve()}\n")
    assert planned(checkout) == ".venv/bin/covrr run\n"
    moved = checkout.rename(tmp_path / "moved")
    assert "--clear" in planned(moved) and planned(moved).endswith(".venv/bin/covrr run\n")


# what make calls while it sets up: each prints its name and arguments, and fails where told to
STAND_IN = """#!/bin/sh
call="$(basename "$0") $*"
echo "$call" >> calls
case "$call" in
    *" -m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp "$0" .venv/bin/uv ;;
esac
case "$call" in {fails}) exit 3 ;; esac
"""
UV, PIP = "uv pip install", "python -m pip install --no-compile -c"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("fails", "calls", "code"),
    [
        ("nothing", [UV], 0),
        ("*--quiet*uv", [PIP], 0),  # no uv to be had
        ("uv*", [UV, PIP], 0),  # uv installs nothing
        ("*install*", [PIP], 2),  # and pip neither
    ],
)
def test_make_installs_with_uv_or_else_with_pip(tmp_path, fails, calls, code):
    """Whatever failed: what is set up by one of the two is set up, and by neither is not."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(paths.ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "python3"
    stand_in.write_text(STAND_IN.replace("{fails}", fails))
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["make", ".venv/installed"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
    )
    venv, uv, *installs = (tmp_path / "calls").read_text().splitlines()
    assert venv == "python3 -m venv .venv"
    assert uv == "python -m pip install --no-compile --quiet -c constraints.txt uv"
    assert len(installs) == len(calls) and all(map(str.startswith, installs, calls))
    assert all(".[test]" in install and "constraints.txt" in install for install in installs)
    assert done.returncode == code, done.stderr
    assert (tmp_path / ".venv" / "installed").exists() == (code == 0)
    assert ("uv could not install; pip does" in done.stdout) == (PIP in calls)


def test_nothing_unsafe_is_loaded():
    source = "\n".join(path.read_text() for path in (paths.ROOT / "covrr_utils").rglob("*.py"))
    assert not re.search(
        r"\bpickle\b|torch\.load\(|torch\.save\(|trust_remote_code=True|shell=True"
        r"|\beval\(|\bexec\(",
        source.replace(".eval()", ""),
    )

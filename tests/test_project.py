import re
import tomllib
from importlib.metadata import distributions, metadata

import yaml
from packaging.specifiers import SpecifierSet

from covrr_utils import paths


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


def test_every_pin_installs_on_the_oldest_python():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    pinned = [
        line.split("==")[0]
        for line in (paths.ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    needs = {
        name: metadata(name).get("Requires-Python")
        for name in pinned
        if name in {found.name for found in distributions()}
    }
    assert len(needs) > 100
    assert {
        name: need
        for name, need in needs.items()
        if need and not SpecifierSet(need).contains(oldest)
    } == {}


def test_modules_can_be_read_at_a_sitting():
    long = {
        path.name: len(path.read_text().splitlines())
        for path in (paths.ROOT / "covrr_utils").rglob("*.py")
    }
    assert {name: lines for name, lines in long.items() if lines > 700} == {}


def test_nothing_unsafe_is_loaded():
    source = "\n".join(path.read_text() for path in (paths.ROOT / "covrr_utils").rglob("*.py"))
    assert not re.search(
        r"\bpickle\b|torch\.load\(|torch\.save\(|trust_remote_code=True|shell=True|\beval\(|\bexec\(",
        source.replace(".eval()", ""),
    )


def test_the_readme_maps_every_module():
    section = (paths.ROOT / "README.md").read_text().split("## The package")[1].split("## ")[0]
    table = "".join(line for line in section.splitlines() if line.startswith("|"))
    named = {name.split("/")[-1] for name in re.findall(r"`([\w/]+)`", table)}
    modules = {path.stem for path in (paths.ROOT / "covrr_utils").rglob("*.py")} - {"__init__"}
    assert named == modules

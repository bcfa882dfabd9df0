"""The table of kinds: what a gallery video is to a triplet means the same wherever it is read."""

import re
from collections import Counter

import nbformat
import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.judging.kinds import KINDS, Gallery, meaning
from covrr_utils.traces.reading import parse_trace

GOLD = parse_trace(
    "states: red egg; raw -> fried\nactions: rolls -> rests\nscene: kitchen; day\ncamera:"
    " static\ntempo: fast"
)


def tables(text):
    """The rows ``| `name` | meaning |`` of the kinds."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|$", text, re.M)
    return [(name, words) for name, words in rows if name in KINDS]


def test_a_kind_means_the_same_in_the_chapters_and_the_docs():
    docs = {path.name: path.read_text() for path in paths.ROOT.glob("docs/*.md")}
    chapters = {
        path.name: "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
        for path in paths.notebooks_dir().glob("*.ipynb")
    }
    for where, text in {**docs, **chapters}.items():
        for name, words in tables(text):
            assert words == meaning(name), f"{where}: {name}"
    defined = [name for name, _ in tables(docs["reasoning-score.md"])]
    assert defined == list(KINDS), "the guide has the whole table, in its order"


def test_the_chapters_define_what_their_tables_count():
    """Whatever kind a chapter's output counts is defined in a chapter up to there."""
    defined, kinds = set(), "|".join(KINDS)
    for path in sorted(paths.notebooks_dir().glob("[0-9]*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            defined |= {name for name, _ in tables(cell.source)}
            for output in cell.get("outputs", []):
                text = output.get("data", {}).get("text/plain", "")
                for name in re.findall(rf"^(?:\d+ +)?({kinds})\b", text, re.M):
                    shown = meaning(name) in output["data"].get("text/html", "")
                    assert name in defined or shown, f"{path.name}: {name} is not defined"
                    defined.add(name)


def test_every_triplet_of_the_mini_benchmark_has_three_hard_distractors():
    for name in ("mini", "mini-val"):
        triplets = load_benchmark(name).triplets
        assert {len(triplet.named_distractors()) for triplet in triplets} == {3}
        kinds = Counter(kind for triplet in triplets for kind in triplet.distractors)
        assert set(kinds) == {"literal", "effect_only", "other_object", "near"}


@pytest.mark.parametrize("slack", [0, 1])
def test_every_video_is_of_the_first_kind_whose_test_it_passes(slack):
    subjects, states, actions = (
        ("red egg", "blue egg", "red mug"),
        ("raw", "fried"),
        ("rolls", "rests"),
    )
    texts = {
        f"{subject} {state} {action} {place}": f"The {subject} is {state}. It {action}. The"
        f" scene is the {place} by day. The camera is static. The tempo is fast."
        for subject in subjects
        for state in states
        for action in actions
        for place in ("kitchen", "beach")
    }
    gallery = Gallery(texts)
    names, _ = gallery.kinds(GOLD, "Fry the egg.", slack)
    comparison = gallery.compare(GOLD, "Fry the egg.", slack)
    assert set(names) <= set(KINDS)
    for place, name in enumerate(names):
        passed = [
            kind.name for kind in KINDS.values() if kind.decide and kind.decide(comparison)[place]
        ]
        assert name == passed[0]
    assert np.unique(names).size >= 5


def test_a_kind_of_a_label_file_is_no_kind_of_ours():
    assert meaning("hard_negative") == "a distractor that the label file calls so"

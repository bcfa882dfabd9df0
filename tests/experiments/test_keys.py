"""The keys of the store for the default configuration, to the letter: were one to change, every
store that people have filled would be computed again.
"""

import pytest

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.generation import Generation
from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments import keys
from covrr_utils.experiments.config import RunConfig
from covrr_utils.files import digest

SENTENCES = "in five short sentences: states, actions, scene, camera, tempo."
EFFECTS = (
    "Reason about its after-effects, also the unspoken ones. One line each for states, actions,"
    " scene, camera, tempo: at most four short observable facts, written before -> after where they"
    " change."
)
SHARED = {
    "prompt_version": "slots-1",
    "dtype": "torch.float32",
    "sampling": {"fps": 4.0, "num_frames": None, "min_frames": 4, "max_frames": 768},
    "decoding": {
        "max_new_tokens": 96,
        "do_sample": False,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "seed": 0,
    },
    "layers": [],
}
DESCRIBE = f"Describe this video {SENTENCES}"
AFTER = f"Edit: E\nAfter-effects:\nR\nDescribe the video after this edit {SENTENCES}"
QUERY = {
    "prompts": [
        f"Edit: E\nDescribe the video after this edit {SENTENCES}",
        f"Edit: E\n{EFFECTS}",
        AFTER,
        "Edit: E\nTrace 1:\nR\n\nMerge these traces into one; keep what most of them agree on.\n"
        + EFFECTS,
    ],
    "extra": "trace, samples, written",
}
VOTING = {"samples": 5, "synthesis": "vote", "seed": 0}
EXPECTED = {
    "gallery": {"prompts": DESCRIBE},
    "readings": {"prompts": "read alone"},
    "given": {"prompts": AFTER, "strategy": "given"},
    "single_stage": QUERY | {"strategy": "single_stage"},
    "two_stage": QUERY | {"strategy": "two_stage"},
    "gold_trace": QUERY | {"strategy": "gold_trace"},
    "self_consistency": QUERY | {"strategy": "self_consistency"} | VOTING,
}
# with the weights hash and the processing of mini-3m: the folders of a store filled in November
# 2026, before the package had folders
FOLDERS = {
    "gallery": "3422e92ad1e108db",
    "readings": "a167429a4f6f7ccd",
    "single_stage": "3af661492c460042",
    "two_stage": "62b1057c9f1ec46a",
    "gold_trace": "5535798e173cf78b",
    "self_consistency": "131f541901e38caa",
}


@pytest.fixture(scope="module")
def backbone():
    return Backbone.load("mini-3m", device="cpu")


def made(config, backbone):
    """Every key of a configuration, by the name that this module has for it."""
    generation = Generation(max_new_tokens=backbone.max_new_tokens)
    made = {
        "gallery": keys.video_key(config, backbone.identity, generation),
        "readings": keys.reading_key(config, backbone.identity, generation),
        "given": keys.given_key(config, backbone.identity, generation),
    }
    for strategy in ("single_stage", "two_stage", "gold_trace", "self_consistency"):
        made[strategy] = keys.query_key(config, backbone.identity, generation, strategy)
    return made


def test_the_keys_of_the_default_run_are_these(backbone):
    for name, key in made(RunConfig(), backbone).items():
        expected = SHARED | EXPECTED[name]
        of_the_backbone = {"weights": backbone.weights_hash, "processing": backbone.processing()}
        assert key == expected | of_the_backbone, name


def test_a_store_filled_before_is_found(backbone):
    found = {name: digest(key) for name, key in made(RunConfig(), backbone).items()}
    assert {name: found[name] for name in FOLDERS} == FOLDERS


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"seed": 1}, {"self_consistency"}),
        ({"samples": 3}, {"self_consistency"}),
        ({"synthesis": "model"}, {"self_consistency"}),
        ({"grammar": "lines"}, {"two_stage", "self_consistency"}),
        ({"layers": (0.5,)}, set(EXPECTED)),
        ({"attention": "eager"}, set(EXPECTED)),
        ({"prompt_style": "keyword"}, set(EXPECTED)),
        ({"embedding": "alone"}, set()),
        ({"pooling": "mean", "scheme": "basic", "limit": 3, "batch_size": 1}, set()),
    ],
)
def test_an_option_changes_the_keys_of_what_it_decides_and_no_other(backbone, options, changed):
    before, after = made(RunConfig(), backbone), made(RunConfig(**options), backbone)
    assert {name for name in before if before[name] != after[name]} == changed


def test_the_names_in_a_folder_are_these():
    triplet = Triplet("7", "a/1", "Make it night.", "a/2", "")
    assert keys.query_text(triplet, "gold_trace") == "Make it night.\n"
    assert keys.stored_name("a/1", "0123456789abcdef") == "0dee487cb7b5ac6a"
    assert keys.stored_name("7", None, keys.query_text(triplet, "two_stage")) == "e593519615dc1b22"

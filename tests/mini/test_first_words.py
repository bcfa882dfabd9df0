"""The mini-mini of chapter A1: what it borrows, what it learns, and what was recorded of it."""

import pytest
import torch

from covrr_utils.backbones.checkpoints import load_checkpoint
from covrr_utils.mini import first_words
from covrr_utils.mini.world import ATTRIBUTES
from covrr_utils.plotting import tables


@pytest.fixture(scope="module")
def pupil():
    return first_words.Pupil(clips=6)


def test_it_learns_words_behind_eyes_that_stay_as_they_are(pupil):
    """Twelve lessons on six clips: the loss falls, and only what is to learn has changed."""
    eyes = load_checkpoint(first_words.EYES, device="cpu", dtype="float32").model.model.visual
    before = [weight.clone() for weight in pupil.model.lm_head.parameters()]
    losses = [pupil.lesson() for _ in range(12)]
    assert losses[-1] < losses[0] - 1 and pupil.taken == 12
    for borrowed, kept in zip(pupil.model.model.visual.parameters(), eyes.parameters()):
        assert torch.equal(borrowed, kept)
    assert not any(map(torch.equal, pupil.model.lm_head.parameters(), before))
    assert 0 < pupil.learns < sum(weight.numel() for weight in pupil.model.parameters())


def test_it_is_asked_about_clips_that_it_never_learned_from(pupil):
    look = pupil.look()
    assert len(look.texts) == first_words.EXAM and len(pupil.seen) == 6
    assert len(pupil.shots) == first_words.EXAM + 6
    assert set(look.right) == set(ATTRIBUTES) and 0 <= look.mean <= 1


def test_two_minutes_are_recorded():
    """The committed course: its looks, and that what it says got better."""
    course = tables.measured_table(first_words.RECORDED)
    assert course["lesson"].tolist() == list(first_words.LOOKS)
    assert course["lesson"].iloc[-1] == first_words.TWO_MINUTES
    assert course["right"].iloc[0] == 0 and course["right"].iloc[-1] > 60
    assert course[list(ATTRIBUTES)].mean(axis=1).values == pytest.approx(course["right"].values)

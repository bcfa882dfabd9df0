import numpy as np
import pytest
import torch

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import NotFinite
from covrr_utils.backbones.generation import Prompt
from covrr_utils.backbones.likelihood import Likelihood
from covrr_utils.reasoning import prompts
from covrr_utils.video.clips import Decoded, as_clip

QUESTION = prompts.describe()
TEXTS = [
    ["A red lamp is lit. The camera is still.", "A lamp.", ""],
    ["A red lamp is lit. The camera is still."],
    ["A dog runs through the snow, then a <|im_end|> follows.", "Snow."],
]


@pytest.fixture(scope="module")
def clips(tiny):
    """Three clips of different length and content, so that prefixes need padding."""
    rng = np.random.default_rng(0)
    clips = []
    for number, taken in enumerate((8, 4, 12)):
        frames = rng.integers(0, 255, (taken, 64, 64, 3), np.uint8)
        decoded = Decoded(frames, np.arange(taken), taken, 4.0, "made", (64, 64))
        clips.append(as_clip(decoded, f"clip {number}"))
    return clips


@torch.inference_mode()
def plainly(backbone, clip, text):
    """log p of every token of an answer by one forward pass over clip, question and answer."""
    inputs = backbone.inputs([Prompt(clip, QUESTION)])
    answer = torch.tensor([backbone.layout.answer_ids(text)])
    ids = torch.cat([inputs["input_ids"], answer], 1)
    inputs |= {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": torch.tensor(
            backbone.processor.create_mm_token_type_ids(ids.tolist())
        ),
    }
    logits = backbone.model(**inputs).logits[0, -answer.shape[1] - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, answer[0][:, None])[:, 0].numpy()


def test_scores_are_those_of_one_pass_per_pair(tiny, clips):
    likelihood = Likelihood(tiny, QUESTION)
    scored = likelihood.of(clips, TEXTS)
    lengths = []
    for clip, texts, descriptions in zip(clips, TEXTS, scored, strict=True):
        for text, description in zip(texts, descriptions, strict=True):
            expected = plainly(tiny, clip, text)
            np.testing.assert_allclose(description.logprobs, expected, atol=1e-4)
            assert description.text == text and description.special.tolist()[-1]
            assert description.states.shape == (len(expected), 0)
            prompt = tiny.inputs([Prompt(clip, QUESTION)])["input_ids"].shape[1]
            lengths.append(prompt + len(expected) - 1)
    assert likelihood.unshared == sum(lengths) > likelihood.forwarded


def test_a_batch_of_one_row_gives_the_same(tiny, clips, tiny_folder):
    alone = Backbone.load(tiny_folder, device="cpu", batch_size=1)
    together = Likelihood(tiny, QUESTION).of(clips, TEXTS)
    for clip, texts, expected in zip(clips, TEXTS, together):
        ((*scored,),) = Likelihood(alone, QUESTION).of([clip], [texts])
        for one, other in zip(scored, expected, strict=True):
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


def test_twenty_texts_cost_less_than_half_of_twenty_passes(tiny, clips):
    likelihood = Likelihood(tiny, QUESTION)
    likelihood.of(clips[:1], [[f"A lamp {n}." for n in range(20)]])
    assert likelihood.forwarded <= 0.5 * likelihood.unshared


def test_what_is_not_finite_is_an_error(tiny, clips, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "log_softmax", lambda self, dim: self * float("nan"))
    with pytest.raises(NotFinite, match="given 'clip 0', are not finite"):
        Likelihood(tiny, QUESTION).of(clips[:1], [["A lamp."]])

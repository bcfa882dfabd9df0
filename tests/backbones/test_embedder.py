"""The published embedding format: prompts to the letter, the token that is pooled, and the vectors
that sentence-transformers gives.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from covrr_utils.backbones.embedder import Embedder, Input, vector
from covrr_utils.backbones.embedding_prompts import composed, conversation, stated
from covrr_utils.backbones.embedding_registry import (
    Budget,
    find_embedder,
    published_budget,
    published_embedders,
    published_instruction,
    source_of,
)
from covrr_utils.backbones.qwen import qwen_processor, qwen_tokenizer
from covrr_utils.backbones.registry import UnknownBackbone
from covrr_utils.backbones.sizes import published_sizes
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.video.decoder import read_clip


@pytest.fixture(scope="module")
def embedder(headless_folder):
    return Embedder.load(headless_folder, device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def clips(embedder):
    benchmark = load_benchmark("mini-val")
    return [
        read_clip(benchmark.video_path(video), embedder.sampling, video)
        for video in benchmark.gallery[:2]
    ]


def test_the_prompts_are_the_published_ones():
    assert conversation("a red egg", video=False) == (
        "<|im_start|>system\nRepresent the user's input.<|im_end|>\n"
        "<|im_start|>user\na red egg<|im_end|>\n<|im_start|>assistant\n"
    )
    assert conversation("The egg is fried", True, "Find the video after the edit") == (
        "<|im_start|>system\nFind the video after the edit.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|video_pad|><|vision_end|>The egg is fried<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert "user\nNULL<|im_end|>" in conversation("", video=False)
    assert "<|vision_end|><|im_end|>" in conversation("", video=True)
    assert composed("Fry it.", "states: raw -> fried") == "Fry it.\nstates: raw -> fried"
    assert composed("Fry it.") == "Fry it."


@pytest.mark.parametrize(
    "instruction, said",
    [("Find it", "Find it."), (" Find it? ", "Find it?"), ("找到它。", "找到它。"), (" ", None)],
)
def test_an_instruction_ends_in_punctuation(instruction, said):
    assert stated(instruction) == (said or published_instruction())


def test_the_prompts_have_the_published_tokens():
    """Ids of Qwen3's own tokenizer."""
    ids = qwen_tokenizer()(conversation("a red egg", video=False))["input_ids"]
    assert ids == [
        *(151644, 8948, 198, 65743, 279, 1196, 594, 1946, 13, 151645, 198),
        *(151644, 872, 198, 64, 2518, 18636, 151645, 198, 151644, 77091, 198),
    ]


def test_the_published_sizes_are_those_of_the_backbones_without_a_head():
    for name, embedder in published_embedders().items():
        size = published_sizes()[f"Qwen3-VL-{name.rsplit('-', 1)[1]}-Instruct"]
        text = size.dimensions["text"]
        head = 0 if size.dimensions["tie_word_embeddings"] else 151936 * text["hidden_size"]
        assert embedder.parameters == size.parameters - head
        assert (embedder.width, embedder.layers) == (text["hidden_size"], text["num_hidden_layers"])
        assert find_embedder(name.lower()) == find_embedder(embedder.hub) == embedder
        assert source_of(name.lower()) == embedder.hub
    assert published_budget() == Budget(1.0, 64, 768 * 32 * 32, 7_864_320, 8192)


def test_the_published_budget_decides_what_is_seen(tiny):
    model = tiny.model.model
    embedder = Embedder("published", model, qwen_processor(), "0", budget=published_budget())
    sampling, scaling = embedder.sampling, embedder.sampling.budget
    assert (sampling.fps, sampling.max_frames) == (1.0, 64)
    assert len(sampling.indices(25 * 600, 25.0)) == 64 and len(sampling.indices(250, 25.0)) == 10
    for count, height, width in ((4, 4000, 3000), (64, 720, 1280)):
        high, wide = scaling.seen(count, height, width)
        assert high * wide <= 768 * 32 * 32 and count * high * wide <= 7_864_320


def test_a_text_beyond_the_budget_is_cut_and_the_rest_of_the_prompt_stays(headless_folder, clips):
    plain = Embedder.load(headless_folder, device="cpu")
    limit = plain.inputs([Input("word " * 10, clips[0])])["input_ids"].shape[1]
    short = Embedder(
        "short",
        plain.model,
        plain.processor,
        headless_folder,
        budget=Budget(4.0, 8, 16384, 131072, limit),
    )
    tensors = short.inputs([Input("word " * 50, clips[0]), Input("word")])
    assert tensors["input_ids"].shape[1] <= limit
    text = short.processor.tokenizer.decode(tensors["input_ids"][0])
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n") and text.count("word") < 50
    (left,) = short.embed([Input("word " * 50, clips[0])])
    assert left.tokens == ["\n"] and left.text == "word " * 50


def test_the_last_token_is_pooled_and_recorded(embedder, clips):
    """Padded on the right, together or alone: the same vectors, to the bit of float32."""
    inputs = [Input("The sun comes up.", clips[0]), Input("", clips[1]), Input("egg"), Input()]
    together = embedder.embed(inputs)
    for each, given in zip(together, inputs):
        (alone,) = embedder.embed([given])
        np.testing.assert_allclose(each.states, alone.states, atol=2e-5)
        assert each.tokens == ["\n"] and each.states.shape == (1, embedder.width)
        assert each.text == given.text
    tensors = embedder.inputs(inputs[:1])
    with torch.inference_mode():
        states = embedder.model(**tensors).last_hidden_state
    np.testing.assert_allclose(together[0].states[0], states[0, -1], atol=2e-5)


def test_a_token_that_the_tokenizer_adds_is_the_one_that_is_pooled(headless_folder):
    from tokenizers.processors import TemplateProcessing

    ended = Embedder.load(headless_folder, device="cpu")
    ended.processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    (described,) = ended.embed([Input("egg")])
    assert described.tokens == ["<|endoftext|>"]


def test_control_tokens_in_a_text_are_not_read_as_such(embedder):
    tensors = embedder.inputs([Input("egg<|im_end|>")])
    end = embedder.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert int((tensors["input_ids"] == end).sum()) == 2  # of the system's turn and the user's


def test_vectors_are_cut_and_normalised_again(embedder):
    (described,) = embedder.embed([Input("egg")])
    whole, half = vector(described), vector(described, 24)
    assert np.linalg.norm(whole) == pytest.approx(1) == pytest.approx(np.linalg.norm(half))
    np.testing.assert_allclose(half, whole[:24] / np.linalg.norm(whole[:24]), atol=1e-6)
    with pytest.raises(ValueError, match="embedder_dims is 49, but a vector has 48 entries"):
        vector(described, 49)


def test_a_checkpoint_with_a_head_gives_the_same_vectors(tiny_folder, embedder):
    """Published checkpoints are saved with one."""
    with_head = Embedder.load(tiny_folder, device="cpu")
    for one, other in zip(with_head.embed([Input("egg")]), embedder.embed([Input("egg")])):
        np.testing.assert_array_equal(one.states, other.states)


def test_a_weight_that_is_missing_is_no_vector(headless_folder, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    for file in headless_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights.pop("language_model.norm.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnknownBackbone, match=r"lacks language_model\.norm\.weight"):
        Embedder.load(folder, device="cpu")


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown embedder 'nothing'.*Qwen3-VL-Embedding-2B"):
        source_of("nothing")


def test_vectors_are_those_of_sentence_transformers(headless_folder, embedder, clips):
    """Random weights at the published class, float32: texts, videos, and videos with texts."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    transformer = Transformer(
        str(headless_folder),
        processing_kwargs={
            "chat_template": {"add_generation_prompt": True},
            "video": {"do_sample_frames": False},
        },
    )
    pooling = Pooling(embedder.width, pooling_mode="lasttoken")
    model = sentence_transformers.SentenceTransformer(modules=[transformer, pooling], device="cpu")
    instruction = "Find the video after the edit."
    given = [Input("The sun comes up."), Input("", clips[0]), Input("It melts.", clips[1])]
    theirs = []
    for each in given:
        video = (
            {
                "array": each.clip.frames,
                "video_metadata": json.loads(json.dumps(vars(each.clip.metadata))),
            }
            if each.clip
            else None
        )
        item = {"video": video} if video else {}
        item |= {"text": each.text} if each.text else {}
        theirs.append(model.encode([item], prompt=instruction, normalize_embeddings=True)[0])
    ours = [vector(described) for described in embedder.embed(given, instruction)]
    np.testing.assert_allclose(np.stack(ours), np.stack(theirs), atol=1e-5)

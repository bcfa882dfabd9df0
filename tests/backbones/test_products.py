"""Products are the same by every library that is asked for them, on every processor."""

import numpy as np
import pytest
import torch

from covrr_utils import Backbone, list_backbones
from covrr_utils.backbones import products, step
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.products import FEW_ROWS, Product, multiply_few, multiply_many
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.reasoning import prompts
from covrr_utils.video.decoder import read_clip

there_is_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN"
)


@pytest.fixture(params=["MKL", pytest.param("oneDNN", marks=there_is_onednn)])
def onednn(request, monkeypatch):
    """As on a processor where oneDNN is quicker, or is not, whatever this one is."""
    monkeypatch.setattr(products, "avoids_mkl", lambda: request.param == "oneDNN")


@pytest.mark.parametrize(
    ("told", "quicker"),
    [
        ({"sse4a": True, "avx512_f": True}, True),
        ({"sse4a": True, "avx512_f": False}, False),
        ({"sse4a": False, "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_onednn_multiplies_where_mkl_keeps_to_older_instructions(monkeypatch, told, quicker):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert products.avoids_mkl.__wrapped__() == quicker
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not products.avoids_mkl.__wrapped__(), "PyTorch 2.6"


@pytest.mark.parametrize("shape", [(1,), (2,), (FEW_ROWS,), (FEW_ROWS + 1,), (0,), (3, 40)])
@pytest.mark.parametrize("bias", [False, True])
def test_every_way_gives_what_the_part_itself_gives(onednn, shape, bias):
    torch.manual_seed(0)
    part = torch.nn.Linear(1000, 1100, bias=bias)
    values = torch.randn(*shape, 1000)
    with torch.inference_mode():
        expected = part(values)
        for multiply in [multiply_many, multiply_few][: 3 - len(shape)]:
            ours = multiply(values, part.weight, part.bias)
            assert torch.allclose(ours, expected, atol=1e-5) and ours.is_contiguous()
            assert ours.shape == expected.shape and ours.layout == torch.strided
        part.register_forward_hook(lambda module, args, out: out + 1)
        flat = values.reshape(-1, 1000)
        assert torch.equal(step.scores_of(part, flat), part(flat)), "who listens is heard"


def test_a_row_of_a_question_does_not_depend_on_the_others(onednn):
    """So it does not matter which clips another thread has seen meanwhile."""
    torch.manual_seed(0)
    values, weight = torch.randn(900, 128), torch.randn(384, 128)
    with torch.inference_mode():
        whole = multiply_many(values, weight)
        for rows in (33, 200, 899):
            assert torch.equal(multiply_many(values[:rows], weight), whole[:rows])


@pytest.mark.parametrize("multiply", [multiply_many, multiply_few])
def test_values_in_any_order_and_other_dtypes_are_multiplied_too(onednn, multiply):
    torch.manual_seed(0)
    weight = torch.randn(1600, 800)
    with torch.inference_mode():
        turned = torch.randn(800, 50).T
        assert torch.allclose(multiply(turned, weight), turned @ weight.T, atol=1e-3)
        halves = turned.bfloat16()
        expected = torch.nn.functional.linear(halves, weight.bfloat16())
        assert torch.equal(multiply(halves, weight.bfloat16()), expected)


@pytest.mark.parametrize("multiply", [multiply_many, multiply_few])
def test_gradients_flow_as_ever(onednn, multiply):
    weight, values = torch.randn(1600, 800, requires_grad=True), torch.randn(50, 800)
    multiply(values, weight).sum().backward()
    assert torch.allclose(weight.grad, values.sum(0).expand(1600, 800), atol=1e-4)


@there_is_onednn
def test_a_model_multiplies_by_the_quicker_library_and_writes_the_same(monkeypatch):
    benchmark = load_benchmark("mini-val")
    folder, described = list_backbones()["mini-3m"], []
    for quicker in (False, True):
        monkeypatch.setattr(products, "avoids_mkl", lambda quicker=quicker: quicker)
        backbone = Backbone.load(folder, device="cpu")
        kinds = {type(part) for part in backbone.model.modules()}
        assert (Product in kinds) == quicker and (torch.nn.Linear in kinds) != quicker
        assert step.is_plain(backbone.model.model.language_model)
        head = backbone.model.get_output_embeddings()
        assert head.weight is backbone.model.get_input_embeddings().weight, "tied as before"
        clips = [
            read_clip(benchmark.video_path(video), backbone.sampling)
            for video in benchmark.gallery[:4]
        ]
        asked = [Prompt(clip, prompts.describe()) for clip in clips]
        described.append(backbone.describe(asked, Generation(max_new_tokens=24)))
    for one, other in zip(*described, strict=True):
        assert one.tokens == other.tokens
        assert np.allclose(one.states, other.states, rtol=0, atol=1e-5)


def test_parts_that_others_have_changed_stay(monkeypatch):
    monkeypatch.setattr(products, "avoids_mkl", lambda: True)

    class Adapted(torch.nn.Linear):
        pass

    moved = torch.nn.Linear(8, 8)
    moved._hf_hook = object()
    small = torch.nn.Linear(8, 8).bfloat16()
    model = torch.nn.Sequential(Adapted(8, 8), moved, small, torch.nn.Linear(8, 8))
    products.multiply_quickly(model)
    kinds = [type(part) for part in model]
    assert kinds == [Adapted, torch.nn.Linear, torch.nn.Linear, Product]

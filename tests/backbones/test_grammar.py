"""Constrained decoding: whatever the model would like to say, the text is valid and complete."""

import json

import numpy as np
import pytest
import torch

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.constraint import GrammarProcessor, compile_form
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.grammar import FORMS, GrammarError
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.judging.rubric import DIMENSIONS, Rubric, rubric_schema
from covrr_utils.reasoning import prompts
from covrr_utils.reasoning.settings import Settings
from covrr_utils.reasoning.strategies import strategy
from covrr_utils.reasoning.validity import trace_texts, validity
from covrr_utils.traces.reading import read_trace_text
from covrr_utils.traces.trace import TraceError, TraceSchema
from covrr_utils.video.decoder import read_clip


@pytest.fixture(scope="module")
def items(tiny):
    benchmark = load_benchmark("mini-val")
    return [
        (t, read_clip(benchmark.video_path(t.reference), tiny.sampling, t.reference))
        for t in benchmark.triplets[:4]
    ]


def dreamt(tokenizer, vocabulary, form, limit, temperature, rows=6, seed=0):
    """Texts drawn from random logits under a grammar: a model that knows nothing and wants
    everything.
    """
    end = tokenizer.eos_token_id
    processor = GrammarProcessor(compile_form(form, tokenizer, vocabulary, [end]), 1, limit)
    generator, ids = (
        torch.Generator().manual_seed(seed),
        torch.full((rows, 1), tokenizer.pad_token_id),
    )
    done = torch.zeros(rows, dtype=torch.bool)
    for _ in range(limit):
        scores = processor(ids, torch.randn(rows, vocabulary, generator=generator) / temperature)
        token = torch.multinomial(scores.softmax(-1), 1, generator=generator)[:, 0]
        token[done] = tokenizer.pad_token_id
        ids, done = torch.cat([ids, token[:, None]], 1), done | (token == end)
        if done.all():
            break
    return [tokenizer.decode(row[1:], skip_special_tokens=True) for row in ids], done


@pytest.mark.parametrize("form, limits", [("lines", (64, 96, 256)), ("json", (112, 256))])
@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_random_logits_write_valid_traces_within_any_limit(tiny, form, limits, temperature):
    for limit in limits:
        texts, done = dreamt(
            tiny.processor.tokenizer,
            tiny.model.config.text_config.vocab_size,
            form,
            limit,
            temperature,
        )
        written = [read_trace_text(text) for text in texts]
        assert done.all() and all(trace.valid and trace.form == form for trace in written), [
            trace.repairs for trace in written
        ]
        if form == "json":
            assert all(TraceSchema.model_validate_json(text) for text in texts)


def test_random_logits_write_a_valid_rubric(tiny):
    texts, done = dreamt(
        tiny.processor.tokenizer,
        tiny.model.config.text_config.vocab_size,
        rubric_schema(),
        400,
        1.0,
    )
    assert done.all() and all(
        set(Rubric.model_validate_json(text).model_dump()) == set(DIMENSIONS) for text in texts
    )


def test_a_backbone_that_never_learned_a_word_writes_valid_traces(tiny, items):
    asked = [Prompt(clip, prompts.trace(triplet.edit)) for triplet, clip in items]

    def valid(generation):
        count = 0
        for text in tiny.write(asked, generation):
            try:
                count += read_trace_text(text).valid
            except TraceError:
                continue
        return count

    for sample in (False, True):
        free = Generation(max_new_tokens=128, do_sample=sample)
        assert valid(free) == 0
        assert [
            valid(Generation(max_new_tokens=128, do_sample=sample, grammar=form)) for form in FORMS
        ] == [4, 4]


def test_states_and_logprobs_are_the_models_own_also_under_a_grammar(tiny, items):
    prompt = Prompt(items[0][1], prompts.trace(items[0][0].edit))
    (found,) = tiny.describe([prompt], Generation(max_new_tokens=96, grammar="lines"))
    assert len(found.states) == len(found.tokens) == len(found.logprobs) and found.ended
    head = tiny.model.get_output_embeddings()(torch.tensor(found.states)).log_softmax(-1)
    own = head.gather(1, torch.tensor(found.token_ids)[:, None])[:, 0]
    assert np.allclose(own.detach().numpy(), found.logprobs, atol=1e-4), (
        "the log-probability before the mask, not after it"
    )


def stage_1(queries):
    return [text for query in queries for text in trace_texts(query.written, query.samples)]


def test_strategies_constrain_traces_not_descriptions(tiny, items):
    settings = Settings(Generation(max_new_tokens=96), samples=2, grammar="lines")
    for name, texts in (("two_stage", 4), ("self_consistency", 8)):
        queries, failures = strategy(name)(tiny, items, settings)
        assert failures == [] and [query.triplet for query in queries] == [
            triplet.id for triplet, _ in items
        ]
        counted = validity(stage_1(queries), failures)
        assert (counted["texts"], counted["valid"], counted["rate"]) == (texts, texts, 1.0)
    queries, failures = strategy("two_stage")(tiny, items, Settings(Generation(max_new_tokens=96)))
    counted = validity(stage_1(queries), failures)
    assert failures == [] and all(query.retried for query in queries), (
        "what holds no trace is asked for again, under a grammar"
    )
    assert (counted["texts"], counted["unusable"], counted["rate"]) == (4, 4, 0.0), (
        "and still counts as what the model wrote by itself"
    )


def test_a_trained_backbone_says_the_same_where_it_is_valid_anyway(items):
    backbone = Backbone.load("mini-3m", device="cpu")
    asked = [Prompt(clip, prompts.trace(triplet.edit)) for triplet, clip in items]
    free, bound = (
        backbone.write(asked, Generation(max_new_tokens=128, grammar=grammar))
        for grammar in (None, "lines")
    )
    same = [text == other for text, other in zip(free, bound, strict=True)]
    assert same == [read_trace_text(text).valid for text in free] and all(
        read_trace_text(text).valid for text in bound
    )


def test_mistakes_are_named(tiny):
    with pytest.raises(GrammarError, match="unknown grammar 'xml'; known: lines, json"):
        Generation(grammar="xml")
    with pytest.raises(GrammarError, match="looks like a JSON schema but is not valid JSON"):
        Settings(grammar="{")
    compiled = compile_form(
        "lines", tiny.processor.tokenizer, tiny.model.config.text_config.vocab_size, tiny.end_ids
    )
    with pytest.raises(GrammarError, match="max_new_tokens is 40, but a trace as lines may need"):
        GrammarProcessor(compiled, 10, 40)
    assert Generation().to_dict() == {
        k: v for k, v in Generation(grammar="lines").to_dict().items() if k != "grammar"
    }, "old store keys stay"
    assert json.loads(rubric_schema())["required"] == list(DIMENSIONS)

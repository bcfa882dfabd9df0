"""A server that writes the texts: the same descriptions as in this process, whatever the connection
does meanwhile, and a clear word where it is not the server that was asked for.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.backbones import endpoint
from covrr_utils.backbones.addresses import EndpointError
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import NotAnswered
from covrr_utils.backbones.endpoint import Endpoint
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.grammar import GrammarError
from covrr_utils.backbones.served import Served, sampled
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.experiments import serving as servers
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.engines import KEY_VARIABLE
from covrr_utils.experiments.run import Run
from covrr_utils.reasoning import prompts as worded
from covrr_utils.video.decoder import read_clip

sys.path.append(str(paths.ROOT / "benchmarks"))
from stand_in import Faults, StandIn, serving  # noqa: E402

STRATEGIES = ("single_stage", "two_stage")


@pytest.fixture(scope="module")
def model():
    return Backbone.load("mini-1m", device="cpu", batch_size=8)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Questions are asked again soon."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def config(benchmark, server=None, **options):
    if server is not None:
        options |= {"engine": server.address, "in_flight": 4, "answer_seconds": 1200}
    usual = {"backbone": "mini-1m", "device": "cpu", "batch_size": 8, "limit": 3}
    return RunConfig(benchmark=str(benchmark), **(usual | options))


def run_of(benchmark, model, server=None, **options):
    return Run(config(benchmark, server, **options), model)


@pytest.fixture
def asked(model, few_triplets):
    """Prompts about clips of this benchmark, of several lengths, and where the clips' files are."""
    benchmark = load_benchmark(str(few_triplets))
    texts = [worded.describe("slots")] + [
        worded.trace(triplet.edit, "slots") for triplet in benchmark.triplets[:3]
    ]
    clips = [
        read_clip(benchmark.video_path(video), model.sampling, video)
        for video in benchmark.gallery[: len(texts)]
    ]
    return [Prompt(clip, text) for clip, text in zip(clips, texts)], benchmark.video_path


def writer(model, server, path_of, **options):
    chosen = config("mini", server, **options)
    return servers.Serving(chosen).writer(model, path_of)


@pytest.mark.parametrize("videos", ["data", "path"])
@pytest.mark.parametrize("tokens", [200, 4])
def test_texts_and_states_are_those_of_the_backbone_itself(runs, model, asked, videos, tokens):
    prompts, path_of = asked
    generation = Generation(max_new_tokens=tokens)
    with serving(model) as server:
        served = writer(model, server, path_of, engine_videos=videos)
        described = served.describe(prompts, generation, layers=(0.5,))
        texts = served.write(prompts, generation)
    expected = model.describe(prompts, generation, layers=(0.5,))
    assert texts == [one.text for one in expected]
    for ours, theirs in zip(described, expected, strict=True):
        assert (ours.text, ours.tokens, ours.ended) == (theirs.text, theirs.tokens, theirs.ended)
        assert ours.special.tolist() == theirs.special.tolist()
        for name in ("states", "logprobs", "layers", "vision"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-4)
    count = sum(len(one.tokens) for one in expected)
    assert served.generated_tokens == 2 * count, "described and written"


def test_a_faulty_server_loses_nothing(runs, model, few_triplets, faults):
    """Connections break, the server is busy, and it fails."""
    local = run_of(few_triplets, model)
    results = {strategy: local.evaluate(strategy, save=False) for strategy in STRATEGIES}
    broken = Faults(dropped=0.25, busy=0.15, failing=0.15, seed=3)
    with serving(model, broken) as server:
        run = run_of(few_triplets, model, server)
        for strategy in STRATEGIES:
            result = run.evaluate(strategy)
            assert result.ranks == results[strategy].ranks
            ours, theirs = run.queries(strategy), local.queries(strategy)
            assert {i: (q.text, q.written) for i, q in ours.items()} == {
                i: (q.text, q.written) for i, q in theirs.items()
            }
            assert not ours.failures
        assert {v: d.text for v, d in run.gallery().items()} == {
            v: d.text for v, d in local.gallery().items()
        }
        assert not run.gallery().failures
    counts = broken.counts
    wrong = counts["requests"] - counts["answered"]
    assert all(counts[what] for what in ("dropped", "torn", "busy", "failing")), counts
    faults("requests to a server that went wrong", wrong, wrong)

    stopped = run_of(few_triplets, model, server)
    assert stopped.evaluate("two_stage", save=False).ranks == results["two_stage"].ranks, (
        "what is stored is found without the server"
    )
    assert run.descriptions.key_of("two_stage") != local.descriptions.key_of("two_stage")
    assert len(list((runs / "small-mini-1m").parent.rglob("two_stage__*.json"))) == 1


class Quick:
    """A backbone that answers at once, whatever it is asked."""

    name, sampling = "quick", None

    def describe(self, prompts, generation):
        return [SimpleNamespace(text=prompt.text, ended=True) for prompt in prompts]


def test_a_request_that_hangs_is_asked_again(monkeypatch):
    monkeypatch.setattr(StandIn, "_clip", lambda self, url: None)
    with serving(Quick(), Faults(hangs=1, first=2)) as server:
        asking = Endpoint("quick", server.address, None, KEY_VARIABLE, 60, 8, {}, attempt=1.5)
        questions = [lambda text=text: question(text) for text in "abcdef"]
        answers = asking.answers(questions, 3)
    assert [answer.text for answer in answers] == list("abcdef")
    assert server.faults.counts["hangs"] == 1


def question(text):
    video = {"type": "video_url", "video_url": {"url": "data:,"}}
    content = [video, {"type": "text", "text": text}]
    return {"messages": [{"role": "user", "content": content}], **sampled(Generation())}


def test_sampled_traces_depend_on_their_seed_and_on_no_fault(runs, model, few_triplets):
    options = {"samples": 2, "limit": 2}
    texts = []
    for broken, folder in ((None, "one"), (Faults(dropped=0.2, busy=0.2, seed=1), "two")):
        with serving(model, broken) as server:
            run = run_of(few_triplets, model, server, **options)
            run.descriptions.store.root = runs / folder
            queries = run.queries("self_consistency")
        texts.append({id_: (query.samples, query.text) for id_, query in queries.items()})
        seeds = [request["seed"] for request in server.requests if request["temperature"] > 0]
        assert len(set(seeds)) == 4, "each sample of each query has its own"
    assert texts[0] == texts[1] and len(texts[0]) == 2


def test_what_the_server_never_answers_is_a_miss_with_its_cause(runs, model, few_triplets):
    edit = load_benchmark(str(few_triplets)).triplets[1].edit
    with serving(model, Faults(lost=edit)) as server:
        run = run_of(few_triplets, model, server)
        queries = run.queries("two_stage")
    ids = [triplet.id for triplet in run.benchmark.triplets if triplet.edit == edit]
    assert sorted(queries.failures) == sorted(ids)
    failure = queries.failures[ids[0]]
    assert (failure.stage, failure.cause) == ("model", "no answer")
    assert f"{server.address} failed with status 500" in failure.message
    assert len(queries) == len(run.benchmark.triplets) - len(ids), "the others were answered"
    asked = [request["messages"][0]["content"][1]["text"] for request in server.requests]
    lost = [text for text in asked if edit in text]
    assert len(lost) == (servers.RETRIES + 1) * len(ids), "a lost prompt is not asked for again"
    assert len(asked) - len(lost) == 2 * len(queries), "nor is any other"


def test_another_model_is_refused(runs, model, few_triplets):
    with serving(model, name="Qwen/Qwen3-VL-8B-Instruct") as server:
        with pytest.raises(EndpointError) as caught:
            run_of(few_triplets, model, server).gallery()
    message = str(caught.value)
    assert f"{server.address} serves 'Qwen/Qwen3-VL-8B-Instruct'" in message
    assert "'mini-1m'" in message and "--served-model-name mini-1m" in message
    with serving(model, answers_as="mini-3m") as server:
        with pytest.raises(EndpointError, match="'mini-1m', and its answer names 'mini-3m'"):
            run_of(few_triplets, model, server).gallery()


def test_a_server_that_is_not_there_is_said(runs, model, few_triplets):
    with serving(model) as server:
        pass
    with pytest.raises(EndpointError, match=f"{server.address} cannot be reached"):
        run_of(few_triplets, model, server).gallery()


def test_published_backbones_are_known_by_their_ids():
    names = servers.served_names("qwen3-vl-8b")
    assert {"Qwen/Qwen3-VL-8B-Instruct", "qwen3-vl-8b"} <= set(names)


def test_descriptions_that_are_read_alone_need_no_states(runs, model, few_triplets):
    local = run_of(few_triplets, model, embedding="alone")
    with serving(model) as server:
        run = run_of(few_triplets, model, server, embedding="alone")
        result = run.evaluate("single_stage", save=False)
    assert result.ranks == local.evaluate("single_stage", save=False).ranks
    (*_, described) = run.gallery().values()
    assert described.description.states.shape[1] == 0
    with pytest.raises(ValueError, match="kept without token states"):
        run.variant(embedding="context")


@pytest.mark.parametrize("form", ["lines", "json"])
def test_grammars_go_with_the_prompts(runs, model, asked, form):
    prompts, path_of = asked
    generation = Generation(max_new_tokens=120, grammar=form)
    with serving(model) as server:
        written = writer(model, server, path_of).write(prompts[1:2], generation)
    assert written == model.write(prompts[1:2], generation)


def test_a_grammar_that_the_server_does_not_know_is_refused(runs, model, asked):
    prompts, path_of = asked
    with serving(model, owner="somebody") as server:
        with pytest.raises(GrammarError, match="only vLLM and SGLang take the grammar 'lines'"):
            writer(model, server, path_of).write(prompts, Generation(grammar="lines"))
    with serving(model, owner="sglang") as server:
        writer(model, server, path_of).write(prompts[:1], Generation(4, grammar="lines"))
    assert "ebnf" in server.requests[0]


def test_control_tokens_in_an_edit_never_reach_the_server(runs, model, asked):
    prompts, path_of = asked
    spoilt = Prompt(prompts[0].clip, "Say <|im_end|> twice.")
    with serving(model) as server:
        with pytest.raises(NotAnswered, match="control token"):
            writer(model, server, path_of).write([spoilt])
    assert not server.requests


def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    runs, model, few_triplets, monkeypatch, capsys
):
    monkeypatch.setenv(KEY_VARIABLE, "sesame")
    with serving(model) as server:
        run_of(few_triplets, model, server, limit=1).evaluate("single_stage")
    assert set(server.keys) == {"Bearer sesame"}
    written = capsys.readouterr()
    assert "sesame" not in written.out + written.err
    assert not any(b"sesame" in path.read_bytes() for path in runs.rglob("*") if path.is_file())


def test_what_travels_in_clear_is_said(model, capsys):
    chosen = RunConfig(engine="http://gpu.example/v1", backbone="mini-1m")
    servers.Serving(chosen)._endpoint("mini-1m", 1.0, 0)
    said = capsys.readouterr().err
    assert "videos and prompts travel to it in clear" in said and "http://gpu.example/v1" in said


def test_a_thought_is_read_but_not_said(model, monkeypatch):
    """Whether the server keeps it apart, as with --reasoning-parser, or not."""
    from covrr_utils.backbones.completions import Answer

    monkeypatch.setattr(model, "thinks", True)
    served = Served(model, None, None, "vllm", 1)
    apart = Answer("a red ball", thought="It is red.", ended=True)
    whole = Answer("It is red.\n</think>\n\na red ball", ended=True)
    assert served._ids(apart) == served._ids(whole)
    assert served._spoken(apart) == ("It is red.\n", "\n\na red ball")
    endless = Answer("It may be", ended=False)
    assert served._spoken(endless) == (None, "")
    assert served._ids(endless) == model.layout.answer_ids("It may be")[:-1]

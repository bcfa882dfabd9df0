"""The Reasoning Score: exact where it can be worked out by hand, low where wrong on purpose."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from covrr_utils.backbones.addresses import EndpointError
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.judging.judges import Case, OutcomeJudge, OverlapJudge, SlotsJudge, slot_ratios
from covrr_utils.judging.model_judge import KEY_VARIABLE, backbone_judge, endpoint_judge
from covrr_utils.judging.rubric import DIMENSIONS
from covrr_utils.judging.sabotage import sabotaged
from covrr_utils.judging.scoring import agreement, judged, summary
from covrr_utils.mini.build import shots_of
from covrr_utils.retrieval import metrics
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import ClipError
from covrr_utils.video.decoder import read_clip

GOLD = parse_trace(
    "states: red egg; raw -> fried\nactions: rolls -> rests\nscene: kitchen; day\ncamera:"
    " static\ntempo: fast -> slow"
)
STATED = (
    "The red egg is fried. It rests. The scene is the kitchen by day. The camera is static. The"
    " tempo is slow."
)


def case(trace=GOLD, gold=GOLD, id="1", **more):
    return Case(id, "Heat the egg.", trace, **{"description": STATED, "gold": gold, **more})


def mean(judge, cases):
    return summary(judge, judged(judge, cases), "s", "b", "k").mean


@pytest.fixture(scope="module")
def mini():
    """The gold traces of the mini benchmark as if a model had written them, each with a perfect
    description.
    """
    shots = shots_of("test")
    return [
        Case(
            t.id,
            t.edit,
            t.gold_trace,
            shots[t.target].description(),
            t.gold_trace,
            reference=t.reference,
        )
        for t in load_benchmark("mini").triplets
    ]


def test_slots_by_hand():
    trace = parse_trace(
        "states: red egg; raw -> cracked\nactions: rolls -> rests\nscene: kitchen\ncamera: static;"
        " wide\ntempo: fast -> slow"
    )
    found = slot_ratios(trace, GOLD)
    assert found["states"] == (0.5, 0.5, 0.5) and found["scene"] == (1.0, 0.5, pytest.approx(2 / 3))
    assert (
        found["camera"] == (0.5, 1.0, pytest.approx(2 / 3))
        and found["changes"] == (pytest.approx(2 / 3),) * 3
    )
    (verdict,) = SlotsJudge().verdicts([case(trace)])
    assert verdict.score == pytest.approx(10 * ((0.5 + 1 + 2 / 3 + 2 / 3 + 1) / 5 + 2 / 3) / 2)
    assert verdict.parts["scene recall"] == 0.5


def test_slots_compare_canonical_forms_and_leave_out_what_gold_does_not_say():
    other = parse_trace(
        "states: Raw → Fried; a red egg\nactions: rolling -> at rest\nscene: day; Kitchen\ncamera:"
        " locked off\ntempo: fast => slowly"
    )
    assert SlotsJudge().verdicts([case(other)])[0].score == 10
    gold = replace(GOLD, tempo=())
    assert SlotsJudge().verdicts([case(gold, gold)])[0].score == 10
    assert SlotsJudge().verdicts([case(GOLD, gold)])[0].score < 10, (
        "an assertion that gold does not have is wrong"
    )
    still = ReasoningTrace(scene=("kitchen",))
    assert SlotsJudge().verdicts([case(still, still)])[0].score == 10, (
        "nothing changes, and nothing was said to"
    )


def test_a_judge_likes_gold_and_dislikes_sabotage(mini):
    for judge, limits in (
        (SlotsJudge(), {"another's": 2, "slots mixed up": 0.5, "nothing changes": 5, "empty": 0}),
        (OverlapJudge(), {"another's": 4, "slots mixed up": 0.5, "empty": 0}),
    ):
        tried = sabotaged(mini)
        assert mean(judge, tried["as written"]) == pytest.approx(10)
        for name, limit in limits.items():
            assert mean(judge, tried[name]) <= limit, (judge.name, name)
    assert mean(OverlapJudge(), tried["nothing changes"]) > 5, (
        "words have no direction: that is why this one is a baseline"
    )


def test_outcome_reads_descriptions(mini):
    judge = OutcomeJudge()
    assert mean(judge, mini) == pytest.approx(10)
    assert (
        mean(judge, [replace(c, description=mini[i - 1].description) for i, c in enumerate(mini)])
        < 4
    )
    before = (
        "The red egg is raw. It rolls. The scene is the kitchen by day. The camera is static. The"
        " tempo is fast."
    )
    (verdict,) = judge.verdicts([case(description=before)])
    assert verdict.score == pytest.approx(10 * (4 / 7 + 0) / 2) and verdict.parts["scene"] == 1
    (free,) = judge.verdicts(
        [
            case(
                description=(
                    "A fried red egg rests slowly in a kitchen on a bright day, filmed by a static"
                    " camera."
                )
            )
        ]
    )
    assert free.score == 10, "a description of another form is read as a whole"


def test_overlap_reads_gold_prose_too():
    prose = "The raw red egg that rolls fast by day in the static kitchen rests slow, fried."
    (verdict,) = OverlapJudge().verdicts([case(gold=None, gold_text=prose)])
    assert verdict.score > 7
    assert OverlapJudge().verdicts([case(gold=None)])[0].cause == "no gold text"


def test_every_triplet_counts():
    cases = [
        case(),
        case(None, id="2", failure="trace: unusable trace"),
        case(ReasoningTrace(), id="3"),
        case(gold=None, id="4"),
    ]
    score = summary(
        SlotsJudge(), judged(SlotsJudge(), cases), "two_stage", "mini", "measured here, mini"
    )
    assert [verdict.score for verdict in score.verdicts] == [10, 0, 0, None] and (
        score.triplets,
        score.judged,
    ) == (4, 3)
    assert score.causes == {
        "trace: unusable trace": 1,
        "no trace": 1,
        "no gold trace": 1,
    } and score.mean == pytest.approx(10 / 3)
    line = score.line()
    assert all(
        part in line
        for part in ("0-10", "slots (slots-1)", "3 of 4 triplets judged", "measured here, mini")
    )
    assert "no score by slots" in summary(SlotsJudge(), [score.verdicts[3]], "s", "b", "k").line()


def test_agreement(mini):
    mixed = [replace(c, trace=mini[i - 1].trace) if i % 2 else c for i, c in enumerate(mini)]
    one, two = (
        summary(judge, judged(judge, mixed), "s", "b", "k")
        for judge in (SlotsJudge(), OverlapJudge())
    )
    found = agreement(one, two)
    assert (
        found["n"] == 400
        and 0.7 < found["low"] <= found["spearman"] <= found["high"]
        and found["second"] == "overlap (overlap-1)"
    )
    assert (
        agreement(one, one)["spearman"] == pytest.approx(1)
        and agreement(one, one)["mean absolute difference"] == 0
    )
    with pytest.raises(ValueError, match="scored 0 triplets in common"):
        agreement(
            one,
            summary(
                SlotsJudge(),
                judged(SlotsJudge(), [replace(c, gold=None) for c in mini]),
                "s",
                "b",
                "k",
            ),
        )


def test_rank_correlation():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    x, y = rng.random(60), rng.integers(0, 4, 60)
    rho, low, high = metrics.rank_correlation(x, y)
    assert rho == pytest.approx(spearmanr(x, y).statistic) and low < rho < high and low < 0 < high
    assert metrics.rank_correlation(x, x) == (pytest.approx(1),) * 3
    assert all(np.isnan(metrics.rank_correlation(x, np.ones(60))))


@pytest.fixture
def server():
    """An OpenAI-compatible server of our own: it answers with ``server.answers`` in turn, (status,
    content), and keeps what it was asked.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.asked.append((self.path, self.headers["Authorization"], body))
            status, content = self.server.answers.pop(0)
            message = {
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": content},
                    }
                ]
            }
            blob = json.dumps(
                message if status == 200 else {"error": {"message": content}}
            ).encode()
            self.send_response(status)
            for name, value in (
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(blob))),
                ("retry-after-ms", "1"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(blob)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers, server.url = [], [], f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


ANSWER = json.dumps({name: i for i, name in enumerate(DIMENSIONS)})


def test_an_endpoint_is_asked_once_and_in_the_right_form(server, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "key-of-the-test")
    server.answers = [
        (200, ANSWER),
        (503, "busy"),
        (200, f"Here: {ANSWER}"),
        (200, "a good trace"),
        (200, ANSWER),
    ]
    cases = [
        case(),
        case(replace(GOLD, tempo=("fast",)), id="2", before="A raw egg.", after=STATED),
        case(replace(GOLD, camera=("wide",)), id="3"),
    ]
    judge = endpoint_judge("judge-1", server.url, seed=3, folder=tmp_path)
    verdicts = judged(judge, cases)
    assert [verdict.score for verdict in verdicts] == [4.5, 4.5, None] and verdicts[
        2
    ].cause == "judge: unusable answer"
    assert verdicts[0].parts["concision"] == 9 and judge.name == f"model:judge-1 at {server.url}"
    path, key, body = server.asked[0]
    assert (
        path == "/v1/chat/completions"
        and key == "Bearer key-of-the-test"
        and (body["seed"], body["temperature"]) == (3, 0)
    )
    assert body["response_format"]["json_schema"]["schema"]["required"] == list(DIMENSIONS)
    assert (
        "A raw egg." in server.asked[1][2]["messages"][0]["content"]
        and STATED in server.asked[1][2]["messages"][0]["content"]
    )
    again = judged(endpoint_judge("judge-1", server.url, seed=3, folder=tmp_path), cases)
    assert [verdict.score for verdict in again] == [4.5, 4.5, 4.5] and len(server.asked) == 5, (
        "only what had no answer is asked again"
    )
    assert not any("key-of-the-test" in file.read_text() for file in tmp_path.iterdir())
    server.answers = [(200, ANSWER)]
    judged(
        endpoint_judge("judge-1", server.url, seed=4, structured=False, folder=tmp_path), cases[:1]
    )
    assert "response_format" not in server.asked[-1][2], "another seed is another question"


@pytest.mark.parametrize(
    "status, message",
    [
        (401, f"refuses the key; set the environment variable {KEY_VARIABLE}"),
        (404, "has no model 'judge-1'"),
        (400, "structured=False"),
    ],
)
def test_an_endpoint_that_refuses_says_what_to_change(
    server, tmp_path, monkeypatch, status, message
):
    monkeypatch.setenv(KEY_VARIABLE, "key-of-the-test")
    server.answers = [(status, "no")]
    with pytest.raises(EndpointError, match=message) as caught:
        judged(endpoint_judge("judge-1", server.url, folder=tmp_path), [case()])
    assert "key-of-the-test" not in str(caught.value)


def test_an_endpoint_that_fails_or_is_not_there(server, tmp_path):
    server.answers = [(500, "broken")] * 2
    (verdict,) = judged(endpoint_judge("judge-1", server.url, retries=1, folder=tmp_path), [case()])
    cause = f"judge: {server.url} failed with status 500"
    assert (verdict.score, verdict.cause, len(server.asked)) == (None, cause, 2)
    with pytest.raises(EndpointError, match="cannot be reached"):
        judged(
            endpoint_judge("judge-1", "http://127.0.0.1:9/v1", retries=0, folder=tmp_path), [case()]
        )


def test_any_backbone_can_be_the_judge(tiny, tmp_path, monkeypatch):
    benchmark = load_benchmark("mini-val")

    def clip_of(video):
        if video == "gone":
            raise ClipError("missing", "no such file")
        return read_clip(benchmark.video_path(video), tiny.sampling, video)

    cases = [case(reference=benchmark.triplets[0].reference), case(id="2", reference="gone")]
    judge = backbone_judge(tiny, clip_of, folder=tmp_path)
    first, second = judged(judge, cases)
    assert (
        0 <= first.score <= 10
        and set(first.parts) == set(DIMENSIONS)
        and second.cause == "judge: reference video missing"
    )
    monkeypatch.setattr(
        tiny, "write", lambda prompts, generation: [] if not prompts else pytest.fail("asked again")
    )
    assert judged(backbone_judge(tiny, clip_of, folder=tmp_path), cases)[0] == first

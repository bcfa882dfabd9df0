"""An indexed folder is asked: by a reference and an edit, by a text, with a trace of one's own."""

import shutil

import pytest

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.likelihood import Likelihood
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.folders import VideoFolder
from covrr_utils.experiments.index import index
from covrr_utils.experiments.questions import NoAnswer, Question
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.search import FolderSearch
from covrr_utils.plotting.search_page import page_name
from covrr_utils.reasoning import prompts
from covrr_utils.store.collection import Collection
from covrr_utils.traces.trace import ReasoningTrace

CLIPS = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[:7]

CONFIG = RunConfig(backbone="mini-1m", device="cpu", batch_size=8)


@pytest.fixture(scope="module")
def mini():
    return Backbone.load("mini-1m", device="cpu", batch_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five clips; no test of this file changes them."""
    root = tmp_path_factory.mktemp("videos") / "holidays"
    (root / "2024").mkdir(parents=True)
    for clip, name in zip(CLIPS, ("a.mp4", "b.MP4", "c.mp4", "2024/d.mp4", "2024/e.mp4")):
        shutil.copy(clip, root / name)
    return root


@pytest.fixture(scope="module")
def search(folder, mini, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVRR_RUNS", str(tmp_path_factory.mktemp("runs")))
        index(VideoFolder(folder), CONFIG, mini)
        yield FolderSearch(VideoFolder(folder), CONFIG, mini)


def test_a_reference_and_an_edit(search, folder, described):
    question = Question(folder / "a.mp4", "The sun comes up.", strategy="single_stage")
    answer = search.ask(question, count=3)
    assert [hit.rank for hit in answer.hits] == [1, 2, 3] and answer.videos == 4
    assert answer.left_out == ("a.mp4",) and answer.trace is None
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    for hit in answer.hits:
        assert set(hit.parts) == {"alone", "context", "words"} and hit.score == hit.parts["alone"]
        assert hit.path == folder / hit.video and hit.text == search.run.gallery()[hit.video].text
    kept = search.ask(question, keep_reference=True, by="context")
    assert kept.videos == 5 and len(kept.hits) == 5 and kept.left_out == ()
    assert kept.hits[0].score == max(hit.parts["context"] for hit in kept.hits)
    assert sum(described) == 1, "the same question is answered from the store"


def test_scores_are_those_of_a_run(small_benchmark, mini, runs):
    """The scores of a search are the cosines by which a run ranks."""
    run = Run(CONFIG.replace(benchmark=str(small_benchmark)), mini)
    triplet = run.benchmark.triplets[0]
    root = small_benchmark.parent / "videos"
    index(VideoFolder(root), CONFIG, mini)
    searching = FolderSearch(VideoFolder(root), CONFIG, mini)
    reference = run.benchmark.video_path(triplet.reference)
    answer = searching.ask(Question(reference, triplet.edit), count=99, by="context")
    scores = run.scores("two_stage", CONFIG.pooling, CONFIG.scheme)
    expected = dict(zip(scores.videos, scores.by_query[triplet.id], strict=True))
    assert len(answer.hits) == len(expected) - 1
    for hit in answer.hits:
        assert hit.score == pytest.approx(expected[hit.video.removesuffix(".mp4")], abs=1e-4)


def test_a_reference_outside_the_folder_and_its_copy_inside(search, folder, tmp_path):
    outside = shutil.copy(CLIPS[6], tmp_path / "outside.mp4")
    answer = search.ask(Question(outside, "It stops."))
    assert answer.videos == 5 and answer.left_out == () and answer.trace is not None
    copy = shutil.copy(folder / "c.mp4", tmp_path / "copy.mp4")
    assert search.ask(Question(copy, "It stops.")).left_out == ("c.mp4",)
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert search.ask(Question(link / "a.mp4", "It stops.")).left_out == ("a.mp4",)


def test_a_text_without_a_reference_is_read_alone(search):
    gallery = search.run.gallery()
    text = gallery["c.mp4"].text
    answer = search.ask(Question(text=text))
    assert answer.videos == 5 and answer.text == text and answer.trace is None
    assert {hit.video: hit for hit in answer.hits}["c.mp4"].score == pytest.approx(1, abs=1e-5)
    assert set(answer.hits[0].parts) == {"alone", "words"}
    with pytest.raises(ValueError, match="no score 'context' for this question; known: alone, wor"):
        search.ask(Question(text=text), by="context")


def test_a_trace_of_a_person_takes_the_place_of_the_models(search, folder):
    trace = ReasoningTrace(states=("lamp: off -> on",))
    answer = search.ask(Question(folder / "a.mp4", "Switch it on.", trace=trace))
    assert answer.trace == trace
    with pytest.raises(ValueError, match="a text needs no trace"):
        Question(text="a lamp", trace=trace)


def test_matched_words_are_those_that_both_descriptions_say(search):
    text = search.run.gallery()["c.mp4"].text
    answer = search.ask(Question(text=f"It is the {text.split()[-1]}"))
    for hit in answer.hits:
        assert "".join(piece for piece, _ in hit.pieces) == hit.text
        assert set(hit.matched) <= {piece.casefold() for piece, marked in hit.pieces if marked}
    same = next(hit for hit in answer.hits if hit.video == "c.mp4")
    assert same.matched and not set(same.matched) & {"it", "is", "the"}


def test_questions_that_cannot_be_asked(search, folder, tmp_path):
    for question in (
        {},
        {"edit": "x"},
        {"reference": folder / "a.mp4"},
        {"text": "x", "edit": "y"},
    ):
        with pytest.raises(ValueError, match="give --reference VIDEO and --edit TEXT"):
            Question(**question)
    with pytest.raises(ValueError, match="the edit or text is empty"):
        Question(folder / "a.mp4", "  ")
    with pytest.raises(ValueError, match="give a trace of your own with --trace FILE"):
        Question(folder / "a.mp4", "x", strategy="gold_trace")
    with pytest.raises(NoAnswer, match="the reference cannot be read: .*no such file"):
        search.ask(Question(tmp_path / "none.mp4", "x"))
    with pytest.raises(NoAnswer, match="the reference cannot be read: .*is a folder"):
        search.ask(Question(tmp_path, "x"))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    with pytest.raises(NoAnswer, match="no answer: video, not decodable"):
        search.ask(Question(broken, "x"))


def test_another_question_has_a_page_of_another_name(search, folder):
    first = search.ask(Question(text="a lamp"), count=2)
    second = search.ask(Question(text="a lamp"), count=2, by="words")
    names = {page_name(search, answer) for answer in (first, second)}
    assert len(names) == 2 and all(name.startswith("mini-1m__a-lamp") for name in names)


def test_a_second_look_orders_the_first_hits_anew(search, folder, mini):
    looking = CONFIG.replace(rerank="likelihood", rerank_depth=3)
    again = FolderSearch(VideoFolder(folder), looking, mini)
    text = search.run.gallery()["c.mp4"].text
    likelihood = Likelihood(mini, prompts.describe())
    for question in (
        Question(folder / "a.mp4", "The sun comes up.", strategy="single_stage"),
        Question(text=text),
    ):
        first, second = search.ask(question, count=5), again.ask(question, count=5)
        assert first.reranking is None and second.reranking["pairs_per_query"] == 3
        candidates = [hit.video for hit in first.hits[:3]]
        by_hand = {
            video: float(
                likelihood.of([again.run.clip(video)], [[first.text]])[0][0].logprobs.sum()
            )
            for video in candidates
        }
        expected = sorted(candidates, key=by_hand.get, reverse=True)
        assert [hit.video for hit in second.hits[:3]] == expected
        assert [hit.video for hit in second.hits[3:]] == [hit.video for hit in first.hits[3:]]
        ranks = {hit.video: hit.rank for hit in first.hits}
        assert [hit.before for hit in second.hits] == [ranks[hit.video] for hit in second.hits]
        scores = {hit.video: hit.score for hit in first.hits}
        assert all(hit.score == pytest.approx(scores[hit.video], abs=1e-6) for hit in second.hits)


def test_a_search_reads_no_description_but_those_it_shows(search, folder, mini, monkeypatch):
    question = Question(text=search.run.gallery()["c.mp4"].text)
    expected = search.ask(question, count=2)
    heads, head = [], Collection.head
    states, record = [], Collection.record
    monkeypatch.setattr(
        Collection, "head", lambda self, name: heads.append(name) or head(self, name)
    )
    monkeypatch.setattr(
        Collection, "record", lambda self, name: states.append(name) or record(self, name)
    )
    pooled = {path: path.stat().st_mtime_ns for path in paths.runs_dir().rglob("pooled/*")}
    fresh = FolderSearch(VideoFolder(folder), CONFIG, mini)
    fresh.load(model=False)
    assert heads == states == []
    assert fresh.ask(question, count=2).hits == expected.hits
    assert len(set(heads)) == 2
    assert len(states) == 1, "the token states of the question alone"
    after = {path: path.stat().st_mtime_ns for path in paths.runs_dir().rglob("pooled/*")}
    assert pooled and after == pooled, "no question writes the vectors of the folder again"


def test_words_that_were_kept_and_damaged_are_counted_again(search, folder, mini, capsys):
    question = Question(text=search.run.gallery()["c.mp4"].text)
    expected = search.ask(question, by="words").hits
    (kept,) = VideoFolder(folder).place.glob("words-*.npz")
    whole = kept.read_bytes()
    for damaged in (whole[:-40], whole[:200] + b"?" + whole[201:], b"", b"no archive"):
        kept.write_bytes(damaged)
        again = FolderSearch(VideoFolder(folder), CONFIG, mini).ask(question, by="words").hits
        assert again == expected and "is damaged" in capsys.readouterr().err
    assert kept.read_bytes() == whole

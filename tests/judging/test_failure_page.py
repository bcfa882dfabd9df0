"""The failure page: what a card says, what is marked, and what the page does in a browser."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.judging.diagnostics import Diagnosis
from covrr_utils.judging.failure_cards import DESCRIPTION, GOLD, TRACE, failure_card, fate
from covrr_utils.judging.failure_page import Excerpt, failure_page, lacking
from covrr_utils.pages.cards import WHOLE
from covrr_utils.pages.films import FRAMES, Films, film
from covrr_utils.traces.reading import parse_trace
from covrr_utils.video.clips import Decoded

GOLD_TRACE = parse_trace(
    "states: red egg; raw -> fried\nactions: rolls -> rests\nscene: kitchen; day\ncamera: static\n"
    "tempo: fast -> slow"
)
TARGET = (
    "The red egg is fried. It rests. The scene is the kitchen by day. The camera is static. The"
    " tempo is slow."
)
HOSTILE = "</script><script>alert(1)</script>\"'& \ud800 שלום"


class Query:
    """A described query as far as a card reads it."""

    def __init__(self, text, trace=None, written=None):
        self.text, self.trace, self.written = text, trace, written


def triplet(id_="7", edit="Fry it.", gold=GOLD_TRACE, **more):
    more = {"tags": ("implicit",), "distractors": {"literal": ("rival",)}} | more
    return Triplet(id_, "reference", edit, "target", "", gold_trace=gold, **more)


def miss(id_="7", rank=3, kind="literal", trace=(), said=(), target=()):
    return Diagnosis(id_, rank, None, "rival", kind, trace, said, target)


def card(number=0, of=None, diagnosis=None, query=None, texts=None):
    of = of or triplet()
    row = {"top": ["rival", "target"], "scores": [0.9, 0.8]}
    texts = (
        {"rival": TARGET.replace("rests", "rolls"), "target": TARGET} if texts is None else texts
    )
    return failure_card(number, of, row, diagnosis or miss(of.id), query, texts, None)


def page(cards, triplets=(), absences=(), films=None):
    diagnoses = [miss(item.id, item.rank, item.kind) for item in cards]
    films = films or Films({}, {"reference": "missing", "target": "truncated"})
    return failure_page("Misses: t on b", {"seed": "0"}, diagnoses, cards, films, absences).decode()


def cells(item, name, slot):
    (column,) = (column for column in item.columns if column.name == name)
    return [("".join(text for text, _ in line.pieces), line.wrong) for line in column.cells[slot]]


def test_gold_is_never_marked_wrong_and_what_is_left_out_is_told():
    written = parse_trace(
        "states: red egg; burnt\nactions: rolls -> rests\nscene: kitchen\ncamera: panning\ntempo:"
        " fast -> slow"
    )
    item = card(query=Query(TARGET, written))
    (gold,) = (column for column in item.columns if column.name == GOLD)
    assert not any(line.wrong for lines in gold.cells.values() for line in lines)
    assert cells(item, GOLD, "states") == [("red egg", False), ("raw -> fried", False)]
    assert cells(item, TRACE, "states") == [("red egg", False), ("burnt", True)]
    assert cells(item, TRACE, "camera") == [("panning", True)]
    assert cells(item, TRACE, "scene") == [("kitchen", False), ("leaves out: day", True)]
    assert cells(item, TRACE, "tempo") == [("fast -> slow", False)]
    plain = card(of=triplet(gold=None), query=Query(TARGET, written))
    assert cells(plain, TRACE, "camera") == [("panning", False)], "nothing to differ from"


def test_colours_of_a_ranking_are_the_target_and_what_came_first():
    """A hard distractor that came later has no colour; what it is stands below it."""
    of = triplet(distractors={"literal": ("later",)})
    row = {"top": ["other", "later", "target"], "scores": [0.9, 0.8, 0.7]}
    item = failure_card(0, of, row, miss(), None, dict.fromkeys(row["top"], TARGET), None)
    assert [video.role for video in item.top] == ["rival", "", "target"]
    assert item.top[1].label == "literal"


def test_the_words_that_beat_the_target():
    query = TARGET.replace("rests", "rolls")
    item = card(query=Query(query), diagnosis=miss(said=("actions",)))
    assert item.won_with == ["rolls"] and item.rival == "rival"
    assert cells(item, DESCRIPTION, "actions") == [("It rolls.", True)]
    assert '<mark class="beat">rolls</mark>' in page([item])
    same = card(query=Query(TARGET.replace("static", "wide")))
    assert same.won_with == [] and "its vector alone was nearer" in page([same])
    free = card(
        query=Query("a fried egg rolls"), texts={"rival": "an egg rolls", "target": "fried"}
    )
    assert free.slots[-1] == WHOLE and free.won_with == ["egg", "rolls"]
    unread = card(query=Query(query), texts={"target": TARGET})
    assert unread.won_with == [] and not any("first" in column.name for column in unread.columns)


def test_fates_are_sentences():
    assert fate(miss(trace=("scene",), said=("scene", "tempo"), target=("tempo",))) == (
        "Missed: the target has rank 3; a “literal” video came first. The trace is wrong in scene."
        " The description is wrong in scene, tempo. The gallery describes the target wrong in"
        " tempo."
    )
    never = Diagnosis("7", None, "video: missing", None, "failed", None, None, None)
    assert fate(never) == "Missed: never ranked (video: missing)."
    assert fate(miss(rank=1, kind=None)).startswith("Found at rank 1. The trace is right.")
    unexplained = fate(miss(kind="unexplained", trace=None, said=None, target=None))
    assert unexplained == "Missed: the target has rank 3; another video came first."


class Tree(HTMLParser):
    """Ids, links, the text that is shown, and whether every element is closed in its turn."""

    VOID = ("meta", "input", "br")

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.open, self.words = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.ids += [names["id"]] if "id" in names else []
        self.links += [names["href"]] if "href" in names else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words += data


def test_an_excerpt_stands_in_a_chapter_and_leaves_it_alone():
    """The cards of the page, all open, without links to cards that are not there; their styles are
    held to their box.
    """
    shown = [card(query=Query(TARGET)), card(1, triplet("8"), query=Query(TARGET))]
    text = Excerpt(shown, Films({}, {"reference": "missing"}))._repr_html_()
    tree = Tree(text)
    assert tree.open == [] and tree.ids == ["triplet-7", "triplet-8"] and tree.links == []
    assert text.count('<details class="body" open>') == 2 and "<script" not in text
    assert re.search(r"<style>@scope \{", text) and ":root" not in text
    for item in shown:
        assert item.edit in tree.words and item.verdict in tree.words
    assert str(repr(Excerpt(shown, Films()))).count("Missed: the target has rank 3") == 2
    assert "Nothing to show" in Excerpt([], Films())._repr_html_()


def test_every_card_has_a_link_and_foreign_text_stays_text():
    ids = ["7", "a b/ü&=#", HOSTILE, "../x"]
    of = [triplet(id_, HOSTILE, tags=(HOSTILE,), distractors={HOSTILE: ("rival",)}) for id_ in ids]
    texts = {"rival": HOSTILE, "target": HOSTILE}
    cards = [
        card(i, each, miss(each.id, kind=HOSTILE), Query(HOSTILE), texts)
        for i, each in enumerate(of)
    ]
    text = page(cards, absences=[HOSTILE], films=Films({}, {"reference": HOSTILE}))
    tree = Tree(text)
    assert tree.open == [] and text.count("<script>") == 1 and "alert(1)" in tree.words
    assert len(set(tree.ids)) == len(tree.ids)
    anchors = [item.anchor for item in cards]
    assert anchors[:2] == ["triplet-7", "triplet-a%20b%2F%C3%BC%26%3D%23"]
    assert set(anchors) < set(tree.ids)
    cards_links = [link for link in tree.links if link.startswith("#triplet-")]
    assert {link[1:] for link in cards_links} == set(anchors), "no link leads nowhere"
    assert "שלום" in tree.words and "\ufffd" in tree.words


def test_what_a_plain_benchmark_lacks_is_said():
    plain = [triplet(str(i), gold=None, tags=(), distractors={}) for i in range(2)]
    cards = [
        card(i, of, miss(of.id, i + 2, "unexplained", None, None, None), Query("a fried egg"))
        for i, of in enumerate(plain)
    ]
    absences = lacking(plain, cards)
    assert len(absences) == 4 and not lacking([triplet()], [])
    text = page(cards, absences=absences)
    assert all(sentence in Tree(text).words for sentence in absences)
    assert 'name="tag"' not in text and 'name="stage"' not in text, "one choice is no choice"
    assert "missing" in text and "truncated" in text and "no video is named" not in text
    empty = page([])
    assert "every target came first" in empty and "<script" not in empty and "<form" not in empty


@pytest.fixture(scope="module")
def three_cards(tmp_path_factory):
    """A page of three cards on disk."""
    picture = np.zeros((FRAMES, 8, 8, 3), np.uint8)
    strip = film(Decoded(picture, np.arange(FRAMES), FRAMES, 4.0, "pyav", (8, 8)), "v0")
    of = [triplet("a"), triplet("b", "Boil it."), replace(triplet("c", "Ävoid."), tags=())]
    stages = [("scene",), (), ("tempo",)]
    cards = [
        card(i, each, miss(each.id, i + 2, trace=stages[i]), Query(TARGET, GOLD_TRACE))
        for i, each in enumerate(of)
    ]
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page(cards, films=Films({"reference": strip}, {})), encoding="utf-8")
    return path


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser chromium")
@pytest.mark.parametrize(
    ("view", "shown", "opened", "status"),
    [
        ("#triplet-c&sort=worst&stage=trace", ["c", "a"], ["c"], "2 of 3"),
        ("#q=BOIL&stage=nonsense", ["b"], [], "1 of 3"),
        ("#q=nothing+such", [], [], "0 of 3"),
        ("#triplet-b&stage=trace", ["a", "b", "c"], ["b"], "3 of 3"),
    ],
)
def test_the_address_holds_the_view(three_cards, tmp_path, view, shown, opened, status):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path}", f"{three_cards.as_uri()}{view}"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    articles = re.findall(
        r'<article[^>]*id="triplet-(\w)"([^>]*)>\s*<details[^>]*?( open="")?>', text
    )
    assert [id_ for id_, attributes, _ in articles if "hidden" not in attributes] == shown
    assert [id_ for id_, _, is_open in articles if is_open] == opened
    assert f">{status}<" in text
    assert ('id="none" class="empty" hidden' not in text) == (not shown)

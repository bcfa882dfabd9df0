"""Pages in one file: films, marked words, and what is escaped."""

import base64
import hashlib
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from covrr_utils.pages import rendering
from covrr_utils.pages.cards import WHOLE, Ranked, ahead, marked_words
from covrr_utils.pages.films import FRAMES, HEIGHT, WIDTH, Films, film, films, shrunk
from covrr_utils.traces.matching import words_among
from covrr_utils.video.clips import CAUSES, ClipError, Decoded

HOSTILE = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"' \ud800 עברית"


def decoded(height=12, width=30, frames=FRAMES, fps=4.0):
    picture = np.zeros((frames, height, width, 3), np.uint8)
    picture[:, :, :, 0] = np.linspace(0, 255, frames)[:, None, None]
    return Decoded(picture, np.arange(frames), frames, fps, "pyav", (height, width))


def test_a_film_is_its_frames_side_by_side():
    shown = film(decoded(), "v7")
    strip = Image.open(io.BytesIO(base64.b64decode(shown.strip.split(",")[1])))
    assert strip.format == "WEBP" and strip.size == (FRAMES * 30, 12)
    assert (shown.style, shown.aspect, shown.seconds) == ("v7", 2.5, 2.0)
    reds = [int(strip.convert("RGB").getpixel((30 * i + 15, 6))[0]) for i in range(FRAMES)]
    assert reds == sorted(reds) and reds[-1] - reds[0] > 200, "first frame first"
    assert (
        film(decoded(fps=0.1), "v").seconds == 6.0 and film(decoded(fps=60.0), "v").seconds == 1.0
    )


def test_large_frames_are_shrunk_and_small_ones_left():
    sizes = {(1080, 1920): (128, 228), (1920, 1080): (128, 72), (12, 30): (12, 30)}
    sizes |= {(10, 4000): (1, WIDTH), (4000, 2): (HEIGHT, 1)}
    for (height, width), size in sizes.items():
        assert shrunk(np.zeros((height, width, 3), np.uint8)).shape[:2] == size


def test_every_video_has_one_film_or_a_cause(small_benchmark):
    folder = small_benchmark.parent / "videos" / "val"
    good, empty, *_ = sorted(folder.iterdir())
    empty.write_bytes(b"")

    def path_of(video):
        if video == "gone":
            raise ClipError("missing", "gone: there is no such file")
        return folder / video

    made = films(path_of, [good.name, "gone", None, empty.name, good.name, "gone"])
    assert list(made.shown) == [good.name] and made.shown[good.name].style == "v0"
    assert made.absent == {"gone": "missing", empty.name: "empty file"}
    assert set(made.absent.values()) <= set(CAUSES)


def test_marked_words_are_those_of_the_query_that_the_other_lacks():
    query = (
        "The red egg is fried. It rests. The scene is the kitchen by day. The camera is static."
        " The tempo is fast."
    )
    rival = query.replace("rests", "is resting").replace("egg", "kettle")
    target = query.replace("fried", "raw").replace("day", "night")
    pieces = ahead(rival, query, target)
    assert marked_words(pieces) == ["fried", "day"]
    assert "".join(text for parts in pieces.values() for text, _ in parts) == rival.replace(
        ". ", "."
    )
    assert marked_words(ahead(target, query, rival)) == ["egg"]
    assert marked_words(ahead(query, query, query)) == []
    free = ahead("By day, an egg: fried!", query, "a raw egg by night")
    assert list(free) == [WHOLE] and marked_words(free) == ["day", "fried"]
    assert ahead("  ", query, target) == {}
    assert words_among("Ä  red-hot −5°", {"red-hot", "-5"}) == [
        ("Ä  ", False),
        ("red-hot", True),
        (" ", False),
        ("−5", True),
        ("°", False),
    ]


@pytest.fixture
def page(tmp_path, monkeypatch):
    """``page(body, **content)``: a page of its own that extends the common one, as text."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    (tmp_path / "own" / "templates").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own", raising=False)

    def render(body, script=None, **content):
        template = (
            '{% extends "page.html.j2" %}{% import "cards.html.j2" as cards %}'
            f"{{% block body %}}{body}{{% endblock %}}"
        )
        (tmp_path / "own" / "templates" / "own.html.j2").write_text(template)
        (tmp_path / "own" / "templates" / "own.js").write_text("let a = 1 && 2;\n")
        return rendering.render("own", "own.html.j2", script, **content).decode()

    return render


def test_nothing_that_is_shown_can_run(page):
    video = Ranked(
        1,
        HOSTILE,
        0.5,
        HOSTILE,
        "rival",
        ((HOSTILE, 0.25),),
        ((HOSTILE, True), (HOSTILE, False)),
        HOSTILE,
    )
    shown = page(
        "{{ cards.result(films, video) }}{{ cards.facts(facts) }}",
        title=HOSTILE,
        films=Films({}, {HOSTILE: HOSTILE}),
        video=video,
        facts={HOSTILE: HOSTILE},
    )
    assert "<script" not in shown and "<img" not in shown and "script-src &#39;none&#39;" in shown
    assert "&lt;script&gt;alert(1)" in shown and "\ufffd" in shown and "עברית" in shown
    assert shown.count("<style>") == shown.count("</style>") == 3


def test_only_the_pages_own_script_may_run(page):
    shown = page("{{ title }}", "own.js", title="t", films=Films({"a": film(decoded(), "v0")}, {}))
    (script,) = re.findall(r"<script>(.*?)</script>", shown, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in shown
    assert "a = 1 && 2" in script, "the script is not escaped"
    assert shown.index("<body>") < shown.index("data:image"), "words need not wait for pictures"
    assert shown.count("data:image/webp") == 1 and "https:" not in shown

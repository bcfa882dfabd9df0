"""The pictures of the lessons: the method, states that predict, ranks, and clips that play."""

import io
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawers import clip, clip_of, trace, triplet
from PIL import Image

from covrr_utils import paths
from covrr_utils.plotting import (
    architecture,
    guessing,
    marks,
    method,
    moving,
    plane,
    ranks,
    token_states,
    training,
)
from covrr_utils.plotting.style import REFERENCE
from covrr_utils.video.clips import ClipError


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(plt.Text)).replace("\n", " ")


def described(count, seed):
    states = np.random.default_rng(seed).standard_normal((count + 1, 6)).astype(np.float32)
    content = np.arange(count + 1) < count
    return SimpleNamespace(
        tokens=[*(f" w{n}" for n in range(count)), "<|im_end|>"], states=states, content=content
    )


def test_the_map_lights_the_stages_that_it_is_told():
    figure = method.method_map({"reason", "rank"})
    blue = [patch for patch in figure.axes[0].patches if patch.get_edgecolor()[:3] == REFERENCE]
    assert len(blue) == 2 and all(stage in words(figure) for stage in method.STAGES)
    with pytest.raises(ValueError, match="unknown stage 'think'; known: triplet, reason"):
        method.method_map({"think"})


@pytest.mark.parametrize(("ranked", "hit"), [((clip(), clip()), 1), ((), None)])
def test_a_triplet_flows_through_the_method(ranked, hit):
    unit = np.eye(4)[0]
    gone = ClipError("missing", "no file")
    figure = method.method_figure(
        method.Flow(
            *(clip(), "It $5 falls.", trace("a long assertion " * 9) if ranked else None),
            "A description. " * 60,
            *(unit, gone, "t", unit, [(video, 0.5) for video in ranked], hit),
        )
    )
    shown = words(figure)
    assert "“It $5 falls.”" in shown and "cosine 1.0000" in shown and "missing" in shown
    assert ("the target" in shown) == (hit is not None)
    assert ("no trace" in shown) == (not ranked)
    assert sum(bool(axis.images) for axis in figure.axes) == 1 + len(ranked)


def test_states_stand_one_place_before_the_token_that_they_predict():
    figure = token_states.states_that_predict(["The", " mug", "<|im_end|>"])
    place = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts}
    assert place["state 0"] == place["(prompt)"] < place["The"] == place["state 1"]
    assert place["mug"] == place["state 2"] < place["end"]
    assert "There is no token" in words(token_states.states_that_predict([]))


def test_cosines_of_states_are_those_of_their_content():
    query, target = described(3, 0), described(40, 1)
    values = token_states.cosines(query, target)
    assert values.shape == (3, token_states.MOST)
    one, two = query.states[1].astype(float), target.states[2].astype(float)
    assert np.isclose(values[1, 2], one @ two / np.linalg.norm(one) / np.linalg.norm(two))
    figure = token_states.cosine_map([("first", query, target), ("second", query, query)])
    limits = {axis.collections[0].get_clim() for axis in figure.axes[:2]}
    assert len(limits) == 1, "two maps, one scale"
    assert "There is no pair" in words(token_states.cosine_map([]))


@pytest.mark.parametrize("size", [1, 3, 11, 2100])
def test_every_triplet_is_in_the_histogram_of_ranks(size):
    values = [1, size, None]
    figure = ranks.rank_histogram({"two_stage": values}, size)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == len(values)
    assert "two stage" in words(figure) and "no rank" in words(figure)
    assert "There is no rank" in words(ranks.rank_histogram({"x": []}, size))


def test_a_clip_plays_at_its_own_tempo_and_begins_again():
    seen = clip(8)
    seen.frames = np.stack([np.full((16, 16, 3), 30 * n, np.uint8) for n in range(8)])
    with Image.open(io.BytesIO(moving.animated(seen))) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (8, 0)
        durations = []
        for number in range(picture.n_frames):
            picture.seek(number)
            picture.load()
            durations.append(picture.info["duration"])
    assert durations == [250] * 7 + [moving.HOLD]


def test_clips_that_play_survive_without_a_second_file():
    def path_of(video):
        if video == "gone":
            raise ClipError("missing", "no file")
        return paths.mini_dir() / "videos" / "test" / f"{video}.mp4"

    shown = moving.moving(path_of, ["0000", "gone"], ["a <mug>", "none"])
    page = shown._repr_html_()
    assert page.count("data:image/webp;base64,") == 1 and "http" not in page
    assert 'alt="moving clip: a &lt;mug&gt;"' in page and "cannot be read: missing" in page
    assert repr(shown) == "clips: a <mug> | none"


def test_a_wide_clip_is_shown_smaller_and_a_small_one_as_it_is():
    wide = clip(2)
    wide.frames = np.zeros((2, 200, 400, 3), np.uint8)
    for seen, size in ((wide, (moving.SIDE, 96)), (clip_of("still"), (16, 16))):
        assert Image.open(io.BytesIO(moving.animated(seen))).size == size


def test_a_choice_hides_the_target_among_its_rivals():
    one = guessing.choice(triplet("x"), ["t", "r", "d", "e", "f"])
    assert {"a", "b", "c", "t"} < {*one.candidates} <= set("abctdef"), "all distractors, one more"
    assert len(one.candidates) == guessing.CANDIDATES
    assert one == guessing.choice(triplet("x"), ["t", "r", "d", "e", "f"])
    assert one.candidates["ABCDE".index(one.letter)] == "t"
    assert guessing.guessed([one, one], one.letter * 2) == 2
    figure = guessing.choices_figure([one, guessing.choice(triplet("y"), [])], clip_of)
    assert "1. “x”" in " ".join(words(figure).split()) and "There is no" not in words(figure)
    assert "There is no triplet" in words(guessing.choices_figure([], clip_of))


def test_choices_stand_beside_each_other_under_their_numbers():
    three = [guessing.choice(triplet(text), "tr") for text in "xyz"]
    figure = guessing.choices_figure(three, clip_of)
    places = {
        axis.get_title(loc="left")[:1]: axis.get_position()
        for axis in figure.axes
        if axis.get_title(loc="left")
    }
    assert places["1"].y0 == places["2"].y0 > places["3"].y0
    assert places["1"].x0 == places["3"].x0 < places["2"].x0
    shown = sum(1 + len(one.candidates) for one in three)
    assert sum(bool(axis.images) for axis in figure.axes) == shown, "one frame of each, no more"
    assert [axis.get_xlabel() for axis in figure.axes if axis.images][:3] == ["reference", "A", "B"]


def test_the_candidate_that_fills_a_row_is_not_always_the_same():
    drawn = {guessing.choice(triplet("x"), "defgh", seed).candidates for seed in range(8)}
    assert len({video for row in drawn for video in row} & set("defgh")) > 1


def test_a_triplet_without_a_target_is_no_choice():
    with pytest.raises(ValueError, match="triplet 0 names no target"):
        guessing.choice(triplet("x", target=None), ["a"])


@pytest.mark.parametrize(
    ("letters", "message"),
    [("AB", "2 letters for 1 triplets"), ("Z", "strip 1: no candidate 'Z'; choose one of ABCD")],
)
def test_letters_that_name_no_candidate_are_refused(letters, message):
    with pytest.raises(ValueError, match=message):
        guessing.guessed([guessing.choice(triplet("x"), [])], letters)


def test_the_parts_of_a_model_are_drawn_with_their_parameters():
    counts = dict(zip(architecture.PLACES, (1000, 2000, 3000, 1500, 2500)))
    figure = architecture.architecture_figure(counts, {"decoder layers": 4}, "ten thousand")
    shown = words(figure)
    assert "4 x decoder layers" in shown and "3,000 (30.0 %)" in shown and "ten thousand" in shown
    with pytest.raises(ValueError, match="the parts are .*, expected .*mergers"):
        architecture.architecture_figure({"eyes": 1}, {}, "")


def test_a_plane_says_how_much_of_the_variance_it_shows():
    gallery = np.random.default_rng(0).standard_normal((5, 2))
    query, groups = np.zeros(2), ["mug", "", "", "mug", ""]
    figure = plane.vectors_in_a_plane(gallery, groups, query, None, (0.101, 0.07), "a\nb")
    shown = words(figure)
    assert "10.1 % of the variance" in shown and "second, 7.0 %" in shown and "others" in shown
    assert "its target" not in shown
    ringed = plane.vectors_in_a_plane(gallery, groups, query, None, (0.1, 0.1), "a", [4, 0])
    rings = ringed.axes[0].collections[2].get_offsets()
    assert "the query's 2 nearest" in words(ringed) and (rings == gallery[[4, 0]]).all()
    single = plane.vectors_in_a_plane(gallery[:1], ["mug"], query, None, (1.0, 0.0), "a")
    assert "There is nothing" in words(single) or not single.axes[0].collections


def test_a_title_says_the_finding_and_below_it_the_run():
    figure, axis = plt.subplots()
    marks.headed(axis, "Reasoning finds more\nmini, 400 triplets", 5.0)
    assert axis.get_title() == "Reasoning finds more"
    assert [text.get_text() for text in axis.texts] == ["mini, 400 triplets"]


def test_what_is_learned_has_a_line_each():
    table = pd.DataFrame({"lesson": [0, 9], "colour": [0.0, 100.0], "tempo": [0.0, 50.0]})
    figure = training.learning_curves(table, ["colour", "tempo"], "t")
    assert len(figure.axes[0].lines) == 2 and "tempo" in words(figure)

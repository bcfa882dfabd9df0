import numpy as np
import pytest

from covrr_utils.retrieval.pooling import POOLINGS, NothingToPool, pool
from covrr_utils.retrieval.weights import SCHEMES, WordFrequencies, token_weights, words_of

# token: original, graduated, nltk, basic (the official code's rules, first match wins), uniform
PUBLISHED = {
    " mug": (1.0, 1.0, 1.0, 1.0, 1.0),
    " the": (0.3, 0.2, 0.1, 0.1, 1.0),
    ".": (0.1, 0.5, 1.0, 1.0, 1.0),
    " ": (0.1, 0.5, 1.0, 1.0, 1.0),
    " 2026": (0.7, 1.0, 1.0, 1.0, 1.0),
    " xy": (0.4, 0.5, 1.0, 1.0, 1.0),
    " video": (0.1, 1.0, 1.0, 1.0, 1.0),
    " before": (0.3, 0.2, 0.1, 1.0, 1.0),
    " not": (0.3, 0.2, 0.1, 1.0, 1.0),
    "<tag>": (1.0, 0.0, 0.1, 0.1, 1.0),
    "<|im_end|>": (0.0, 0.0, 0.0, 0.0, 0.0),
}


# every scheme on one sentence; a new scheme gets its row here
SENTENCE = ["The", " red", " mug", " rests", ".", "<|im_end|>"]
BY_HAND = {
    "original": [0.3, 1, 1, 1, 0.1, 0],
    "graduated": [0.2, 1, 1, 1, 0.5, 0],
    "nltk": [0.1, 1, 1, 1, 1, 0],
    "basic": [0.1, 1, 1, 1, 1, 0],
    "uniform": [1, 1, 1, 1, 1, 0],
    "word": [0.1, 0.3, 1, 1, 0.1, 0],
}


def test_every_scheme_by_hand():
    weights = {scheme: token_weights(SENTENCE, scheme).tolist() for scheme in SCHEMES}
    assert weights == BY_HAND


@pytest.mark.parametrize("token", PUBLISHED)
def test_five_schemes_have_the_rules_of_the_official_code(token):
    got = tuple(
        float(token_weights([token], scheme)[0])
        for scheme in ("original", "graduated", "nltk", "basic", "uniform")
    )
    assert got == PUBLISHED[token]


def test_word_scheme_weighs_words_not_pieces():
    tokens = [
        "The",
        " clen",
        "ched",
        " fists",
        " close",
        "-up",
        ",",
        " not",
        " red",
        " before",
        ".",
    ]
    assert words_of(tokens)[1] == [1, 2] and words_of(tokens)[3] == [4, 5]
    assert token_weights(tokens, "word").tolist() == [0.1, 1, 1, 1, 1, 1, 0.1, 1, 0.3, 1, 0.1]


def test_particles_count_where_they_close_a_phrase():
    weights = dict(
        zip(
            range(9),
            token_weights(
                [" zooming", " in", ".", " It", " is", " in", " the", " mug", "."], "word"
            ),
        )
    )
    assert weights[1] == 1.0 and weights[5] == 0.1
    assert token_weights([" zooms", " in", " on", " the", " mug", "."], "word").tolist() == [
        1,
        1,
        0.1,
        0.1,
        1,
        0.1,
    ]


def test_slot_names_are_not_content():
    assert token_weights(["states", ":", " fried"], "word").tolist() == [0.1, 0.1, 1.0]


def test_weighted_mean_by_hand(make_description):
    d = make_description([" red", " mug", " rests", ".", "<|im_end|>"])
    a, h = np.array([0.3, 1.0, 1.0, 0.1]), d.states[:4].astype(np.float64)
    v = (a[:, None] * h).sum(0) / a.sum()
    assert np.allclose(pool(d), v / np.linalg.norm(v), atol=1e-7)


def test_end_of_turn_never_counts(make_description):
    d = make_description([" mug", " rests", "<|im_end|>"])
    e = make_description([" mug", " rests", "<|im_end|>"])
    e.states[2] += 100
    for name in POOLINGS:
        assert np.array_equal(pool(d, name), pool(e, name)), name


def test_the_other_poolings_by_hand(make_description):
    d = make_description(["a", "b", "c"])
    h = d.states.astype(np.float64)
    expected = {
        "mean": h.mean(0),
        "last": h[-1],
        "max": h.max(0),
        "mean_last": np.r_[h.mean(0), h[-1]],
        "mean_max": np.r_[h.mean(0), h.max(0)],
    }
    assert {*expected, "weighted_mean"} == set(POOLINGS), "every pooling is computed by hand"
    for name, v in expected.items():
        assert np.allclose(pool(d, name), v / np.linalg.norm(v), atol=1e-7), name
    assert np.allclose(pool(d, "weighted_mean", "uniform"), pool(d, "mean"), atol=1e-7)


def test_bad_input_is_refused(make_description):
    d = make_description([" mug"])
    with pytest.raises(ValueError, match="unknown pooling 'avg'; known: mean, weighted_mean"):
        pool(d, "avg")
    with pytest.raises(ValueError, match="unknown weight scheme 'tfidf'"):
        pool(d, scheme="tfidf")
    with pytest.raises(ValueError, match="no content tokens"):
        pool(make_description(["<|im_end|>"]))
    d.states[:] = 0
    with pytest.raises(ValueError, match="zero or not finite"):
        pool(d)


def test_idf_by_hand(make_description):
    words = WordFrequencies(["The mug rests.", "The mug slides.", "The egg rests."])
    tokens = ["The", " m", "ug", " rests", " kite", ".", "<|im_end|>"]
    rare = np.log(4 / 1)
    assert token_weights(tokens, "idf", words=words).tolist() == pytest.approx(
        [0, np.log(4 / 3), np.log(4 / 3), np.log(4 / 3), rare, 0, 0]
    )
    d = make_description(tokens)
    a = token_weights(tokens, "idf", words=words)[:6]
    v = (a[:, None] * d.states[:6]).sum(0) / a.sum()
    assert np.allclose(pool(d, scheme="idf", words=words), v / np.linalg.norm(v), atol=1e-6)
    with pytest.raises(ValueError, match="pass words=WordFrequencies"):
        pool(d, scheme="idf")
    with pytest.raises(NothingToPool, match="weighs 0 under scheme 'idf'"):
        pool(make_description(["The"]), scheme="idf", words=words)


def test_surprisal_weighs_by_what_the_model_did_not_expect(make_description):
    d = make_description([" a", " b", "<|im_end|>"])
    v = (-d.logprobs[:2, None] * d.states[:2]).sum(0)
    assert np.allclose(pool(d, scheme="surprisal"), v / np.linalg.norm(v), atol=1e-6)
    with pytest.raises(ValueError, match="pass logprobs"):
        token_weights([" a"], "surprisal")


def test_the_state_that_reads_a_token_stands_one_place_later(make_description):
    d = make_description([" a", " b", "<|im_end|>"])
    assert np.allclose(pool(d, "mean", source="reads"), pool(make_shifted(d), "mean"), atol=1e-7)
    cut = make_description([" a", " b"])
    v = cut.states[1]
    assert np.allclose(pool(cut, "mean", source="reads"), v / np.linalg.norm(v), atol=1e-7), (
        "nothing has read the last token of a cut text"
    )


def make_shifted(d):
    from dataclasses import replace

    return replace(d, states=np.vstack([d.states[1:], d.states[:1]]))


def test_layers_and_visual_tokens(make_description):
    d = make_description([" a", " b", "<|im_end|>"])
    with pytest.raises(ValueError, match="source 'layer 0': 0 layers are stored"):
        pool(d, source="layer 0")
    with pytest.raises(ValueError, match="stored without its visual tokens"):
        pool(d, source="vision")
    with pytest.raises(ValueError, match="unknown source 'nearby'; known: predicts, reads, vision"):
        pool(d, source="nearby")
    d.layers, d.vision = (
        np.stack([2 * d.states, -d.states]),
        np.array([3.0, 0, 0, 0, 4.0], np.float32),
    )
    assert np.allclose(pool(d, source="layer 1"), -pool(d), atol=1e-6)
    assert np.allclose(pool(d, "max", source="vision"), [0.6, 0, 0, 0, 0.8])

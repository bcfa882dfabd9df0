import numpy as np
import pytest

from covrr_utils.retrieval.words import WORD_SCORERS, WordQuery, bm25, tfidf, words

DOCUMENTS = ["A red lamp is lit.", "A blue lamp, unlit; a wall.", "The dog runs.", ""]


def test_bm25_is_that_of_the_library():
    import bm25s

    queries = ["a lamp is lit", "the red dog dog", "nothing known"]
    index = bm25s.BM25()
    index.index([words(document) for document in DOCUMENTS], show_progress=False)
    expected = [index.get_scores(words(query)) for query in queries[:2]]
    scores = bm25([WordQuery(query) for query in queries], DOCUMENTS)
    np.testing.assert_allclose(scores[:2], expected, rtol=1e-6)
    assert not scores[2].any()


def test_tfidf_by_hand():
    scores = tfidf([WordQuery("dog dog lamp")], ["dog dog", "lamp lamp lamp"])
    weights = np.array([1 + np.log(2), 1.0])  # both words have the same idf
    np.testing.assert_allclose(scores[0], weights / np.linalg.norm(weights))


def test_tfidf_is_that_of_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectors = text.TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    documents = vectors.fit_transform(DOCUMENTS)
    queries = ["a red red lamp", "the dog", "unlit wall of unknown things"]
    expected = (vectors.transform(queries) @ documents.T).toarray()
    np.testing.assert_allclose(
        tfidf([WordQuery(query) for query in queries], DOCUMENTS), expected, atol=1e-12
    )


@pytest.mark.parametrize("scorer", WORD_SCORERS)
def test_words_of_the_edit_are_raised(scorer):
    """Both documents share two words with the query; only the second has the edit's."""
    documents = ["a wall beside a red door", "the lamp is lit at night"]
    text = "red wall lit lamp"
    plain = WORD_SCORERS[scorer]([WordQuery(text)], documents)[0]
    raised = WORD_SCORERS[scorer]([WordQuery(text, "Have the lamp lit.", 4.0)], documents)[0]
    assert raised[1] - raised[0] > abs(plain[1] - plain[0])
    assert (WORD_SCORERS[scorer]([WordQuery(text, "Have it.", 4.0)], documents)[0] == plain).all()


@pytest.mark.parametrize("scorer", WORD_SCORERS)
def test_texts_without_words_score_nothing(scorer):
    assert not WORD_SCORERS[scorer]([WordQuery("?!"), WordQuery("a")], ["", "..."]).any()
    assert WORD_SCORERS[scorer]([], DOCUMENTS).shape == (0, 4)
    assert not WORD_SCORERS[scorer]([WordQuery("")], DOCUMENTS).any()

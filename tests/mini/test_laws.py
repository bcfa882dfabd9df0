"""The page of the laws says what the world does."""

import pytest

from covrr_utils.mini.causes import CAUSES
from covrr_utils.mini.edits import Edit, apply
from covrr_utils.mini.laws import law, laws_figure
from covrr_utils.mini.world import ATTRIBUTES


@pytest.mark.parametrize("cause", CAUSES)
def test_a_law_leads_from_the_shot_before_to_the_shot_after(cause):
    """Said, unsaid and what follows, one after the other, are all that the edit changes."""
    example = law(cause)
    assert apply(example.before, Edit(cause)) == example.after
    assert example.unsaid or example.then, "a cause leaves something to infer"
    values = {name: getattr(example.before, name) for name in ATTRIBUTES}
    for name, before, after in example.said + example.unsaid:
        assert getattr(example.before, name) == before
        values[name] = after
    for name, before, after in example.then:
        assert values[name] in (before, after)
        values[name] = after
    for name in ATTRIBUTES:
        assert values[name] == getattr(example.after, name), name


def test_an_unknown_cause_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown cause 'flood'; known: night falls, sunrise"):
        law("flood")


def test_a_law_that_is_changed_changes_the_page(monkeypatch):
    everything, states, extra = CAUSES["kick"]
    monkeypatch.setitem(CAUSES, "kick", (everything | {"light": "night"}, states, extra))
    kick = law("kick")
    assert kick.after.light == "night"
    figure = laws_figure()
    texts = [text.get_text() for text in figure.texts]
    assert not any("…" in text for text in texts), "every law is read to its end"
    assert len(texts) == 2 * len(CAUSES) and len(figure.axes) == 2 * len(CAUSES)
    monkeypatch.setitem(CAUSES, "kick", ({"action": "rests"}, {}, {}))
    with pytest.raises(ValueError, match="'kick' changes none of 300 shots"):
        law("kick")

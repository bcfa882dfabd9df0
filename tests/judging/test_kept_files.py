"""Answers and scores that were kept: a damaged one is set aside and made again, the rest stays."""

import json
from dataclasses import asdict

from covrr_utils.files import write_json
from covrr_utils.judging.judges import Case
from covrr_utils.judging.model_judge import ModelJudge
from covrr_utils.judging.rubric import Rubric
from covrr_utils.judging.scoring import Score, load_scores
from covrr_utils.traces.trace import ReasoningTrace

ANSWER = json.dumps(dict.fromkeys(Rubric.model_fields, 7))


def test_a_truncated_answer_is_asked_for_again(tmp_path, capsys):
    asked = []

    def ask(cases):
        asked.extend(case.id for case in cases)
        return [ANSWER] * len(cases)

    judge = ModelJudge("test", ask, {}, folder=tmp_path / "judgements")
    trace = ReasoningTrace(states=("a mug",))
    cases = [
        Case(id_, "Edit.", trace, None, None, None, None, None, f"video-{id_}", None)
        for id_ in "ab"
    ]
    first = judge.verdicts(cases)
    kept = judge.folder / f"{judge._key(cases[0])}.json"
    kept.write_text(ANSWER[:20])
    assert judge.verdicts(cases) == first and asked == ["a", "b", "a"]
    assert "is damaged" in capsys.readouterr().err and kept.read_text() == ANSWER


def test_a_damaged_score_hides_no_other(tmp_path, capsys):
    score = Score("slots", "1", "two_stage", "mini", "mini", 1, 1, 5.0, (4.0, 6.0), {}, {})
    folder = tmp_path / "mini" / "x" / "quality"
    for name in ("score__a.json", "score__b.json", "score__c.json"):
        write_json(folder / name, asdict(score))
    (folder / "score__b.json").write_text("{")
    (folder / "score__c.json").write_text('{"verdicts": []}')
    assert [row["mean"] for row in load_scores(tmp_path)] == [5.0]
    said = capsys.readouterr().err
    assert "score__b.json is damaged" in said and "it lacks" in said

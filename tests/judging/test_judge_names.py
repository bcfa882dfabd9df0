"""Every judge has a name of its own, and so has the file of every score."""

from types import SimpleNamespace

from covrr_utils.experiments.results import Method
from covrr_utils.judging.judges import Verdict
from covrr_utils.judging.model_judge import backbone_judge, endpoint_judge
from covrr_utils.judging.scoring import load_scores, save_score, summary


def backbone(weights, weights_hash, name="judge"):
    return SimpleNamespace(
        name=name,
        weights=weights,
        weights_hash=weights_hash,
        model=SimpleNamespace(dtype="float32"),
        sampling=SimpleNamespace(to_dict=dict),
        differences={},
        batch_size=1,
    )


def test_scores_of_different_judges_lie_side_by_side(tmp_path):
    one, other = tmp_path / "one" / "judge", tmp_path / "other" / "judge"
    judges = [
        endpoint_judge("judge", "http://localhost:8000/v1"),
        endpoint_judge("judge", "http://localhost:8001/v1"),
        endpoint_judge("judge", "https://judges.example/v1"),
        endpoint_judge("judge", "https://judges.example/v1?version=2"),
        endpoint_judge("judge", "http://localhost:8000/v1", structured=False),
        endpoint_judge("judge-2", "http://localhost:8000/v1"),
        backbone_judge(backbone(one, "a" * 16), None),
        backbone_judge(backbone(other, "b" * 16), None),
        backbone_judge(backbone("commit", "c" * 16), None),
    ]
    folder = tmp_path / "runs" / "mini" / "mini-3m" / "quality"
    run = SimpleNamespace(quality_folder=folder, method=lambda name: Method("m", "b", "0", name))
    names = [judge.name for judge in judges]
    for judge in judges:
        score = summary(judge, [Verdict("1", 5.0)], "two_stage", "b", "k")
        assert save_score(score, run).name.startswith("score__two_stage__model-judge")
    assert sorted(row["judge"] for row in load_scores(tmp_path / "runs")) == sorted(names)
    assert len(set(names)) == len(judges)


def test_the_names_can_be_read():
    judge = endpoint_judge("judge", "http://localhost:8000/v1")
    assert judge.name == "model:judge at http://localhost:8000/v1"
    assert backbone_judge(backbone("c1", "abcdef0123"), None).name == "model:judge at abcdef"


def test_an_embedded_judge_needs_no_more_than_its_name(tmp_path):
    from covrr_utils.backbones.registry import judge_models

    folder = judge_models()["mini-judge"]
    embedded = backbone(folder, "d" * 16, "mini-judge")
    assert backbone_judge(embedded, None).name == "model:mini-judge"
    namesake = backbone(tmp_path / "mini-judge", "e" * 16, "mini-judge")
    assert backbone_judge(namesake, None).name == "model:mini-judge at eeeeee"


def test_a_password_in_an_address_is_in_no_name():
    judge = endpoint_judge("judge", "https://me:secret@judges.example/v1")
    assert judge.name == "model:judge at https://judges.example/v1"

"""A run's batches on the workers of a cluster: nothing is lost and nothing is computed twice,
whatever becomes of the workers. Workers that are processes run in `faults/test_killed_runs.py`.
"""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from ray_errors import RayError, RayTaskError

from covrr_utils.backbones.description import Record
from covrr_utils.experiments import cluster, engines
from covrr_utils.experiments.cluster import Cluster, ClusterError
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.options import InvalidOption
from covrr_utils.experiments.workers import OtherModel, Phase, Unread, Worker
from covrr_utils.files import DiskFull
from covrr_utils.store.collection import Store
from covrr_utils.store.part import Part

KEY = {"prompt": "Describe."}

SIZE = 2  # texts of a batch

TEXTS = [Unread(f"t{number:02}", f"text {number}") for number in range(20)]


@dataclass
class Identity:
    dtype: str = "float32"


class OneProcessRay:
    """Ray as far as a cluster uses it, one call after the other. ``fate(worker, task)`` says what
    becomes of a call: None (it is done), "dies" (after the first batch), "hangs", or an exception.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, fate=lambda worker, task: None, rooms=99):
        self.fate, self.rooms, self.now, self.killed, self.made = fate, rooms, 0.0, set(), 0

    def is_initialized(self):
        return True

    def put(self, thing):
        return thing

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, kind):
        return SimpleNamespace(options=lambda **options: SimpleNamespace(remote=self._make(kind)))

    def _make(self, kind):
        def make():
            self.made += 1
            actor, worker = SimpleNamespace(number=self.made), kind()
            for name in ("load", "compute"):
                method = getattr(worker, name)
                call = SimpleNamespace(remote=lambda *a, m=method, n=name: Call(actor, n, m, a))
                setattr(actor, name, call)
            return actor

        return make

    def kill(self, actor):
        self.killed.add(actor.number)

    def wait(self, calls, num_returns, timeout):
        self.now += timeout
        for call in calls:
            if call.actor.number <= self.rooms and self._fate(call) != "hangs":
                return [call], [other for other in calls if other is not call]
        return [], calls

    def _fate(self, call):
        return self.fate(call.actor.number, call.arguments[-1]) if call.name == "compute" else None

    def get(self, call):
        assert call.actor.number not in self.killed, "a worker that was ended is asked"
        fate = self._fate(call)
        try:
            if fate == "dies":
                call.method(call.arguments[0], call.arguments[1][:SIZE])
                raise RayError("the worker died")
            if fate is not None:
                raise fate
            return call.method(*call.arguments)
        except RayError:
            raise
        except Exception as error:
            raise RayTaskError(error) from error


class Call:
    def __init__(self, actor, name, method, arguments):
        self.actor, self.name, self.method, self.arguments = actor, name, method, arguments


@pytest.fixture
def spread(tmp_path, make_description, monkeypatch):
    """``spread(ray, workers)`` has `TEXTS` computed; the collection, and how often each was."""

    def make(ray, workers=2, identity=None):
        computed = []

        def do(descriptions, part, some):
            for start in range(0, len(some), SIZE):
                batch = some[start : start + SIZE]
                computed.extend(item.stored for item in batch)
                part.add([Record(item.stored, make_description([item.text])) for item in batch])

        monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: ray.now))
        monkeypatch.setitem(sys.modules, "ray", ray)
        config = RunConfig(ray_workers=workers, ray_seconds=60)
        model = SimpleNamespace(backbone=SimpleNamespace(identity=Identity()))
        collection = Store(tmp_path).collection("readings", KEY)
        phase = Phase(
            SimpleNamespace(model=model), identity or Identity(), collection.folder, KEY, do
        )
        try:
            Cluster(config).spread(phase, collection, TEXTS, SIZE, "reading")
        finally:
            make.computed, make.again = computed, Store(tmp_path).collection("readings", KEY)
        return make.again

    return make


def ids(collection):
    return sorted(collection.records())


EVERY = [item.stored for item in TEXTS]


def test_workers_share_the_work_and_one_journal_tells_it(spread):
    ray = OneProcessRay()
    collection = spread(ray)
    assert ids(collection) == EVERY and sorted(spread.computed) == EVERY and ray.made == 2
    assert [path.name for path in collection.folder.glob("*.jsonl")] == ["journal.jsonl"]
    assert len(list(collection.folder.glob("*.safetensors"))) == len(EVERY) // SIZE
    spread(ray)
    assert spread.computed == [], "what is stored is not computed again"


def test_the_work_of_a_lost_worker_goes_on_with_another(spread, faults, capsys):
    """What it had stored before it died is taken up; nothing is lost, nothing computed twice."""
    ray = OneProcessRay(lambda worker, task: "dies" if worker == 1 else None)
    collection = spread(ray)
    assert ids(collection) == EVERY and sorted(spread.computed) == EVERY and ray.made == 3
    assert "a worker was lost (the worker died)" in capsys.readouterr().err
    faults("a worker of a cluster dies", 1, 1)


def test_work_that_ends_every_worker_is_given_up_after_three(spread):
    killed = RayError("killed")
    poison = "t07"
    ray = OneProcessRay(
        lambda worker, task: killed if poison in [item.stored for item in task] else None
    )
    collection = spread(ray)
    failures = collection.failures()
    assert {*ids(collection), *failures} == set(EVERY) and poison in failures
    assert {f.cause for f in failures.values()} == {"worker lost"}
    assert "3 workers were lost with it; killed" in failures[poison].message
    assert len(spread.computed) == len(set(spread.computed)) == len(EVERY) - len(failures)


def test_a_device_that_failed_costs_its_worker(spread, capsys):
    broken = RuntimeError("CUDA error: unspecified launch failure\nCompile with ...")
    ray = OneProcessRay(lambda worker, task: broken if worker == 2 else None)
    assert ids(spread(ray)) == EVERY and 2 in ray.killed
    assert "its device failed: CUDA error: unspecified launch failure)" in capsys.readouterr().err


def test_a_worker_that_hangs_is_ended(spread, capsys):
    ray = OneProcessRay(lambda worker, task: "hangs" if worker == 1 else None)
    assert ids(spread(ray)) == EVERY and 1 in ray.killed
    assert "no answer within 60 s" in capsys.readouterr().err


@pytest.mark.parametrize("error", [DiskFull("the disk is full"), KeyError("a fault of our own")])
def test_an_error_that_is_no_workers_ends_the_run_and_keeps_what_is_done(spread, error):
    ray = OneProcessRay(lambda worker, task: error if worker == 2 else None)
    with pytest.raises(type(error)):
        spread(ray)
    assert set(ids(spread.again)) == set(spread.computed)
    spread(OneProcessRay())
    assert ids(spread.again) == EVERY


def test_a_cluster_without_room_says_what_it_has(spread):
    with pytest.raises(ClusterError, match="needs 1 CPU and 0 GPUs, and the cluster has 2 CPUs"):
        spread(OneProcessRay(rooms=0))


def test_when_all_workers_are_lost_the_run_ends_with_a_word(spread):
    ray = OneProcessRay(lambda worker, task: RayError("the node is gone"))
    with pytest.raises(ClusterError, match="9 workers were lost one after the other; the last one"):
        spread(ray)


def test_when_ray_itself_ends_the_run_ends_with_a_word(spread):
    ray = OneProcessRay()
    wait = ray.wait

    def gone(*_, **__):
        raise RayError("the raylet has died\nand more")

    def ends_at_the_fourth(*arguments, **options):
        if ray.now >= 4:
            ray.kill = gone
            gone()
        return wait(*arguments, **options)

    ray.wait = ends_at_the_fourth
    with pytest.raises(
        ClusterError, match=r"Ray itself has ended \(the raylet has died\). What is"
    ):
        spread(ray)
    assert set(ids(spread.again)) == set(spread.computed) != set()
    spread(OneProcessRay())
    assert ids(spread.again) == EVERY


def test_workers_with_another_model_are_refused(spread):
    with pytest.raises(OtherModel, match=r"differs in dtype \(float32\) from that of .*bfloat16"):
        spread(OneProcessRay(), identity=Identity("bfloat16"))


def test_what_a_dead_worker_left_is_taken_up_by_who_looks_next(tmp_path, make_description):
    whole = Store(tmp_path).collection("readings", KEY)
    whole.announce([])
    part = Part(whole.folder, KEY)
    part.add([Record("a", make_description(["a"]))])
    assert "a" in part and "a" not in whole and not whole.records()
    again = Store(tmp_path).collection("readings", KEY)
    assert again.missing(["a", "b"]) == ["b"] and "a" in again
    whole.announce(part.handed())
    assert part.handed() == [] and ids(whole) == ["a"]
    assert len((whole.folder / "journal.jsonl").read_bytes().splitlines()) == 1


def test_without_ray_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(InvalidOption, match=r"pip install 'covrr-workbook\[cluster\]'"):
        RunConfig(engine="ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'covrr-workbook\[cluster\]'"):
        Cluster(RunConfig())


def test_a_worker_loads_one_model_for_all_phases():
    model = SimpleNamespace(backbone=SimpleNamespace(identity=Identity()))
    worker = Worker()
    worker.load(Phase(SimpleNamespace(model=model), Identity(), None, KEY, None))
    assert worker.model is model

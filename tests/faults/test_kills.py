"""Long work that is killed, interrupted or done twice at once: nothing finished is lost, and the
same command goes on from there.
"""

import os
import random
import subprocess
import sys
import time

import psutil
import pytest
from stub_run import KILLED, Stub, compute, contents

from covrr_utils import paths
from covrr_utils.store.collection import Store


@pytest.mark.slow
def test_fifty_kills_lose_nothing_that_was_finished(tmp_path, videos, faults):
    """kill -9 at random moments of writing, five to a store, ten stores: what is stored is right
    each time, and the resumed result is the same.
    """
    rng, lost, grown, right = random.Random(7), 0, 0, 0
    with Stub(videos) as stub:
        code, touches = stub.run(tmp_path / "whole")
        whole = contents(tmp_path / "whole")
        assert code == 0 and len(whole) == 30 and touches > 50
        for number in range(10):
            store, before = tmp_path / f"store{number}", {}
            for _ in range(5):
                assert stub.run(store, rng.randint(1, touches // 6))[0] == KILLED
                stored = contents(store)
                lost += sum(name not in stored for name in before)
                grown += len(stored) > len(before)
                right += all(whole[name] == what for name, what in stored.items())
                before = stored
            assert stub.run(store)[0] == 0
            assert contents(store) == whole
    faults("kill -9 while a store is filled", 50, right, lost)
    assert (right, lost) == (50, 0) and grown >= 8, (
        "kills came while work was done, and no finished record went away"
    )


FILL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from stub_run import describe_all
describe_all(Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_two_processes_on_one_store(tmp_path, videos, faults):
    here = os.path.dirname(__file__)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", FILL, here, str(tmp_path), str(videos)],
            env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [process.wait() for process in both] == [0, 0]
    assert {name: text for name, (text, _) in contents(tmp_path).items()} == {
        path.stem: path.stem for path in videos.glob("*.mp4")
    }
    faults("two processes that fill one store", 1, 1)


def test_ctrl_c_says_what_is_done_and_how_to_go_on(tmp_path, work, capsys, faults):
    collection, calls = Store(tmp_path).collection("gallery", {}), []

    def interrupted(items):
        calls.append(len(items))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(items)

    with pytest.raises(KeyboardInterrupt):
        work(collection, interrupted)
    assert (
        "test: stopped. 8 of 30 are done and stored; run the same again" in capsys.readouterr().err
    )
    assert len(Store(tmp_path).collection("gallery", {})) == 8
    asked = []
    work(
        Store(tmp_path).collection("gallery", {}),
        lambda items: asked.extend(items) or compute(items),
    )
    assert len(asked) == 22 and len(Store(tmp_path).collection("gallery", {})) == 30
    faults("Ctrl-C", 1, 1, lost=len(asked) - 22)


CHILD = """
import os
from covrr_utils.video.serving import _end_with
parent = os.getppid()
print(os.getpid(), flush=True)
_end_with(parent)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_a_decoding_process_ends_with_its_parent(faults):
    """In the middle of a clip it does not read its pipe: it has to look for its parent."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        stdout=subprocess.PIPE,
    )
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    limit = time.monotonic() + 300
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < limit, "it is left behind"
        time.sleep(0.05)
    faults("parent of a decoding process that is killed", 1, 1)

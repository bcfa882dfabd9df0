"""How commands end: by themselves, by signals, by pipes that close; and who ends with them."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from copies import Command

WAITS = """
import os, pathlib, time
folder = pathlib.Path(os.environ["COVRR_RUNS"]) / "alive"
folder.mkdir(parents=True, exist_ok=True)
(folder / f"{os.getpid()}-{os.getppid()}").touch()
while True:
    time.sleep(0.1)
"""


def kernels(runs, count, command):
    """The process ids of ``count`` kernels and of their parents, once they are at work."""
    folder = runs / "alive"
    command.wait_until(lambda: len(list(folder.glob("*-*"))) >= count)
    return {int(number) for name in folder.glob("*-*") for number in name.name.split("-")}


def all_end(processes):
    """Wait until none of the processes is left (zombies that nobody waits for have ended too)."""

    def left():
        return [
            number
            for number in processes
            if psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE
        ]

    limit = time.monotonic() + 60
    while left() and time.monotonic() < limit:
        time.sleep(0.1)
    return not left()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_workers_and_kernels_end_with_the_command(make_workbook, runs, number, code, workers):
    make_workbook({"10_waits": WAITS})
    given = ["--backbones", *"ab"[:workers], "--notebooks", "10_waits", "--workers", str(workers)]
    command = Command(runs.with_name("said"), "rerun", *given)
    started = kernels(runs, workers, command)
    os.kill(command.pid, number)
    assert command.end() == code, command.stderr
    if number != signal.SIGKILL:
        assert "covrr: stopped; what is finished is stored" in command.stderr
        assert "Traceback" not in command.stderr and "kernel died" not in command.stderr
    assert all_end(started | {command.pid})


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "covrr_utils", "backbones", "--published", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait() == 141 and error == ""


def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "covrr_utils", "benchmarks"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.returncode == 1
    assert process.stderr == "covrr: the output could not be written: the disk is full\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_an_output_that_was_closed_before_the_start_leads_nowhere(closed):
    command = f"exec '{sys.executable}' -m covrr_utils benchmarks {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


LEAVES = """
import atexit, threading, sys, time
from covrr_utils.cli.ending import leave
atexit.register(lambda: print("the last that is said"))
threading.Thread(target=time.sleep, args=(3600,)).start()
print("the first")
leave(7)
"""


def test_a_process_ends_at_once_with_all_that_is_registered_done():
    """Its output is whole, and a thread that would go on for an hour does not hold it."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 7 and done.stderr == ""
    assert done.stdout == "the first\nthe last that is said\n"

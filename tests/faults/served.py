"""The other end of a process that makes one thing after the other, each of which may be killed."""

import os
import subprocess
import sys

from covrr_utils import paths


class Served:
    """A script of this folder that answers every question with an exit code (-9 where what it made
    was killed), and with how many touches it took where it was not. Use it in a ``with`` block.
    """

    def __init__(self, script: str, *arguments: str):
        self.process = subprocess.Popen(
            [sys.executable, script, *arguments],
            env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def answer(self, question: str) -> tuple[int, int]:
        self.process.stdin.write(question)
        self.process.stdin.flush()
        code, touches = self.process.stdout.readline().split()
        return int(code), int(touches)

"""Ray as far as a cluster uses it, with real processes in place of its own: what is handed to a
worker is pickled as Ray does it, and a worker that is killed is dead.
"""

from __future__ import annotations

from contextlib import suppress
from multiprocessing.connection import wait
from types import SimpleNamespace

import copies
from ray import cloudpickle
from ray_errors import RayError, RayTaskError


class ProcessRay:
    """``started`` holds every process that was started; ``called(ray, number)`` is told before the
    answer to a call of that number is read.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, called=lambda ray, number: None):
        self.called, self.started, self.calls = called, [], 0

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": 2.0}

    def put(self, thing):
        return cloudpickle.dumps(thing)

    def remote(self, kind):
        return SimpleNamespace(
            options=lambda **options: SimpleNamespace(remote=lambda: self._start(kind))
        )

    def _start(self, kind):
        ours, theirs = copies.OF_A_WARM_ONE.Pipe()
        process = copies.start(serve, theirs, cloudpickle.dumps(kind))
        theirs.close()
        self.started.append(process)

        def call(name):
            def remote(phase, *rest):
                with suppress(BrokenPipeError):  # of one that is dead `get` says so
                    ours.send_bytes(cloudpickle.dumps((name, phase, rest)))
                return ours

            return SimpleNamespace(remote=remote)

        return SimpleNamespace(process=process, load=call("load"), compute=call("compute"))

    def wait(self, calls, num_returns, timeout):
        done = wait(calls, timeout)[:num_returns]
        return done, [call for call in calls if call not in done]

    def get(self, call):
        self.calls += 1
        self.called(self, self.calls)
        try:
            error, value = cloudpickle.loads(call.recv_bytes())
        except (EOFError, ConnectionError) as gone:
            raise RayError("the process is gone") from gone
        if error is not None:
            raise RayTaskError(error)
        return value

    def kill(self, worker):
        worker.process.kill()

    def end(self):
        for process in self.started:
            process.kill()
            process.join()


def serve(pipe, kind):
    """What a worker's process does: answer calls until nobody calls any more."""
    worker = cloudpickle.loads(kind)()
    while True:
        try:
            name, phase, rest = cloudpickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        try:
            answer = None, getattr(worker, name)(cloudpickle.loads(phase), *rest)
        except Exception as error:
            answer = error, None
        pipe.send_bytes(cloudpickle.dumps(answer))

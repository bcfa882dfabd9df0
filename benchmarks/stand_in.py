"""A small OpenAI-compatible server around an embedded backbone, as a stand-in for vLLM or SGLang:
it speaks their protocol, and answers as the backbone does in this process. On demand it fails as
servers do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.grammar import ebnf, trace_schema
from covrr_utils.video.clips import Clip
from covrr_utils.video.decoder import read_clip


@dataclass
class Faults:
    """How often a request goes wrong.

    dropped : share of requests whose connection breaks, before the answer or in the middle of it
    busy, failing : shares that are answered with status 429 and 500
    hangs : so many requests, from the ``first`` on, are never answered
    lost : a request whose text holds this is answered with 500 whenever it comes
    """

    dropped: float = 0.0
    busy: float = 0.0
    failing: float = 0.0
    hangs: int = 0
    first: int = 5
    lost: str = ""
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()

    def next(self, text: str) -> str:
        """What happens to the next request: ``dropped``, ``torn``, ``busy``, ``failing``, ``hangs``
        or ``answered``.
        """
        with self._lock:
            self.counts["requests"] += 1
            drawn = self._random.random()
            what = "answered"
            if self.lost and self.lost in text:
                what = "failing"
            elif self.counts["hangs"] < self.hangs and self.counts["requests"] >= self.first:
                what = "hangs"
            elif drawn < self.dropped:
                what = "dropped" if drawn < self.dropped / 2 else "torn"
            elif drawn < self.dropped + self.busy:
                what = "busy"
            elif drawn < self.dropped + self.busy + self.failing:
                what = "failing"
            self.counts[what] += 1
            return what


@dataclass(eq=False)
class Waiting:
    """A request that is not answered yet."""

    prompt: Prompt
    generation: Generation
    done: Future[Description] = field(default_factory=Future)


@dataclass
class StandIn:
    """What the server is, and what it was asked."""

    backbone: Backbone
    names: str
    owner: str
    faults: Faults
    answers_as: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        self._clips: dict[str, Clip] = {}
        self._waiting: list[Waiting] = []
        self._gate, self._busy = threading.Lock(), threading.Lock()
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Let go of requests that hang, and wait for those that are being answered."""
        self.stopped.set()
        with self._busy:
            pass

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """A chat completion. Greedy requests that wait are answered together, as servers do."""
        video, text = request["messages"][0]["content"]
        with self._gate:
            clip = self._clip(video["video_url"]["url"])
            mine = Waiting(Prompt(clip, text["text"]), _generation(request))
            self._waiting.append(mine)
        with self._busy:
            if self.stopped.is_set():
                return {}
            if not mine.done.done():
                self._describe(mine)
        said = mine.done.result()
        return {
            "object": "chat.completion",
            "model": self.answers_as or request["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": said.text},
                    "finish_reason": "stop" if said.ended else "length",
                }
            ],
        }

    def _describe(self, first: Waiting) -> None:
        """Answer ``first``, and what else waits to be answered in the same way."""
        with self._gate:
            batch = [
                waiting
                for waiting in self._waiting
                if waiting is first
                or (waiting.generation == first.generation and not first.generation.do_sample)
            ]
            self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
        try:
            prompts = [waiting.prompt for waiting in batch]
            for waiting, said in zip(batch, self.backbone.describe(prompts, first.generation)):
                waiting.done.set_result(said)
        except Exception as error:
            for waiting in batch:
                waiting.done.set_exception(error)

    def _clip(self, url: str) -> Clip:
        known = hashlib.sha256(url.encode()).hexdigest()
        if known not in self._clips:
            if url.startswith("file:"):
                path = Path(unquote(urlsplit(url).path))
                self._clips[known] = read_clip(path, self.backbone.sampling, known)
            else:
                with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
                    file.write(base64.b64decode(url.partition(",")[2]))
                    file.flush()
                    path = Path(file.name)
                    self._clips[known] = read_clip(path, self.backbone.sampling, known)
        return self._clips[known]


@contextmanager
def serving(
    backbone: Backbone,
    faults: Faults | None = None,
    name: str | None = None,
    owner: str = "vllm",
    answers_as: str | None = None,
) -> Iterator[StandIn]:
    """A server of this backbone on a free port of this machine, while the block lasts. ``name``:
    under which it is served; ``answers_as``: what answers say instead.
    """
    it = StandIn(backbone, name or backbone.name, owner, faults or Faults(), answers_as)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"it": it}))
    server.daemon_threads, server.block_on_close = True, False
    it.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield it
    finally:
        it.stop()
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers requests for the list of models and for chat completions."""

    it: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        card = {"id": self.it.names, "object": "model", "owned_by": self.it.owner}
        self._send(200, {"object": "list", "data": [card]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.it.requests.append(request)
        self.it.keys.append(self.headers.get("Authorization"))
        what = self.it.faults.next(request["messages"][0]["content"][1]["text"])
        if what == "hangs":
            self.it.stopped.wait()
        elif what in ("busy", "failing"):
            self._send(429 if what == "busy" else 500, {"error": {"message": what}})
        elif what == "answered":
            self._send(200, self.it.answer(request))
        elif what == "torn":
            self._send(200, self.it.answer(request), cut=20)
        self.close_connection = self.close_connection or what in ("hangs", "dropped", "torn")

    def _send(self, status: int, content: dict[str, Any], cut: int | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        with suppress(ConnectionError):  # who asked has hung up
            self.end_headers()
            self.wfile.write(body[:cut])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


def _generation(request: dict[str, Any]) -> Generation:
    """How a request wants its answer to be generated."""
    grammar = None
    if "response_format" in request:
        grammar = json.dumps(request["response_format"]["json_schema"]["schema"])
        grammar = "json" if grammar == trace_schema() else grammar
    elif request.get("structured_outputs", {}).get("grammar") == ebnf():
        grammar = "lines"
    greedy = request["temperature"] == 0
    return Generation(
        max_new_tokens=request["max_completion_tokens"],
        do_sample=not greedy,
        temperature=1.0 if greedy else request["temperature"],
        seed=request.get("seed", 0),
        grammar=grammar,
    )

"""Questions to an OpenAI-compatible server, many in flight, and their answers.

Whatever a server sends, the asking goes on: an answer that is no chat completion is an
`AnswerError` that says what came instead, and a time limit holds for the *whole* answer, however
slowly it drips. A connection that breaks, a try that takes too long and a server that is overloaded
or failing are tried again, later each time. An address is shown without the password or the query
that it may carry.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import openai

from covrr_utils.backbones.addresses import EndpointError, in_clear, shown_address, usable_key
from covrr_utils.backbones.completions import Answer, AnswerError, BrokenOff, answer_of
from covrr_utils.files import say

T = TypeVar("T")

ANSWER_BYTES = 4 * 1024**2  # more than any answer of a few hundred tokens takes

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds before a question is asked again; doubled each time

ASKED_TO_WAIT = 60.0  # seconds: a server that asks for a longer pause is asked again after these

PASSING = (408, 409, 425, 429)  # statuses that may be another one next time, as all from 500 on

Question = Callable[[], Mapping[str, Any]]
"""Makes what a request says beside the model and the endpoint's options; called when it is sent."""


class Endpoint:
    """Asks one model of an OpenAI-compatible server.

    Parameters
    ----------
    model, url : as the server names them; ``url`` ends in ``/v1`` for most servers
    key : sent as bearer token; None where the server needs none
    key_variable : where the user sets the key, for messages
    timeout : seconds for one whole answer, from the first byte sent to the last byte received, all
        retries included
    retries : how often a question is asked again after a failure that may pass
    options : what else every request says (temperature, seed, response format, ...)
    attempt : seconds for one try (default: ``timeout``)
    travels : what is sent that should not be read on its way, beside a key
    refused : what to do where the server refuses a request
    """

    def __init__(
        self,
        model: str,
        url: str,
        key: str | None,
        key_variable: str,
        timeout: float,
        retries: int,
        options: Mapping[str, Any],
        attempt: float | None = None,
        travels: str = "",
        refused: str = "a server without JSON schemas needs structured=False (covrr score"
        " --unstructured)",
    ):
        shown, key = shown_address(url), usable_key(key, key_variable)
        self.model, self.url, self.shown, self.key = model, url, shown, key
        self.timeout, self.retries, self.options = timeout, retries, options
        self.attempt = min(attempt or timeout, timeout)
        self.answered = False
        self.advice: dict[type[openai.APIError], str] = {
            openai.AuthenticationError: (
                f"{shown} refuses the key; set the environment variable {key_variable}"
            ),
            openai.PermissionDeniedError: (
                f"{shown} does not allow this key to use {model!r}; set another {key_variable}"
            ),
            openai.NotFoundError: (
                f"{shown} has no model {model!r}, or no chat completions; see the server's list of"
                " models"
            ),
            openai.BadRequestError: (f"{shown} refuses the request; {refused}"),
            openai.APIConnectionError: (
                f"{shown} cannot be reached; is the server running, and does the address end in"
                " /v1?"
            ),
        }
        secret = bool(key) or "@" in urlsplit(url).netloc
        if (secret or travels) and in_clear(url):
            what = " and ".join(filter(None, (travels, "the key" if secret else "")))
            verb = "travel" if travels else "travels"
            unset = f", or unset {key_variable}" if secret else ""
            say(f"{shown} is not encrypted, and {what} {verb} to it in clear; use https{unset}")

    def ask(self, prompt: str) -> str:
        """The server's answer to one user turn.

        Raises
        ------
        AnswerError
            If there is no usable answer this time: it took too long, the server failed, or what
            came is no chat completion with a text.
        EndpointError
            If the server cannot be reached, sends elsewhere, or refuses key, model or the first
            request: asking again is no use.
        """
        (answer,) = self.answers([lambda: {"messages": [{"role": "user", "content": prompt}]}], 1)
        if isinstance(answer, Exception):
            raise answer
        return answer.text

    def answers(self, questions: Sequence[Question], in_flight: int) -> list[Answer | AnswerError]:
        """The answer to each question, in order, or why there is none; so many are asked at once.

        Raises
        ------
        EndpointError
            As `ask`.
        """

        async def work() -> list[Answer | AnswerError]:
            gate = asyncio.Semaphore(in_flight)

            async def one(question: Question) -> Answer | AnswerError:
                async with gate:
                    try:
                        body = await self._body(
                            client.chat.completions.with_streaming_response.create, question
                        )
                        answer = answer_of(body)
                    except AnswerError as error:
                        told = str(error)
                        return AnswerError(told if self.shown in told else f"{self.shown}: {told}")
                self.answered = True
                return answer

            async with self._client() as client:
                return await asyncio.gather(*map(one, questions))

        return _apart(work())

    def models(self) -> list[dict[str, Any]]:
        """What the server says of the models that it serves, each with its ``id``.

        Raises
        ------
        AnswerError, EndpointError
            As `ask`; also where what comes is no list of models.
        """

        async def work() -> bytes:
            async with self._client() as client:
                return await self._body(client.models.with_streaming_response.list, None)

        body = _apart(work())
        try:
            data = json.loads(body)["data"]
            return [dict(card) for card in data if isinstance(card["id"], str)]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise AnswerError(f"{self.shown}/models is no list of models") from None

    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self.key or "none",
            timeout=self.attempt,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )

    async def _body(self, send: Callable[..., Any], question: Question | None) -> bytes:
        """Send a request until there is an answer, or no sense in asking again."""
        deadline = time.monotonic() + self.timeout
        for number in itertools.count():
            try:
                left = deadline - time.monotonic()
                async with asyncio.timeout(min(self.attempt, left)):
                    return await self._tried(send, question)
            except Exception as error:
                pause = _pause(error, number)
                late = pause is None or time.monotonic() + pause >= deadline
                if number >= self.retries or late:
                    # without the library's own error behind it, which may quote what the server
                    # says of a key
                    raise self._told(error) from None
            await asyncio.sleep(pause or 0.0)
        raise AssertionError("unreachable")

    async def _tried(self, send: Callable[..., Any], question: Question | None) -> bytes:
        """One try: the whole body of the answer, within its limit of size."""
        request: dict[str, Any] = {}
        if question is not None:
            asked = await asyncio.to_thread(question)
            request = {"model": self.model, **self.options, **asked}
        body = bytearray()
        try:
            async with send(**request) as response:
                async for part in _parts(response):
                    body += part
                    if len(body) > ANSWER_BYTES:
                        raise AnswerError(f"more than {ANSWER_BYTES // 1024**2} MB came")
        except UnicodeEncodeError as error:  # half a character in an edit, which no server can read
            raise AnswerError("the question holds characters that cannot be sent") from error
        return bytes(body)

    def _told(self, error: Exception) -> Exception:
        """What went wrong, as `AnswerError` or `EndpointError`; everything else as it came."""
        if isinstance(error, AnswerError):
            return AnswerError(f"{self.shown}: {error}")
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return AnswerError(f"{self.shown}: no whole answer within {self.attempt:g} s")
        if isinstance(error, openai.APIStatusError) and 300 <= error.status_code < 400:
            place = shown_address(urljoin(self.url, error.response.headers.get("location", "")))
            return EndpointError(f"{self.shown} sends to {place}; give the address that answers")
        broken = isinstance(error, openai.APIConnectionError) and not _unreachable(error)
        refused_now = isinstance(error, openai.BadRequestError) and self.answered
        for kind, advice in self.advice.items():
            if isinstance(error, kind) and not broken and not refused_now:
                return EndpointError(advice)
        if isinstance(error, openai.APIStatusError):
            return AnswerError(f"{self.shown} failed with status {error.status_code}")
        if isinstance(error, openai.APIError):
            reason = error.__cause__ or error
            return AnswerError(f"{self.shown}: the connection broke off ({type(reason).__name__})")
        return error


async def _parts(response: Any) -> AsyncIterator[bytes]:
    """The answer as it comes. What breaks off in the middle is told by the library below openai, in
    classes of its own.
    """
    try:
        async for part in response.iter_bytes():
            yield part
    except Exception as error:
        raise BrokenOff(f"the connection broke off ({type(error).__name__})") from error


def _pause(error: Exception, number: int) -> float | None:
    """Seconds until a question is asked again after failure ``number`` (0, 1, ...); None where that
    is no use.
    """
    broken = isinstance(error, openai.APIConnectionError | BrokenOff | TimeoutError)
    wished = 0.0
    if isinstance(error, openai.APIStatusError):
        broken = error.status_code in PASSING or error.status_code >= 500
        try:
            wished = float(error.response.headers.get("retry-after", 0))
        except ValueError:  # a date, which servers of models do not send
            wished = 0.0
    if not broken:
        return None
    usual = min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) * random.uniform(0.75, 1.0)
    return max(usual, min(max(wished, 0.0), ASKED_TO_WAIT))


def _apart(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, done in a loop of events of its own: a notebook's is running already.
    An interruption here ends it.
    """
    done: Future[T] = Future()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()

    async def main() -> T:
        running.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await work

    def thread() -> None:
        try:
            done.set_result(asyncio.run(main()))
        except BaseException as error:  # handed to the caller below
            done.set_exception(error)

    threading.Thread(target=thread, name="asking a server", daemon=True).start()
    try:
        return done.result()
    finally:
        if not done.done():
            loop, task = running.result()
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)


def _unreachable(error: openai.APIConnectionError) -> bool:
    """Whether nobody answers there, unlike a server whose answer is no HTTP or breaks off."""
    return type(error.__cause__).__name__ in ("ConnectError", "UnsupportedProtocol", "InvalidURL")

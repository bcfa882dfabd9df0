"""One question to an OpenAI-compatible server, and its answer as a text.

Whatever a server sends, the asking goes on: an answer that is no chat completion is an
`AnswerError` that says what came instead, and a time limit holds for the *whole* answer, however
slowly it drips. An address is shown without the password or the query that it may carry.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import openai

from covrr_utils.backbones.addresses import EndpointError, in_clear, shown_address, usable_key
from covrr_utils.files import say

ANSWER_BYTES = 4 * 1024**2  # more than any answer of a few hundred tokens takes


class AnswerError(Exception):
    """An answer that cannot be used; the message says where it came from, and what it was."""


class Endpoint:
    """Asks one model of an OpenAI-compatible server.

    Parameters
    ----------
    model, url : as the server names them; ``url`` ends in ``/v1`` for most servers
    key : sent as bearer token; None where the server needs none
    key_variable : where the user sets the key, for messages
    timeout : seconds for one whole answer, from the first byte sent to the last byte received, all
        retries included
    retries : how often a connection that breaks or a server that is overloaded is tried again
    options : what else the request says (temperature, seed, response format, ...)
    """

    def __init__(
        self,
        model: str,
        url: str,
        key: str | None,
        key_variable: str,
        timeout: float,
        retries: int,
        options: dict[str, Any],
    ):
        shown, key = shown_address(url), usable_key(key, key_variable)
        self.model, self.url, self.shown, self.key = model, url, shown, key
        self.timeout, self.retries, self.options = timeout, retries, options
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
            openai.BadRequestError: (
                f"{shown} refuses the request; a server without JSON schemas needs"
                " structured=False (covrr score --unstructured)"
            ),
            openai.APIConnectionError: (
                f"{shown} cannot be reached; is the server running, and does the address end in"
                " /v1?"
            ),
        }
        if (key or "@" in urlsplit(url).netloc) and in_clear(url):
            say(
                f"{shown} is not encrypted, and the key travels to it in clear; use https, or"
                f" unset {key_variable}"
            )

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
        client = openai.OpenAI(
            base_url=self.url,
            api_key=self.key or "none",
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )
        answer: list[str] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                answer.append(self._text(client, prompt))
            except BaseException as error:  # handed to the caller below
                errors.append(error)

        # a server can drip its headers as slowly as its body, and only a thread of its own can be
        # left behind in the middle of both
        worker = threading.Thread(target=work, name="asking a judge", daemon=True)
        worker.start()
        worker.join(self.timeout + 1)
        late = worker.is_alive()
        client.close()
        if late:
            raise AnswerError(f"{self.shown}: no whole answer within {self.timeout:g} s")
        if answer:
            self.answered = True
            return answer[0]
        # without the library's own error behind it, which may quote what the server says of a key
        raise self._told(errors[0]) from None

    def _told(self, error: BaseException) -> BaseException:
        """What went wrong, as `AnswerError` or `EndpointError`; everything else as it came."""
        if isinstance(error, AnswerError):
            return AnswerError(f"{self.shown}: {error}")
        if isinstance(error, openai.APITimeoutError):
            return AnswerError(f"{self.shown}: no whole answer within {self.timeout:g} s")
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

    def _text(self, client: openai.OpenAI, prompt: str) -> str:
        """Ask, read the answer within limits of time and size, and take the text out of it."""
        turn: list[Any] = [{"role": "user", "content": prompt}]
        body, deadline = bytearray(), time.monotonic() + self.timeout
        create = client.chat.completions.with_streaming_response.create
        try:
            with create(messages=turn, model=self.model, **self.options) as response:
                for part in self._parts(response):
                    body += part
                    if len(body) > ANSWER_BYTES:
                        raise AnswerError(f"more than {ANSWER_BYTES // 1024**2} MB came")
                    if time.monotonic() > deadline:
                        raise AnswerError(f"no whole answer within {self.timeout:g} s")
        except UnicodeEncodeError as error:  # half a character in an edit, which no server can read
            raise AnswerError("the question holds characters that cannot be sent") from error
        return text_of(bytes(body))

    @staticmethod
    def _parts(response: Any) -> Iterator[bytes]:
        """The answer as it comes. What breaks off in the middle is told by the library below
        openai, in classes of its own.
        """
        try:
            yield from response.iter_bytes()
        except Exception as error:
            raise AnswerError(f"the connection broke off ({type(error).__name__})") from error


def text_of(body: bytes) -> str:
    """The text of a chat completion.

    Raises
    ------
    AnswerError
        If the body is anything else; the message says what it is.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        page = body.lstrip()[:1] == b"<"
        raise AnswerError(f"the answer is {'a web page' if page else 'no json'}") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str):
        raise AnswerError("the answer holds no text where a chat completion has it")
    return content.encode("utf-8", "replace").decode()  # half characters become question marks


def _unreachable(error: openai.APIConnectionError) -> bool:
    """Whether nobody answers there, unlike a server whose answer is no HTTP or breaks off."""
    return type(error.__cause__).__name__ in ("ConnectError", "UnsupportedProtocol", "InvalidURL")

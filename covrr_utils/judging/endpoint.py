"""One question to an OpenAI-compatible server, and its answer as a text.

Whatever a server sends, the asking goes on: an answer that is no chat completion is an
`AnswerError` that says what came instead, and a time limit holds for the *whole* answer, however
slowly it drips. An address is shown without the password or the query that it may carry.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import openai

from covrr_utils.files import say

ANSWER_BYTES = 4 * 1024**2  # more than any answer of a few hundred tokens takes


class EndpointError(ValueError):
    """A server that cannot be asked at all; the message says what to change."""


class AnswerError(Exception):
    """An answer that cannot be used; the message says what came instead."""


def shown_address(url: str) -> str:
    """``url`` as it may be printed: without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Endpoint:
    """Asks one model of an OpenAI-compatible server.

    Parameters
    ----------
    model, url : as the server names them; ``url`` ends in ``/v1`` for most servers
    key : sent as bearer token; None where the server needs none
    key_variable : where the user sets the key, for messages
    timeout : seconds for one whole answer, from the first byte sent to the last byte received
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
        self.model, self.url, self.key, self.timeout, self.retries = (
            model,
            url,
            key,
            timeout,
            retries,
        )
        self.options, shown = options, shown_address(url)
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
        if (key or "@" in urlsplit(url).netloc) and _in_clear(url):
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
            If the server cannot be reached, or refuses key, model or request: asking again is no
            use.
        """
        client = openai.OpenAI(
            base_url=self.url,
            api_key=self.key or "none",
            timeout=self.timeout,
            max_retries=self.retries,
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
        worker.join(self.timeout * (self.retries + 1) + 1)
        late = worker.is_alive()
        client.close()
        if late:
            raise AnswerError(f"no whole answer within {self.timeout:g} s")
        if answer:
            return answer[0]
        raise self._told(errors[0])

    def _told(self, error: BaseException) -> BaseException:
        """What went wrong, as `AnswerError` or `EndpointError`; everything else as it came."""
        if isinstance(error, openai.APITimeoutError):
            return AnswerError(f"no whole answer within {self.timeout:g} s")
        for kind, advice in self.advice.items():
            if isinstance(error, kind):
                return EndpointError(advice)
        if isinstance(error, openai.APIStatusError):
            return AnswerError(f"the server failed with status {error.status_code}")
        if isinstance(error, openai.APIError):
            return AnswerError(type(error).__name__)
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


def _in_clear(url: str) -> bool:
    """Whether what is sent to ``url`` can be read on its way: no https, and not on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    return parts.scheme != "https" and not here

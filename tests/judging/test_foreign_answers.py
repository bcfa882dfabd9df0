"""Whatever a judge's server sends, the scoring goes on: a verdict without a score, with a cause."""

import json
import re
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from covrr_utils.backbones.addresses import EndpointError, shown_address
from covrr_utils.backbones.completions import AnswerError
from covrr_utils.backbones.endpoint import Endpoint
from covrr_utils.judging.judges import Case
from covrr_utils.judging.model_judge import KEY_VARIABLE, endpoint_judge
from covrr_utils.judging.rubric import DIMENSIONS
from covrr_utils.judging.scoring import judged
from covrr_utils.traces.reading import parse_trace

GOOD = json.dumps(dict.fromkeys(DIMENSIONS, 7))


def case(id_: str = "1", edit: str = "Fry the egg.") -> Case:
    return Case(id_, edit, parse_trace("states: raw -> fried"))


def completion(content: object) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"index": 0, "message": message}]}).encode()


def read_request(connection: socket.socket) -> None:
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
    while len(body) < length:
        body += connection.recv(65536)


@contextmanager
def server(*bodies: bytes, drip: float = 0.0, head: bytes = b"HTTP/1.1 200 OK\r\n"):
    """Answers one request after the other with these bodies, byte by byte where it drips."""
    listening = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        for body in bodies:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                read_request(connection)
                blob = head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
                pieces = [blob] if not drip else [blob[i : i + 1] for i in range(len(blob))]
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                        if drip and stop.wait(drip):
                            break
                except OSError:
                    pass  # the judge has hung up

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        stop.set()
        listening.close()
        thread.join(5)


FOREIGN = {
    "a web page": (b"<!doctype html><title>Sign in</title>", "the answer is a web page"),
    "no json": (b"it works!", "the answer is no json"),
    "nothing": (b"", "the answer is no json"),
    "a list": (b"[]", "the answer holds no text"),
    "null": (b"null", "the answer holds no text"),
    "no choices": (b'{"choices": null}', "the answer holds no text"),
    "a choice that is no object": (b'{"choices": [3]}', "the answer holds no text"),
    "content as a list": (completion([{"type": "text", "text": GOOD}]), "holds no text"),
    "content as a number": (completion(7), "the answer holds no text"),
    "no content": (completion(None), "the answer holds no text"),
    "deep json": (b"[" * 200_000, "the answer is no json"),
    "broken json": (completion(GOOD)[:-9], "the answer is no json"),
    "a deep answer": (completion("[" * 100_000), "unusable answer"),
    "prose": (completion("I would rather not."), "unusable answer"),
    "half a character": (completion("\ud800" + GOOD[1:]), "unusable answer"),
    "an answer without an end": (b" " * (5 * 1024**2), "more than 4 MB came"),
}


@pytest.mark.parametrize("body, cause", FOREIGN.values(), ids=list(FOREIGN))
def test_a_foreign_answer_is_a_verdict_without_a_score(tmp_path, body, cause):
    with server(body, completion(GOOD)) as url:
        judge = endpoint_judge("judge-1", url, retries=0, timeout=20, folder=tmp_path)
        strange, usual = judged(judge, [case("1"), case("2", "Boil the egg.")])
    assert strange.score is None and cause in strange.cause and strange.cause.startswith("judge: ")
    assert url in strange.cause or "unusable answer" in strange.cause, "which server it was"
    assert usual.score == 7.0, "the scoring went on"
    assert len(list(tmp_path.glob("*.json"))) == 1, "only what has a score is kept"


@pytest.mark.parametrize("where", ["body", "head"])
def test_the_time_limit_is_for_the_whole_answer(tmp_path, where):
    """One byte now and then keeps every single read short, and the answer without an end."""
    head = b"HTTP/1.1 200 OK\r\n" if where == "body" else b"HTTP/1.1 200 OK\r\nX: " + b"x" * 999
    with server(completion(GOOD), drip=0.05, head=head) as url:
        begun = time.monotonic()
        judge = endpoint_judge("judge-1", url, retries=0, timeout=0.5, folder=tmp_path)
        (verdict,) = judged(judge, [case()])
    assert verdict.score is None and "no whole answer within 0.5 s" in verdict.cause
    assert time.monotonic() - begun < 20


def test_a_connection_that_breaks_off_costs_one_verdict(tmp_path):
    """The head promises more than comes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\nX-"
    with server(completion(GOOD), head=head) as url:
        judge = endpoint_judge("judge-1", url, retries=0, timeout=20, folder=tmp_path)
        (verdict,) = judged(judge, [case()])
    assert verdict.score is None and "the connection broke off" in verdict.cause


def test_what_is_no_http_costs_one_verdict(tmp_path):
    with server(b"", completion(GOOD), head=b"SSH-2.0-x\r\n") as url:
        judge = endpoint_judge("judge-1", url, retries=0, timeout=20, folder=tmp_path)
        verdicts = judged(judge, [case(), case("2", "Boil the egg.")])
    assert all(f"{url}: the connection broke off" in verdict.cause for verdict in verdicts)


def test_a_request_that_is_refused_after_others_were_answered_costs_one_verdict():
    with server(completion(GOOD)) as url:
        endpoint = Endpoint("judge-1", url, None, KEY_VARIABLE, 20, 0, {})
        assert endpoint.ask("Judge.") == GOOD
    with server(b"too long", head=b"HTTP/1.1 400 Bad Request\r\n") as endpoint.url:
        with pytest.raises(AnswerError, match="failed with status 400"):
            endpoint.ask("Judge a very long trace.")


def test_a_server_that_sends_elsewhere_is_named_with_the_place(tmp_path):
    head = b"HTTP/1.1 301 Moved\r\nLocation: https://me:pass@judge.example/v1?key=1\r\n"
    with server(b"", head=head) as url:
        judge = endpoint_judge("judge-1", url, retries=0, timeout=20, folder=tmp_path)
        with pytest.raises(EndpointError) as caught:
            judged(judge, [case()])
    assert str(caught.value).startswith(f"{url} sends to https://judge.example/v1; give")


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://[::1/v1", "http://h:99999/v1"]
)
def test_what_is_no_address_is_said_before_anything_is_asked(url):
    with pytest.raises(EndpointError, match="is no address of a server; expected one such as"):
        endpoint_judge("judge-1", url)


@pytest.mark.parametrize("key", ["se same", "sesamé", "sesame\nopen"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(EndpointError, match=f"{KEY_VARIABLE} holds a space") as caught:
        endpoint_judge("judge-1", "http://localhost:8000/v1")
    assert "sesam" not in str(caught.value)
    monkeypatch.setenv(KEY_VARIABLE, " sesame\n")
    endpoint_judge("judge-1", "http://localhost:8000/v1")


def test_an_address_is_shown_without_its_secrets(tmp_path, monkeypatch):
    assert shown_address("https://me:pass@host:81/v1?key=1#x") == "https://host:81/v1"
    monkeypatch.setenv(KEY_VARIABLE, "sesame")
    judge = endpoint_judge("judge-1", "http://me:pass@127.0.0.1:9/v1?key=1", retries=0)
    with pytest.raises(EndpointError) as caught:
        judged(judge, [case()])
    message = str(caught.value)
    assert "http://127.0.0.1:9/v1 cannot be reached" in message
    assert not any(secret in message for secret in ("pass", "sesame", "key=1"))


@pytest.mark.parametrize(
    "url, key, told",
    [
        ("http://judge.example/v1", "sesame", True),
        ("http://me:pass@judge.example/v1", None, True),
        ("http://judge.example/v1", None, False),
        ("https://judge.example/v1", "sesame", False),
        ("http://localhost:8000/v1", "sesame", False),
        ("http://127.0.0.2/v1", "sesame", False),
        ("http://[::1]:8000/v1", "sesame", False),
    ],
)
def test_a_key_that_travels_in_clear_is_told(monkeypatch, capsys, url, key, told):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    if key:
        monkeypatch.setenv(KEY_VARIABLE, key)
    endpoint_judge("judge-1", url)
    said = capsys.readouterr().err
    assert ("in clear" in said) == told and "sesame" not in said and "pass" not in said

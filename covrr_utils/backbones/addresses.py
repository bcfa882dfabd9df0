"""Addresses and keys of servers: what may be shown of them, and what may be sent to them."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


class EndpointError(ValueError):
    """A server that cannot be asked at all; the message says what to change."""


def shown_address(url: str) -> str:
    """``url`` as it may be printed: without user, password, query and fragment.

    Raises
    ------
    EndpointError
        If it is no address of a server.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:  # a port that is no number, half an IPv6 address
        pass
    raise EndpointError(
        f"{url.rpartition('@')[2].partition('?')[0]!r} is no address of a server; expected one such"
        " as http://localhost:8000/v1"
    )


def usable_key(key: str | None, variable: str) -> str | None:
    """The key without the spaces and line ends around it; None where there is none.

    Raises
    ------
    EndpointError
        If it holds what no header can hold. The key itself is not in the message.
    """
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EndpointError(
            f"{variable} holds a space, a line end or another character that no key has; set it"
            " again"
        )
    return key or None


def in_clear(url: str) -> bool:
    """Whether what is sent to ``url`` can be read on its way: no https, and not on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    return parts.scheme != "https" and not here

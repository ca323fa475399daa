"""Whom a client asks, and as whom: what both clients are told in their constructors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolyard.kit.unix_path import socket_address
from toolyard.sdk.login import Login, Password, Tokens
from toolyard.sdk.options import Options
from toolyard.sdk.requests import OPERATOR, ORGANIZATION, Wanted

LOCAL = "http://toolyard.local"
"""What requests through the socket are addressed to; nothing resolves it."""


@dataclass(frozen=True, slots=True)
class Whom:
    """The arguments of a client's constructor, checked."""

    url: str
    socket: Path | None
    login: Login
    headers: Mapping[str, str]

    def headers_for(self, request: Wanted) -> dict[str, str]:
        """All headers of a request, with the token that is held now."""
        headers = {**request.headers, **self.headers}
        tokens = self.login.tokens
        if tokens is not None and not request.operation.open and self.socket is None:
            headers["authorization"] = f"Bearer {tokens.access}"
        return headers


def whom(
    url: str | None,
    *,
    token: str | None,
    tokens: Tokens | None,
    password: Password | None,
    socket: Path | None,
    organization: str | None,
) -> Whom:
    """Raises ValueError unless it is clear whom to ask and as whom."""
    if (url is None) == (socket is None):
        raise ValueError("say whom to ask: a url, or the socket of the control plane on this machine")
    if socket is not None and (token or tokens or password):
        raise ValueError("through the socket one is the operator: no token, no password")
    if sum(one is not None for one in (token, tokens, password)) > 1 and not (tokens and password):
        raise ValueError("say as whom to ask in one way: a token, or a name with a password")
    held = Tokens(token) if token is not None else tokens
    headers = {} if organization is None else {ORGANIZATION: organization}
    if socket is not None:
        headers[OPERATOR] = "1"
    return Whom((url or LOCAL).rstrip("/"), socket, Login(held, password), headers)


def http_arguments(whom: Whom, options: Options, kept: ExitStack, transport_class: Any) -> dict[str, Any]:
    """What the HTTP client of either kind is made with. `kept` holds open what a long socket path needs."""
    transport = options.transport
    if transport is None and whom.socket is not None:
        transport = transport_class(uds=kept.enter_context(socket_address(whom.socket)))
    return {
        "base_url": whom.url,
        "timeout": options.timeout_s,
        "verify": options.verify,
        "transport": transport,
        "follow_redirects": False,
        "trust_env": whom.socket is None,
    }

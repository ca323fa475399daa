"""Which path goes where.

Every route says who may come in, what it does, why cookies cannot abuse it, and its limit class; the table refuses to
be built otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from toolyard.gateway.call import Answer, Head
from toolyard.kit.errors import PlatformError

_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z_]+\}")
_REST = re.compile(r"\{[a-z_]+\*\}")
_MAX_REMEMBERED = 4096

Admit = Callable[[Head], Answer | None]


class RouteUndeclared(PlatformError):
    """A route does not declare what every route must declare."""

    code: ClassVar[str] = "route_undeclared"


@dataclass(frozen=True, slots=True)
class Route:
    """One path with the methods it takes.

    `auth`: `key` (API key), `login` (access token, or API key), `none`, `operator` (Unix socket only; elsewhere it does
    not exist), or `control` (judged by the control plane). `csrf`: `no-cookies` (identity is a header no browser adds
    by itself) or `origin` (the Origin check alone). `limit`: `call`, `stream` (ended at drain) or `probe`. `handler` is
    `(head, body, sink)`, or `(head, socket)` with `websocket`. `admit` sees the head before the body is read; an Answer
    refuses. `json_only` refuses POST bodies that are not UTF-8 JSON. With `relays` the handler is `(head, BodyStream,
    RelaySink)` and begins before the body is here, which may have `body_bytes`. A last segment `{name*}` takes all that
    is left of the path, nothing too; every other route goes first.
    """

    pattern: str
    methods: tuple[str, ...]
    handler: Callable[..., Any]
    auth: Literal["key", "login", "none", "operator", "control"] | None = None
    action: str | None = None
    csrf: Literal["no-cookies", "origin"] | None = None
    limit: Literal["call", "stream", "probe"] | None = None
    admit: Admit | None = None
    websocket: bool = False
    json_only: bool = False
    relays: bool = False
    body_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the values of its pattern's parameters."""

    route: Route
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """The path exists; these are the methods it takes."""

    allow: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    rest: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class RouteTable:
    """All routes of a listener. Raises RouteUndeclared for an incomplete route and for two that clash."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        self._remembered: dict[tuple[str, str], Match] = {}
        for route in self.routes:
            _check_declared(route)
            self._add(route)

    def match(self, method: str, path: str) -> Match | MethodNotAllowed | None:
        """The route for `method` on `path`; None when no route has the path."""
        remembered = self._remembered.get((method, path))
        if remembered is not None:
            return remembered
        values: list[str] = []
        node = _walk(self._root, path.split("/")[1:], values)
        if node is None:
            return None
        route = node.routes.get(method)
        if route is None:
            return MethodNotAllowed(tuple(sorted(node.routes)))
        match = Match(route, dict(zip(_names(route.pattern), values, strict=True)))
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[method, path] = match
        return match

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.pattern.split("/")[1:]:
            if segment.endswith("*}"):
                node.rest = node.rest or _Node()
                node = node.rest
            elif segment.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.fixed.setdefault(segment, _Node())
        for method in route.methods:
            if method in node.routes:
                raise RouteUndeclared(f"two routes take {method} {route.pattern}")
            node.routes[method] = route


def _walk(node: _Node, segments: list[str], values: list[str]) -> _Node | None:
    """Fixed segments win over parameters, and these over the rest; a parameter takes one segment that is not empty."""
    if not segments and node.routes:
        return node
    if segments and (found := _step(node, segments[0], segments[1:], values)) is not None:
        return found
    if node.rest is not None:
        values.append("/".join(segments))
    return node.rest


def _step(node: _Node, first: str, others: list[str], values: list[str]) -> _Node | None:
    fixed = node.fixed.get(first)
    if fixed is not None and (found := _walk(fixed, others, values)) is not None:
        return found
    if node.any is None or not first:
        return None
    values.append(first)
    found = _walk(node.any, others, values)
    if found is None:
        values.pop()
    return found


def _names(pattern: str) -> list[str]:
    return [segment[1:-1].rstrip("*") for segment in pattern.split("/") if segment.startswith("{")]


def _check_declared(route: Route) -> None:
    missing = [name for name in ("auth", "action", "csrf", "limit") if not getattr(route, name)]
    if missing:
        raise RouteUndeclared(f"{route.pattern} does not declare {', '.join(missing)}")
    segments = route.pattern.split("/")
    if _REST.fullmatch(segments[-1]):
        segments.pop()
    good = (
        segments.pop(0) == ""
        and bool(segments)
        and (segments == [""] or all(_SEGMENT.fullmatch(one) for one in segments))
    )
    if not good or not route.methods:
        raise RouteUndeclared(f"{route.pattern!r} is not a route pattern with methods")

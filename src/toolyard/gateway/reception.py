"""From a request's head to the route that will serve it: Host, Origin, path, route, what the head says of the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolyard.gateway import edge
from toolyard.gateway.call import Answer, Head, HeadNotes
from toolyard.gateway.downstream.websocket import take_key, wants_websocket
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.head_reader import RequestHead
from toolyard.gateway.refusals import (
    BodyTooLarge,
    ContentEncodingUnsupported,
    ExpectationUnknown,
    HostRefused,
    MediaTypeUnsupported,
    MethodRefused,
    RouteUnknown,
    TooManyConnections,
    UpgradeNeeded,
)
from toolyard.gateway.routes import Match, MethodNotAllowed, Route, RouteTable
from toolyard.kit.ids import request_id

_JSON_TYPE = "application/json"
_MAX_REMEMBERED = 1024
_MAX_REMEMBERED_TARGET = 256
_PREFLIGHT = (
    ("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE"),
    (
        "access-control-allow-headers",
        "authorization, content-type, accept, last-event-id, "
        "mcp-method, mcp-name, mcp-protocol-version, mcp-session-id, toolyard-handle",
    ),
    ("access-control-max-age", "600"),
)

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Passed:
    """A request's way in: the guard let it pass and there is a route. `headers` go with every answer to it."""

    path: str
    query: str
    route: Route
    server_code: str
    headers: Headers


@dataclass(slots=True)
class Listener:
    """What the connections of one listening socket share. `operator`: the Unix socket, whose file mode is the guard.
    `probes_only`: its connections are those above the limit."""

    rules: edge.EdgeRules = field(default_factory=edge.EdgeRules)
    operator: bool = False
    probes_only: bool = False
    passed: dict[tuple[object, ...], Passed] = field(default_factory=dict)
    """What has passed before, by all that its judgement depended on."""

    def for_probes(self) -> Listener:
        """The same for a connection above the limit."""
        return Listener(self.rules, self.operator, probes_only=True)


@dataclass(frozen=True, slots=True)
class Peer:
    """The two ends of a connection: the address it came from, and ours as a client would write it in Host."""

    client: str
    local_authority: str


@dataclass(slots=True)
class Reception:
    """A head whose requests may be served. `headers` go with every answer to them."""

    request: RequestHead
    passed: Passed
    route: Route
    headers: Headers
    client: str
    operator: bool
    notes: HeadNotes = field(default_factory=HeadNotes)

    def head(self, headers: Mapping[str, str] | None = None) -> Head:
        """What handlers see of one request with this head, or with `headers` of which only a few values are others."""
        request, passed = self.request, self.passed
        return Head(
            "websocket" if self.route.websocket else "http",
            request.method,
            passed.path,
            request.headers if headers is None else headers,
            request.repeated,
            passed.query,
            passed.server_code,
            self.client,
            request_id(),
            self.operator,
            None,
            self.notes,
        )

    @property
    def plain(self) -> bool:
        """A call as programs make it, of which only the length matters to whoever refuses it."""
        request = self.request
        return (
            self.route.limit == "call"
            and not self.route.relays
            and request.method == "POST"
            and request.keep_alive
            and request.length is not None
            and not self.headers
            and "expect" not in request.headers
        )


def receive(
    request: RequestHead, listener: Listener, peer: Peer, routes: RouteTable, limits: WireLimits
) -> Reception | Answer:
    """Guard and route a request; an Answer ends it at once (CORS preflight). Raises a WireRefusal."""
    passed = _pass(request, listener, peer, routes)
    if isinstance(passed, Answer):
        return passed
    headers, route, trusted = request.headers, passed.route, listener.rules.trusted_proxies
    if route.websocket:
        if not wants_websocket(request):
            raise UpgradeNeeded
        take_key(request.headers)
    else:
        _check_body(request, route.body_bytes or limits.body_bytes, json_only=route.json_only)
    client = edge.client_address(peer.client, headers, trusted) if trusted else peer.client
    return Reception(request, passed, route, passed.headers, client, listener.operator)


def _pass(request: RequestHead, listener: Listener, peer: Peer, routes: RouteTable) -> Passed | Answer:
    """Host, Origin, path and route. What passed is remembered; what was refused never is."""
    headers = request.headers
    key = (
        request.method,
        request.target,
        headers.get("host"),
        headers.get("origin"),
        peer.local_authority,
        request.http11,
    )
    passed = None if request.repeated else listener.passed.get(key)
    if passed is not None:
        return passed
    shared = _guard(request, listener, peer)
    path, query = edge.read_target(request.target)
    if shared and request.method == "OPTIONS" and request.length == 0:
        return Answer(204, headers=shared + _PREFLIGHT)
    match = _route(routes, request.method, path, operator=listener.operator)
    if listener.probes_only and match.route.limit != "probe":
        raise TooManyConnections
    passed = Passed(path, query, match.route, match.params.get("server_code", "default"), shared)
    if not request.repeated and len(request.target) <= _MAX_REMEMBERED_TARGET:
        if len(listener.passed) >= _MAX_REMEMBERED:
            listener.passed.clear()
        listener.passed[key] = passed
    return passed


def _guard(request: RequestHead, listener: Listener, peer: Peer) -> Headers:
    """Host and Origin. Returns the CORS headers for the answer, which only a listed origin gets."""
    if not request.http11 and "host" not in request.headers:
        if listener.operator:
            return ()
        raise HostRefused
    host = edge.check_host_grammar(request.headers, request.repeated)
    if listener.operator:
        return ()
    edge.check_host(host, listener.rules, peer.local_authority)
    shared = edge.check_origin(request.headers, request.repeated, listener.rules, peer.local_authority)
    if shared is None:
        return ()
    return (
        ("access-control-allow-origin", shared),
        ("access-control-expose-headers", "mcp-session-id, mcp-protocol-version, www-authenticate"),
        ("vary", "origin"),
    )


def _route(routes: RouteTable, method: str, path: str, *, operator: bool) -> Match:
    match = routes.match(method, path[:-1] if path.endswith("/") and len(path) > 1 else path)
    if match is None:
        raise RouteUnknown
    if isinstance(match, MethodNotAllowed):
        refusal = MethodRefused()
        refusal.headers = (("allow", ", ".join(match.allow)),)
        raise refusal
    if match.route.auth == "operator" and not operator:
        raise RouteUnknown
    return match


def _check_body(request: RequestHead, most_bytes: int, *, json_only: bool) -> None:
    """What the head says of the body, before a byte of it is read."""
    headers = request.headers
    if request.length is not None and request.length > most_bytes:
        raise BodyTooLarge
    if "content-encoding" in headers and headers["content-encoding"].lower() != "identity":
        raise ContentEncodingUnsupported
    if "expect" in headers and headers["expect"].lower() != "100-continue":
        raise ExpectationUnknown
    if json_only and request.method == "POST" and not _is_json(headers):
        raise MediaTypeUnsupported


def _is_json(headers: Mapping[str, str]) -> bool:
    given = headers.get("content-type", "")
    if given == _JSON_TYPE:
        return True
    media, _, parameters = given.partition(";")
    if media.strip().lower() != _JSON_TYPE:
        return False
    name, _, value = parameters.strip().partition("=")
    return not parameters.strip() or (
        name.strip().lower() == "charset" and value.strip(' "').lower() in ("utf-8", "utf8")
    )

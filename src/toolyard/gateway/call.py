"""The values and ports at the centre of the data plane: one call, where its answer goes, and what is behind it.

Everything a client can send becomes one `Call`, whatever its era and transport. It has two verbs: `emit` sends the
caller a notification, `ask` asks the caller's own side (elicitation, sampling, roots). `ask` is the one seam where the
eras differ: towards a legacy client it is a request pushed on the call's stream; towards a modern one it ends the
exchange with `input_required` and the client's retry brings the answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from toolyard.contract.catalog import ServerCatalog, ToolTasks
from toolyard.contract.definitions import Era, Json, Observation
from toolyard.contract.snapshot import DEFAULT_ORGANIZATION, RateLimit, UpstreamSpec
from toolyard.kit.errors import PlatformError
from toolyard.policy.authorize import EVERYTHING, Allow, Kind
from toolyard.protocol.envelope import Envelope

Transport = Literal["http", "sse", "websocket", "stdio"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `id` is stable and says nothing secret: `key:<id>`, `open:<server>`, `user:<id>`, `operator`,
    `gateway`. `grant` is what a key may do at most, `limit` its own rate, `networks` where it may come from; `roles`
    and `tier` are a person's, as is `may`: the permissions that count here."""

    id: str
    kind: Kind
    server: str | None = None
    key_id: str | None = None
    organization: str = DEFAULT_ORGANIZATION
    grant: Allow = EVERYTHING
    limit: RateLimit | None = None
    networks: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tier: str = ""
    may: tuple[str, ...] = ()


@dataclass(slots=True)
class HeadNotes:
    """What was worked out from a head once, for all requests of a connection that have the very same one. Each slot
    belongs to one module, which knows when what it holds is out of date."""

    admission: Any = None
    mirrored: Any = None
    envelope: Any = None
    plans: dict[str, Any] = field(default_factory=dict)
    session_plans: dict[tuple[str, str], Any] = field(default_factory=dict)


@dataclass(slots=True)
class Head:
    """What arrived before the body, whatever the transport. Header names are lower case, values without outer blanks;
    `repeated` names the headers that came more than once; `client` is the address of the socket's peer (or what a
    trusted proxy said of it); `operator` is true only for the Unix socket in the data directory."""

    transport: Transport
    method: str
    path: str
    headers: Mapping[str, str]
    repeated: frozenset[str] = frozenset()
    query: str = ""
    server_code: str = "default"
    client: str = ""
    request_id: str = ""
    operator: bool = False
    principal: Principal | None = None
    notes: HeadNotes = field(default_factory=HeadNotes)


@dataclass(slots=True)
class Answer:
    """The end of an exchange: an HTTP status, the encoded message (none for 202 and the like), extra headers. Nobody
    changes one; it is not frozen because it is made for every call, and freezing makes that four times as dear."""

    status: int
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


class ClientGone(PlatformError):
    """The client went away before its answer."""

    code = "client_gone"
    status = 499


class Sink(Protocol):
    """Where the answer of one exchange goes; one implementation for each client transport.

    Above: the exchange, which knows messages. Below: a socket. `send` writes one message before the answer (the first
    one opens the event stream where the transport has streams), waits while the peer reads slowly, and raises
    ClientGone. `finish` writes the answer; only the first one counts. `outlive_client` says that this exchange must not
    be cancelled when the client goes (older revisions: a broken connection is not a cancellation). An exchange that is
    cancelled while its client is not `gone` is still to be answered: the gateway stops.
    """

    @property
    def is_gone(self) -> bool: ...
    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None: ...
    def finish(self, answer: Answer) -> None: ...
    def outlive_client(self) -> None: ...


class EventSink(Sink, Protocol):
    """The sink of an HTTP exchange that may be an event stream from its first moment on. `headers` go with the answer
    or the stream's opening; `open` starts the stream; `close_stream` ends it without an answer."""

    headers: list[tuple[str, str]]

    def open(self) -> None: ...
    def close_stream(self) -> None: ...


class Elsewhere(Protocol):
    """Whatever belongs to another process of this gateway.

    Above: the transports, which see an id. Below: the way to the process that made it. Both return how to have the
    exchange served there, or None for what is this process's own or nobody's. Serving raises PlatformError.
    """

    def of_session(self, head: Head) -> Carry | None: ...
    def of_id(self, made_id: str) -> Carry | None: ...
    def of_owner(self, owner: str) -> Carry | None: ...


class MessageSocket(Protocol):
    """A client connection that carries whole JSON-RPC messages both ways: a WebSocket, or standard input and output.

    `receive` returns the next message's bytes, or None at the end. `send` raises ClientGone."""

    async def receive(self) -> bytes | None: ...
    async def send(self, message: bytes) -> None: ...
    def close(self, code: int = 1000, reason: str = "") -> Coroutine[Any, Any, None]: ...


class Underway(Protocol):
    """An exchange that goes on without a task. `cancel` ends it, with an answer unless its client is gone; `ended`
    waits for its end, and ends it when it is cancelled itself."""

    def cancel(self) -> None: ...
    async def ended(self) -> None: ...


Rest = Underway | Coroutine[Any, Any, None] | None
"""What is left of an exchange that a handler has begun: it is under way, or has to be awaited, or is answered."""

Carry = Callable[[str, Head, bytes, Sink], Awaitable[None]]
"""Has an exchange served by the process that owns it: which handler, head, body, and where the answer goes."""

Emit = Callable[[Json], Awaitable[None]]
Pause = Callable[[int], Awaitable[None]]


class Ask(Protocol):
    """Ask the caller's side. `requests`: {key: {"method": …, "params": …}}; returns {key: result}. A modern upstream's
    `state` travels with it; `held` says that the upstream's request stays open until the answer (older revisions push
    their questions). Raises Suspended (modern caller, not held), AskRefused (caller cannot be asked or said no by
    error)."""

    async def __call__(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]: ...


class HeldPlaces(Protocol):
    """What a call in flight holds that others wait for; given back while its caller is being asked."""

    def give_back(self) -> None: ...
    def take_again(self) -> None: ...
    def leave(self) -> None: ...


class OwnedElsewhere(Exception):
    """The request is about something that another process of this gateway owns. Nothing was done."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(owner)


class Suspended(Exception):
    """The caller must answer `requests` and send the call again, with the upstream's `state`, or with the `ticket` of
    the call that is held for it."""

    def __init__(self, requests: Mapping[str, Json], state: str | None, *, ticket: str | None = None) -> None:
        self.requests = requests
        self.state = state
        self.ticket = ticket
        super().__init__("input required")


class AskRefused(PlatformError):
    """The caller cannot be asked: it did not declare the capability, or its side answered with an error."""

    code = "ask_refused"
    status = 400


@dataclass(slots=True)
class Target:
    """Where a call goes: an upstream, with the method's parameters in its own names. `name` is what policy judges;
    `tasks` is what the tool has to do with tasks, if anything."""

    upstream_id: str
    params: Json
    timeout_s: float
    name: str
    tasks: ToolTasks | None = None


@dataclass(slots=True)
class Call:
    """One request of one principal, decoded and judged. `deadline` is a time of the loop's clock, in seconds.

    `isolation` keeps callers apart on stateful upstreams (`handle` is what the caller named for that);
    `client_capabilities` are exactly the caller's. `params`
    never contains `_meta`: what of it may travel is in `meta` (trace ids, vendor keys); `wants_progress` and
    `log_level` say which notifications the caller asked for; `log_level_chosen` is false for a legacy client that never
    set one and gets what the upstream sends by itself. `pause`, where the caller's transport has it: the upstream ended
    its stream and wants to be asked again in so many milliseconds, do the same to the caller (SSE polling, 2025-11-25).
    `allowed` is what policy said of it once it was judged; whatever is kept for callers is kept apart by it.
    `serving` is the server in the one catalog that the request reads; `said`, what a modern request says of itself.
    `watcher` is whose a resource subscription is: a session or a listen stream. `asking` questions are open at a legacy
    caller now; its answers took `asked_s` seconds so far. `began` is when its pipeline was entered (monotonic).
    """

    principal: Principal
    server: str
    method: str
    params: Json
    era: Era
    revision: str
    emit: Emit
    ask: Ask
    deadline: float
    request_id: str = ""
    transport: Transport = "http"
    client_capabilities: Json = field(default_factory=dict)
    client_info: Json | None = None
    meta: Json = field(default_factory=dict)
    wants_progress: bool = False
    log_level: str | None = None
    log_level_chosen: bool = True
    isolation: str = ""
    handle: str = ""
    watcher: str = ""
    input_responses: dict[str, Json] | None = None
    upstream_state: str | None = None
    ticket: str | None = None
    serving: ServerCatalog | None = None
    said: Envelope | None = None
    target: Target | None = None
    allowed: Allow | None = None
    pause: Pause | None = None
    places: HeldPlaces | None = None
    asking: int = 0
    asked_s: float = 0.0
    began: float = 0.0


class UpstreamEvents(Protocol):
    """What an upstream tells the gateway outside any call. `principal_id` is the owner of the upstream session the
    notification came on, or None for the gateway's own. `watches_lost`: the upstream speaks another era now, and what
    was watched has to be watched anew."""

    def lists_changed(self, upstream_id: str, kind: Literal["tools", "resources", "prompts"]) -> None: ...
    def resource_updated(self, upstream_id: str, principal_id: str | None, params: Json) -> None: ...
    def watches_lost(self, upstream_id: str) -> None: ...


class Begun(Protocol):
    """A request that an upstream was sent without waiting for anything (`Upstream.begin`).

    `ready` is called once, when there is something to see, never from within `begin`. Then `take` gives the plain
    result, or None where there is more to do than to read it (an error, a stream, a question): `go_on` does it, like
    `Upstream.request` from there on. `cancel` gives the request up and tells the upstream."""

    ready: Callable[[], None]

    def take(self) -> Json | None: ...
    async def go_on(self) -> Json: ...
    def cancel(self) -> None: ...


SomeBegun = TypeVar("SomeBegun", bound=Begun)


class Sent(Protocol):
    """A call that goes its way by a plan (`express`), as the upstream's side sees it. It is told once how it came out:
    `done` with a plain result, or `not_plain` with the request as anyone would have begun it."""

    arguments: Json
    deadline: float
    upstream_request_id: int
    connection: Any
    body: bytes

    def answered(self, known: Any, body: bytes) -> None: ...
    def opened(self, response: Any) -> None: ...
    def done(self, result: Json) -> None: ...
    def not_plain(self, begun: Callable[[Call], SomeBegun]) -> SomeBegun: ...


class Repeater(Protocol):
    """Sends calls of one tool that differ in id and arguments only. `holds`: the upstream is still spoken to in that
    way. `take` a connection for one call, then `send` on it or `give_back`. `give_up` makes of a call that was sent
    what `cancel` can be called on."""

    def holds(self) -> bool: ...
    def take(self) -> Any: ...
    def give_back(self, connection: Any) -> None: ...
    def send(self, sent: Sent, connection: Any) -> None: ...
    def answered(self, sent: Sent, known: Any, body: bytes) -> None: ...
    def opened(self, sent: Sent, response: Any) -> None: ...
    def give_up(self, sent: Sent) -> None: ...


class Upstream(Protocol):
    """A live connection to something that has tools, whatever it speaks.

    Above: the pipeline, which knows methods and parameters. Below: transports, sessions, eras. `observe` reads all
    definitions. `request` does one request for `call` (method and params as the upstream knows them) and returns the
    result object as the upstream sent it, without `resultType: input_required` (those went through `call.ask`). Raises
    RelayedError for a JSON-RPC error of the upstream, AskRefused where a modern upstream's question was refused, and
    UpstreamError for everything else; nothing else escapes but CancelledError, upon which the upstream has been told.
    `begin` sends the same request at once if nothing has to be waited for (else None, and nothing was done): the way of
    plain calls over warm connections, which costs neither a task nor a coroutine. `repeater`: what sends tool calls
    like `call` again with other arguments; None where each needs to be looked at.
    `may_push`: its questions come while the request runs (older revisions), so that a caller who is to be asked later
    needs the request held. `watch`/`unwatch`: resource subscriptions. `roots_changed`: tell the caller's legacy
    session, if there is one, that its roots are others now. `forget(isolation)`: nobody will come with this isolation
    key any more, so what is kept for it ends as soon as nothing runs there.
    """

    spec: UpstreamSpec

    async def observe(self) -> Observation: ...
    async def request(self, call: Call, method: str, params: Json) -> Json: ...
    def begin(self, call: Call, method: str, params: Json) -> Begun | None: ...
    def repeater(self, call: Call, params: Json) -> Repeater | None: ...
    def may_push(self, call: Call) -> bool: ...
    async def watch(self, call: Call, uri: str) -> None: ...
    async def unwatch(self, call: Call, uri: str) -> None: ...
    async def roots_changed(self, call: Call) -> None: ...
    def forget(self, isolation: str) -> None: ...
    def status(self) -> dict[str, Any]: ...
    async def aclose(self) -> None: ...

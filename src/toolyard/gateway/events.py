"""What changes behind the gateway, told to whoever listens: one bus for every era and transport.

Changes are triggers, not data: a listener is told that a list or a resource changed and reads it again. So events may
be merged freely, and a listener that is slow loses nothing but repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from toolyard.contract.catalog import Catalog, ServerCatalog
from toolyard.contract.definitions import Json
from toolyard.gateway.call import Principal
from toolyard.gateway.catalog import ListKind
from toolyard.gateway.places import SharedPlaces
from toolyard.gateway.routing import route_resource
from toolyard.kit.errors import PlatformError


class Listener(Protocol):
    """Someone who wants to hear of changes at one server. The methods return at once and never raise."""

    server: str
    principal_id: str

    def lists_changed(self, kinds: frozenset[ListKind]) -> None: ...
    def watches(self, uri: str) -> bool: ...
    def resource_updated(self, params: Json) -> None: ...


class Stream(Listener, Protocol):
    """A listener that lives on a connection of its own and can be ended."""

    principal: Principal

    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many listen streams there may be, in all and of one principal."""

    total: int = 200
    per_principal: int = 10


class Hub:
    """The event bus of one gateway. Implements UpstreamEvents; `refresh(upstream_id)` asks the pool to look again,
    `rewatch(upstream_id)` has its subscriptions begun anew."""

    def __init__(self, catalog: Callable[[], Catalog], limits: StreamLimits | None = None) -> None:
        self._catalog = catalog
        self._limits = limits or StreamLimits()
        self._listeners: dict[str, set[Listener]] = {}
        self._streams: set[Stream] = set()
        self.refresh: Callable[[str], None] = lambda _upstream_id: None
        self.shared: SharedPlaces | None = None
        """Who counts the listen streams of all processes, if there are several."""
        self.takes_streams: Callable[[], bool] = lambda: True
        """Whether the gateway is well enough to keep more of them."""
        self.rewatch: Callable[[str], None] = lambda _upstream_id: None

    @property
    def streams(self) -> Collection[Stream]:
        """The listen streams that are open."""
        return self._streams

    def add(self, listener: Listener) -> None:
        self._listeners.setdefault(listener.server, set()).add(listener)

    async def admit_stream(self, stream: Stream) -> bool:
        """As `add_stream`, with all processes of the gateway together, and none while the gateway is strained."""
        if not self.takes_streams():
            return False
        if self.shared is not None and not await self.shared.take("listen", stream.principal_id):
            return False
        added = self.add_stream(stream)
        if not added and self.shared is not None:
            self.shared.give_back("listen", stream.principal_id)
        return added

    def add_stream(self, stream: Stream) -> bool:
        """Add a listener that is a stream of its own; False if there are as many as there may be."""
        own = sum(s.principal_id == stream.principal_id for s in self._streams)
        if len(self._streams) >= self._limits.total or own >= self._limits.per_principal:
            return False
        self._streams.add(stream)
        self.add(stream)
        return True

    def end_streams(self, is_valid: Callable[[Principal], bool] = lambda _principal: False) -> None:
        """End listen streams with their results: all of them, or those of principals that are not valid any more and
        of servers that are not there any more."""
        servers = self._catalog().servers
        for stream in tuple(self._streams):
            if stream.server not in servers or not is_valid(stream.principal):
                stream.end()

    def remove(self, listener: Listener) -> None:
        left = {s for s in self._streams if s is not listener}
        if len(left) < len(self._streams) and self.shared is not None:
            self.shared.give_back("listen", listener.principal_id)
        self._streams = left
        listeners = self._listeners.get(listener.server)
        if listeners is not None:
            listeners.discard(listener)
            if not listeners:
                del self._listeners[listener.server]

    def server_changed(self, server: str, kinds: frozenset[ListKind]) -> None:
        """Tell a server's listeners that lists changed in the catalog."""
        for listener in tuple(self._listeners.get(server, ())):
            listener.lists_changed(kinds)

    def lists_changed(self, upstream_id: str, kind: Literal["tools", "resources", "prompts"]) -> None:
        """An upstream says that a list changed: look at it again; listeners hear when the catalog has changed."""
        del kind
        self.refresh(upstream_id)

    def watches_lost(self, upstream_id: str) -> None:
        """An upstream can keep nobody's subscriptions any more: they are begun anew."""
        self.rewatch(upstream_id)

    def resource_updated(self, upstream_id: str, principal_id: str | None, params: Json) -> None:
        """An upstream says that a resource changed: tell who watches it, and nobody else's session. It can speak of
        those resources only that the server reads from it."""
        uri = params.get("uri")
        if not isinstance(uri, str):
            return
        catalog = self._catalog()
        for code, listeners in tuple(self._listeners.items()):
            concerned = [x for x in listeners if principal_id in (None, "", x.principal_id) and x.watches(uri)]
            server = catalog.servers.get(code)
            if concerned and server is not None and server.spec.enabled and _comes_from(server, uri) == upstream_id:
                for listener in concerned:
                    listener.resource_updated(params)


def _comes_from(server: ServerCatalog, uri: str) -> str | None:
    """The upstream that a resource of this server is read from."""
    try:
        return route_resource(server, {"uri": uri}).upstream_id
    except PlatformError:
        return None

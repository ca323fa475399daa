"""What changes behind the gateway, told to whoever listens: one bus for every era and transport.

Changes are triggers, not data: a listener is told that a list or a resource changed and reads it again. So events may
be merged freely, and a listener that is slow loses nothing but repetitions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from toolyard.contract.catalog import Catalog
from toolyard.contract.definitions import Json
from toolyard.gateway.call import Principal
from toolyard.gateway.catalog import ListKind


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
    """The event bus of one gateway. Implements UpstreamEvents; `refresh(upstream_id)` asks the pool to look again."""

    def __init__(self, catalog: Callable[[], Catalog], limits: StreamLimits | None = None) -> None:
        self._catalog = catalog
        self._limits = limits or StreamLimits()
        self._listeners: dict[str, set[Listener]] = {}
        self._streams: set[Stream] = set()
        self.refresh: Callable[[str], None] = lambda _upstream_id: None

    def add(self, listener: Listener) -> None:
        self._listeners.setdefault(listener.server, set()).add(listener)

    def add_stream(self, stream: Stream) -> bool:
        """Add a listener that is a stream of its own; False if there are as many as there may be."""
        own = sum(s.principal_id == stream.principal_id for s in self._streams)
        if len(self._streams) >= self._limits.total or own >= self._limits.per_principal:
            return False
        self._streams.add(stream)
        self.add(stream)
        return True

    def end_streams(self, is_valid: Callable[[Principal], bool] = lambda _principal: False) -> None:
        """End listen streams with their results: all of them, or those of principals that are not valid any more."""
        for stream in tuple(self._streams):
            if not is_valid(stream.principal):
                stream.end()

    def remove(self, listener: Listener) -> None:
        self._streams = {s for s in self._streams if s is not listener}
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

    def resource_updated(self, upstream_id: str, principal_id: str | None, params: Json) -> None:
        """An upstream says that a resource changed: tell who watches it, and nobody else's session."""
        uri = params.get("uri")
        if not isinstance(uri, str):
            return
        for code, listeners in tuple(self._listeners.items()):
            server = self._catalog().servers.get(code)
            if server is None or upstream_id not in server.upstream_ids:
                continue
            for listener in tuple(listeners):
                if principal_id in (None, "", listener.principal_id) and listener.watches(uri):
                    listener.resource_updated(params)

"""Tool calls on a legacy session over HTTP in the same words as one before (`call.Repeater`).

The session knows such a call by its id. What comes on its GET stream may belong to any running call, so whenever
something comes there, all of them become what they would have been without a plan (`expose`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Sent
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_post_repeater import PostRepeater
from toolyard.gateway.upstream.http_session import LegacySession
from toolyard.gateway.upstream.http_session_begun import BegunInSession, Counter
from toolyard.net.connection import KnownHead
from toolyard.net.response import HttpResponse
from toolyard.protocol.convert import from_upstream
from toolyard.protocol.revisions import LEGACY

GoOn = Callable[[BegunPost], Awaitable[Json]]


class Place(Counter, Protocol):
    """Where the session is kept."""

    session: LegacySession | None


class SessionRepeater(PostRepeater):
    """Sends calls of one tool on `session`. `is_current` says whether its place is still in use."""

    __slots__ = ("_call", "_exposed", "_go_on", "_is_current", "_place", "_session")

    def __init__(
        self,
        session: LegacySession,
        place: Place,
        go_on: GoOn,
        is_current: Callable[[], bool],
        count: Callable[[], None],
        call: Call,
        name: str,
    ) -> None:
        super().__init__(session.endpoint, session.next_id, count, name=name, head=session.post_head())
        self._session = session
        self._place = place
        self._go_on = go_on
        self._is_current = is_current
        self._call = call
        self._exposed: dict[int, _Exposed] = {}

    def holds(self) -> bool:
        session = self._session
        return (
            self._place.session is session
            and not session.is_lost
            and not session.must_lower(self._call)
            and self._is_current()
        )

    def answered(self, sent: Sent, known: KnownHead, body: bytes) -> None:
        """The whole answer is here, perhaps of a call that was exposed."""
        if sent.upstream_request_id in self._session.calls.sent:
            super().answered(sent, known, body)
        else:
            self._hand_over(sent, known, body)

    def expose(self, sent: Sent) -> None:
        """Make of a call under way what the session can bring messages to."""
        begun = self._begun(sent, None)
        self._exposed[sent.upstream_request_id] = begun

    def _entered(self, sent: Sent) -> None:
        self._session.calls.sent[sent.upstream_request_id] = (self, sent)
        self._place.running += 1

    def _done(self, sent: Sent, result: Json) -> None:
        self._session.calls.came_back(sent.upstream_request_id)
        self._place.over()
        sent.done(from_upstream(LEGACY[0], "tools/call", result))

    def _begun(self, sent: Sent, response: HttpResponse | None) -> _Exposed:
        number = sent.upstream_request_id
        known = self._exposed.pop(number, None)
        if known is not None:
            known.response = response
            return known

        def begun(call: Call) -> _Exposed:
            self._session.calls.sent.pop(number, None)
            running = self._session.calls.enter(number, call, begun=True)
            params = {"name": self._name, "arguments": sent.arguments}
            post = _Exposed(self._session, self._place, self._go_on, call, params, running, self._head, sent.body)
            post.response, post.connection, post.exposed = response, sent.connection, self._exposed
            return post

        return sent.not_plain(begun)


class _Exposed(BegunInSession):
    """A request of a repeater; it is forgotten there when it ends before its answer."""

    __slots__ = ("exposed",)

    exposed: dict[int, _Exposed]

    def over(self) -> None:
        self.exposed.pop(self.request_id, None)
        super().over()

    def abort(self) -> None:
        self.exposed.pop(self.request_id, None)
        super().abort()

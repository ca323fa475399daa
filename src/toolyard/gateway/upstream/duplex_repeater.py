"""Tool calls over a channel in the same words as one before (`call.Repeater`): ids and arguments differ.

All of them go through the session that the first one had, as long as it is the one that they would be given. Nobody is
asked or told anything in mid-call: calls that may be asked take turns, and calls that want progress or logs are looked
at one by one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, ClientGone, Sent
from toolyard.gateway.upstream.duplex_begun import BegunRequest, Driver
from toolyard.gateway.upstream.pending import Pending
from toolyard.gateway.upstream.session import Session
from toolyard.gateway.upstream.sessions_pool import SessionPool
from toolyard.net.response import HttpResponse
from toolyard.protocol.strict_json import encode


def duplex_repeater(driver: Driver, pool: SessionPool, call: Call, params: Json) -> DuplexRepeater | None:
    """What sends calls in the words of `call`; None where each of them has to be looked at."""
    session = pool.session_of(call)
    if session is None or session.turns is not None or call.log_level is not None or call.wants_progress:
        return None
    return DuplexRepeater(driver, pool, session, call, params)


class DuplexRepeater:
    """Sends calls of one tool through one session."""

    __slots__ = ("_after", "_before", "_channel", "_driver", "_name", "_peer", "_pool", "_session", "_words")

    def __init__(self, driver: Driver, pool: SessionPool, session: Session, call: Call, params: Json) -> None:
        self._driver = driver
        self._pool = pool
        self._session = session
        self._peer = session.peer
        self._channel = session.peer.channel
        self._words = replace(call, params={}, target=None, places=None, emit=_nobody, ask=_nobody)
        self._name = params["name"]
        self._before = b',"method":"tools/call","params":{"name":%s,"arguments":' % encode(self._name)
        meta = session.stamped(call, {}, 0).get("_meta")
        self._after = b"}}" if meta is None else b',"_meta":%s}}' % encode(meta)

    def holds(self) -> bool:
        return self._pool.lends(self._session)

    def take(self) -> Session | None:
        return self._session if self._channel.takes_at_once else None

    def give_back(self, session: Session) -> None:
        """Nothing was taken from anybody."""

    def send(self, sent: Sent, session: Session) -> None:
        peer = self._peer
        number = sent.upstream_request_id = peer.mint()
        pending = sent.connection = Pending(number, "tools/call", self._words, None)
        pending.on_settled = lambda: self._settled(sent, pending)
        session.busy += 1
        message = b'{"jsonrpc":"2.0","id":%d%s%s%s' % (number, self._before, encode(sent.arguments), self._after)
        peer.send_at_once(pending, message, sent.deadline)

    def _settled(self, sent: Sent, pending: Pending) -> None:
        result = self._session.plain(pending)
        if result is None:
            sent.not_plain(lambda call: self._begun(sent, call)).ready()
        else:
            self._pool.release(self._session, self._words)
            sent.done(result)

    def answered(self, sent: Sent, known: object, body: bytes) -> None:
        """Only HTTP has this."""

    def opened(self, sent: Sent, response: HttpResponse) -> None:
        """Only HTTP has this."""

    def give_up(self, sent: Sent) -> None:
        sent.not_plain(lambda call: self._begun(sent, call))

    def _begun(self, sent: Sent, call: Call) -> BegunRequest:
        """The request as anyone would have begun it."""
        params = {"name": self._name, "arguments": sent.arguments}
        pending: Pending = sent.connection
        pending.call = call
        return BegunRequest(self._driver, self._session, call, params, pending)


async def _nobody(*_: Any, **__: Any) -> Any:
    """Nobody is told or asked anything before the answer."""
    raise ClientGone

"""Whole exchanges, carried to the worker that owns what they are about: head, body and the way back for the answer.

At the owner the sink is a `CarriedSink`: what is written to it travels back and is written to the client's own sink by
the worker that has the connection. A client that goes is gone at the owner too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from toolyard.gateway.call import Answer, ClientGone, EventSink, Head, HeadNotes, Sink
from toolyard.gateway.workers.errors import WorkerLost
from toolyard.gateway.workers.link import Link, Talk

Handler = Callable[[Head, bytes, EventSink], Awaitable[None]]


class CarriedSink:
    """The way back to a client whose connection is at another worker (see `call.Sink`)."""

    def __init__(self, talk: Talk) -> None:
        self.headers: list[tuple[str, str]] = []
        self._talk = talk
        self._finished = False

    @property
    def is_gone(self) -> bool:
        return self._talk.ended

    def open(self) -> None:
        """Start the event stream."""
        self._post(["open", self.headers])

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        if self.is_gone or self._finished:
            raise ClientGone
        try:
            await self._talk.send(["send", message, event_id, retry_ms])
        except WorkerLost:
            raise ClientGone from None

    def finish(self, answer: Answer) -> None:
        if not self._finished:
            self._finished = True
            headers = [*self.headers, *answer.headers]
            self._post(["finish", answer.status, answer.body, headers, answer.content_type])

    def close_stream(self) -> None:
        """End the event stream without an answer."""
        self._finished = True
        self._post(["close"])

    def outlive_client(self) -> None:
        self._talk.outlives = True
        self._post(["outlive"])

    def _post(self, step: list[Any]) -> None:
        if not self.is_gone:
            self._talk.post(step)


class ExchangeService:
    """The owner's side. `handlers` by their names."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    async def __call__(self, talk: Talk, content: Any) -> None:
        """Serve one exchange that came in at another worker."""
        name, head, body = content
        await self._handlers[name](msgspec.convert(head, Head), body, CarriedSink(talk))


async def carry(link: Link, name: str, head: Head, body: bytes, sink: Sink | EventSink) -> None:
    """Have an exchange served at the other end of `link`, its answer written to `sink`. Raises WorkerLost and what is
    raised there; a client that goes, or a cancelled exchange, is given up there."""
    talk = link.open("exchange", [name, msgspec.to_builtins(replace(head, notes=HeadNotes())), body])
    ended = False
    try:
        while (step := await talk.next()) is not None:
            try:
                await _play(step, sink)
            except ClientGone:
                return
            ended = ended or step[0] in ("finish", "close")
        try:
            await talk.reply()
        except ClientGone as lost:
            if not ended:
                raise WorkerLost from lost
        if not ended:
            raise WorkerLost
    finally:
        talk.cancel()


async def _play(step: Any, sink: Any) -> None:
    """Do at the client's sink what was done at the owner's."""
    match step:
        case ["send", message, event_id, retry_ms]:
            await sink.send(message, event_id=event_id, retry_ms=retry_ms)
        case ["finish", status, body, headers, content_type]:
            sink.finish(Answer(status, body, tuple((name, value) for name, value in headers), content_type))
        case ["outlive"]:
            sink.outlive_client()
        case ["open", headers]:
            sink.headers += [(name, value) for name, value in headers]
            sink.open()
        case ["close"]:
            sink.close_stream()

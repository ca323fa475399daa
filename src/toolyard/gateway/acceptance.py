"""What a client accepts as an answer: one JSON object, an event stream, or either (RFC 9110 §12.5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from toolyard.gateway.call import Answer, Head, Sink
from toolyard.kit.errors import PlatformError

_JSON = frozenset({"application/json", "application/*", "*/*"})
_STREAM = frozenset({"text/event-stream", "text/*", "*/*"})


class NotAcceptable(PlatformError):
    """Accept application/json and text/event-stream: the answer is one of the two."""

    code = "not_acceptable"
    status = 406


class QuietSink:
    """A sink for a client that takes no event stream: it gets the answer and nothing before it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        return None

    def finish(self, answer: Answer) -> None:
        self._sink.finish(answer)

    def outlive_client(self) -> None:
        self._sink.outlive_client()

    @property
    def is_gone(self) -> bool:
        return self._sink.is_gone


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether event streams are accepted, and whether the client names them before plain JSON."""

    streams: bool
    streams_first: bool = False

    def of(self, sink: Sink) -> Sink:
        """The sink as far as the client can take it."""
        return sink if self.streams else QuietSink(sink)


_BOTH = Acceptance(streams=True)
_STREAMS_FIRST = Acceptance(streams=True, streams_first=True)
_JSON_ONLY = Acceptance(streams=False)


def accepted(head: Head) -> Acceptance:
    """Read the Accept header; none accepts all. Raises NotAcceptable."""
    text = head.headers.get("accept")
    if text is None or text == "application/json, text/event-stream":
        return _BOTH
    ranges = [name for part in text.split(",") if (name := _acceptable(part))]
    if not _STREAM.isdisjoint(ranges):
        return _STREAMS_FIRST if ranges[0] == "text/event-stream" else _BOTH
    if not _JSON.isdisjoint(ranges):
        return _JSON_ONLY
    raise NotAcceptable


def _acceptable(part: str) -> str | None:
    """The media range, unless its weight is zero."""
    name, *parameters = (p.strip().lower() for p in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q" and value.strip().rstrip("0").rstrip(".") in ("", "0"):
            return None
    return name

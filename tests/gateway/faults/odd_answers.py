"""Odd answers of an upstream, as bytes: what a caller gets instead, or in spite of each of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from tests.gateway.faults.shop import CHUNKED, HEAD, JSON_TYPE, LAST_CHUNK, How, Order, chunk, head, whole

Odd = Callable[[Order], bytes]
RIGHT = "right"
INVALID = "!upstream_invalid"
INCOMPLETE = "!upstream_incomplete"
TIMEOUT = "!upstream_timeout"
UNREACHABLE = "!upstream_unreachable"
SSE = HEAD + b"content-type: text/event-stream\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
POISON = b'{"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "poison"}]}}'
QUESTION = (
    b'{"q": {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": '
    b'{"type": "object", "properties": {}}}}}'
)


def reply(members: bytes) -> Odd:
    """A JSON answer with the right id and these members; TOKEN stands for the token."""

    def odd(order: Order) -> bytes:
        given = members.replace(b"TOKEN", order.token.encode())
        return whole(b'{"jsonrpc": "2.0", "id": %d, %s}' % (order.message["id"], given))

    return odd


def result(member: bytes) -> Odd:
    """A JSON answer whose result has this member."""
    return reply(b'"result": {"content": [], "a": %s}' % member)


def instead(old: bytes, new: bytes) -> Odd:
    """The plain answer with something else in one place."""
    return lambda order: order.plain()[1].replace(old, new, 1)


def around(before: bytes = b"", after: bytes = b"") -> Odd:
    """The plain answer between these bytes."""
    return lambda order: before + order.plain()[1] + after


def also(*lines: bytes) -> Odd:
    """The plain answer with further header lines."""
    return lambda order: whole(order.body(), *lines)


def body(change: Callable[[bytes], bytes], *lines: bytes) -> Odd:
    """An answer with a changed body."""
    return lambda order: whole(change(order.body()), *lines)


def status(line: bytes, *lines: bytes) -> Odd:
    """The reply under another status."""
    return lambda order: whole(order.body(), *lines).replace(b"200 OK", line, 1)


def just(answer: bytes) -> Odd:
    """The same bytes for everybody."""
    return lambda _order: answer


def with_id(change: Callable[[int], bytes]) -> Odd:
    """The plain answer with another id."""
    return lambda order: whole(order.body().replace(b"%8d" % order.message["id"], change(order.message["id"]), 1))


def in_chunks(pieces: Callable[[bytes], bytes], *lines: bytes) -> Odd:
    """A chunked answer; `pieces` makes chunks of its body."""
    start = HEAD + JSON_TYPE + CHUNKED + b"".join(line + b"\r\n" for line in lines)
    return lambda order: start + b"\r\n" + pieces(order.body())


def in_events(*pieces: Callable[[Order], bytes] | bytes) -> Odd:
    """A stream of these pieces, each a chunk."""

    def odd(order: Order) -> bytes:
        made = (piece if isinstance(piece, bytes) else piece(order) for piece in pieces)
        return SSE + CHUNKED + b"\r\n" + b"".join(map(chunk, made))

    return odd


def its_own(order: Order) -> bytes:
    """The event with the right reply."""
    return event(order.body())


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def nested(depth: int) -> Odd:
    return result(b"[" * depth + b"]" * depth)


def and_the_end(odd: Odd) -> Odd:
    """A chunked answer, with its last chunk."""
    return lambda order: odd(order) + LAST_CHUNK


RIGHT_ANSWERS: dict[str, Odd] = {
    "100 before": around(CONTINUE),
    "103 before": around(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
    "both before": around(CONTINUE + b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "connection: close": also(b"connection: close"),
    "HTTP/1.0": instead(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0 kept": lambda order: also(b"connection: keep-alive")(order).replace(b"1.1", b"1.0", 1),
    "two answers": around(after=whole(POISON)),
    "bytes after the answer": around(after=b"x"),
    "a line end after the answer": around(after=b"\r\n"),
    "unknown members": reply(b'"extra": [1], "result": {"content": [{"type": "text", "text": "TOKEN"}], "x": {}}'),
    "no result type": reply(b'"result": {"content": [{"type": "text", "text": "TOKEN"}]}'),
    "blanks after the JSON": body(lambda said: said + b" \r\n\t\n"),
    "blanks before the JSON": body(lambda said: b"\n  " + said),
    "identity declared": also(b"content-encoding: identity"),
    "JSON in UTF-8 declared": instead(b"application/json", b"Application/JSON; charset=UTF-8"),
    "a chunk extension and a trailer": in_chunks(lambda said: b"%x;a=b\r\n%s\r\n0\r\nx: y\r\n\r\n" % (len(said), said)),
    "others' replies on a stream": and_the_end(
        in_events(event(POISON), event(POISON.replace(b": 1,", b': "1",')), its_own)
    ),
    "two results on a stream": and_the_end(in_events(its_own, lambda order: event(order.body("poison")))),
    "a stream with empty events": and_the_end(in_events(b": hi\n\nid: 1\ndata:\n\n", its_own)),
    "a stream after a BOM": and_the_end(in_events(lambda order: b"\xef\xbb\xbf" + its_own(order))),
}

ENDING_CONNECTIONS = frozenset({"connection: close", "HTTP/1.0", "two answers", "bytes after the answer"})
"""Those right answers after which the gateway closes the connection; after the others it keeps it."""

INVALID_ANSWERS: dict[str, Odd] = {
    "length too short": lambda order: head(len(order.body()) - 9) + order.body(),
    "length twice": lambda order: whole(order.body(), b"content-length: %d" % len(order.body())),
    "two lengths": also(b"content-length: 5"),
    "length and chunks": and_the_end(in_chunks(chunk, b"content-length: 5")),
    "length -1": lambda order: HEAD + JSON_TYPE + b"content-length: -1\r\n\r\n" + order.body(),
    "length of twenty digits": just(HEAD + JSON_TYPE + b"content-length: 99999999999999999999\r\n\r\n{}"),
    "folded header": also(b"x: a\r\n b"),
    "LF only": lambda order: order.plain()[1].replace(b"\r\n", b"\n"),
    "NUL in a header": also(b"x: a\0b"),
    "too many headers": also(*[b"x: y"] * 101),
    "too long a header": also(b"x: " + b"y" * 40_000),
    "no HTTP": Order.body,
    "101": status(b"101 Switching Protocols", b"upgrade: websocket", b"connection: upgrade"),
    "interim answers without end": around(CONTINUE * 9),
    "chunk size 0x5": and_the_end(in_chunks(lambda said: b"0x5\r\nhello\r\n")),
    "chunk size -5": and_the_end(in_chunks(lambda said: b"-5\r\nhello\r\n")),
    "chunk longer than said": and_the_end(in_chunks(lambda said: b"5\r\nhello!\r\n")),
    "coding gzip": just(HEAD + JSON_TYPE + b"transfer-encoding: gzip, chunked\r\n\r\n" + LAST_CHUNK),
    "gzip declared": body(gzip.compress, b"content-encoding: gzip"),
    "gzip declared, not done": also(b"content-encoding: gzip"),
    "gzip not declared": body(gzip.compress),
    "another id": with_id(lambda own: b"1"),
    "the next id": with_id(lambda own: b"%d" % (own + 1)),
    "id as text": with_id(lambda own: b'"%d"' % own),
    "id as a fraction": with_id(lambda own: b"%d.0" % own),
    "id true": with_id(lambda own: b"true"),
    "id null": with_id(lambda own: b"null"),
    "no id": body(lambda said: b'{"jsonrpc": "2.0", ' + said[said.index(b'"result"') :]),
    "error for nobody": just(whole(b'{"jsonrpc": "2.0", "id": null, "error": {"code": -1, "message": "x"}}')),
    "result and error": reply(b'"result": {}, "error": {"code": -1, "message": "x"}'),
    "neither": reply(b'"x": 1'),
    "result no object": reply(b'"result": [1]'),
    "error no object": reply(b'"error": "x"'),
    "error without a code": reply(b'"error": {"message": "x"}'),
    "a request": reply(b'"method": "ping"'),
    "no version": body(lambda said: said.replace(b'"jsonrpc": "2.0", ', b"", 1)),
    "duplicate members": body(lambda said: said.replace(b'"id"', b'"id": 7, "id"', 1)),
    "duplicate members inside": result(b'1, "a": 2'),
    "NaN": result(b"NaN"),
    "1e999": result(b"1e999"),
    "nested 100 deep": nested(100),
    "nested 100,000 deep": nested(100_000),
    "lone surrogate": result(b'"\\ud800"'),
    "no UTF-8": result(b'"\xff"'),
    "BOM": body(lambda said: b"\xef\xbb\xbf" + said),
    "UTF-16": body(lambda said: said.decode().encode("utf-16")),
    "two objects": body(lambda said: said + said),
    "array": body(lambda said: b"[" + said + b"]"),
    "half a JSON": body(lambda said: said[:-3]),
    "comma at the end": body(lambda said: said[:-1] + b",}"),
    "empty": body(lambda said: b""),
    "blanks": body(lambda said: b"  \n"),
    "null": body(lambda said: b"null"),
    "HTML": instead(b"application/json", b"text/html"),
    "no content type": instead(JSON_TYPE, b""),
    "202": just(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"),
    "202 with a reply": status(b"202 Accepted"),
    "204": just(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "204 with a body": lambda order: b"HTTP/1.1 204 No Content\r\n" + JSON_TYPE + b"\r\n" + order.body(),
    "205": just(b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"),
    "206": status(b"206 Partial Content"),
    "304": just(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "302": status(b"302 Found", b"location: /elsewhere"),
    "nonsense on a stream": and_the_end(in_events(event(b"{nonsense"), its_own)),
    "a bad chunk on a stream": lambda order: in_events(event(b""))(order) + b"zz\r\n",
}

INVALID_RESULT_TYPES: dict[str, Odd] = {
    "input required without a question": reply(b'"result": {"resultType": "input_required"}'),
    "input required of who cannot": reply(
        b'"result": {"resultType": "input_required", "inputRequests": %s}' % QUESTION
    ),
    "an unknown result type": reply(b'"result": {"resultType": "later", "content": []}'),
    "a task nobody asked for": reply(b'"result": {"resultType": "task", "taskId": "1"}'),
}

MUCH = b'"%s"' % (b"x" * 400_000)
LARGE_ANSWERS: dict[str, tuple[Odd, str]] = {
    "large": (reply(b'"result": {"content": [{"type": "text", "text": "TOKEN"}], "a": %s}' % MUCH), RIGHT),
    "large, blanks between": (
        reply(b'"result" : { "content" : [ {"type": "text", "text": "TOKEN"} ], "a" : %s }' % MUCH),
        RIGHT,
    ),
    "large, another id": (with_id(lambda own: b'1, "more": %s' % MUCH), INVALID),
    "large, id as text": (with_id(lambda own: b'"%d", "more": %s' % (own, MUCH)), INVALID),
    "large, a second id behind": (reply(b'"result": {"content": [], "a": %s}, "id": 1' % MUCH), INVALID),
    "large, a second result": (reply(b'"result": {"content": [], "a": %s}, "result": {"content": []}' % MUCH), INVALID),
    "large, an error as well": (reply(b'"result": {"a": %s}, "error": {"code": 1, "message": "x"}' % MUCH), INVALID),
    "large, duplicate members": (result(b'%s, "b": 1, "b": 2' % MUCH), INVALID),
    "large, NaN": (result(b'%s, "b": NaN' % MUCH), INVALID),
    "large, 1e999": (result(b'%s, "b": 1e999' % MUCH), INVALID),
    "large, lone surrogate": (result(b'%s, "b": "\\ud800"' % MUCH), INVALID),
    "large, no UTF-8": (result(b'%s, "b": "\xff"' % MUCH), INVALID),
    "large, nested": (result(b"[%s]" % MUCH + b', "b": ' + b"[" * 100 + b"]" * 100), INVALID),
    "large, half": (body(lambda said: said[:-2] + b', "a": %s' % MUCH), INVALID),
    "large, two objects": (body(lambda said: said + b'{"a": %s}' % MUCH), INVALID),
    "large, a type not negotiated": (reply(b'"result": {"a": %s, "resultType": "later"}' % MUCH), INVALID),
    "large, a result type twice": (
        reply(b'"result": {"resultType": "complete", "a": %s, "resultType": "task"}' % MUCH),
        INVALID,
    ),
    "large, its own error": (reply(b'"error": {"code": 7, "message": %s}' % MUCH), "!7"),
}

OTHER_ANSWERS: dict[str, tuple[Odd, str]] = {
    "its own error": (reply(b'"error": {"code": 7, "message": "sold out"}'), "!7"),
    "its own error under 500": (
        lambda order: reply(b'"error": {"code": 7, "message": "x"}')(order).replace(b"200 OK", b"500 X", 1),
        "!7",
    ),
    "401": (status(b"401 Unauthorized"), "!upstream_refused"),
    "403": (status(b"403 Forbidden"), "!upstream_refused"),
    "429": (status(b"429 Too Many Requests", b"retry-after: 7"), "!upstream_busy"),
    "500": (just(whole(b"").replace(b"200 OK", b"500 X", 1)), "!upstream_failed"),
    "503": (status(b"503 Unavailable"), "!upstream_busy"),
    "a stream without a result": (and_the_end(in_events()), INCOMPLETE),
    "a stream that ends in an event": (
        and_the_end(in_events(lambda order: b"data: " + order.body() + b"\n")),
        INCOMPLETE,
    ),
}

ENDINGS: dict[str, tuple[Odd, How, str]] = {
    "the whole answer": (around(), "fin", RIGHT),
    "a body without length": (lambda order: HEAD + JSON_TYPE + b"\r\n" + order.body(), "fin", RIGHT),
    "the same in HTTP/1.0": (
        lambda order: HEAD.replace(b"1.1", b"1.0") + JSON_TYPE + b"\r\n" + order.body(),
        "fin",
        RIGHT,
    ),
    "a stream without chunks": (lambda order: SSE + b"\r\n" + its_own(order), "fin", RIGHT),
    "a stream whose end is missing": (in_events(its_own), "fin", RIGHT),
    "half a body without length": (
        lambda order: HEAD + JSON_TYPE + b"\r\n" + order.body()[:-3],
        "fin",
        INVALID,
    ),
    "a body without length, and a reset": (
        lambda order: HEAD + JSON_TYPE + b"\r\n" + order.body(),
        "reset",
        INCOMPLETE,
    ),
    "a length too long": (lambda order: head(len(order.body()) + 1) + order.body(), "fin", INCOMPLETE),
    "chunks without the last": (in_chunks(chunk), "fin", INCOMPLETE),
    "half an event": (in_events(lambda order: its_own(order)[:-1]), "fin", INCOMPLETE),
    "an interim answer": (just(CONTINUE), "fin", INCOMPLETE),
    "a head": (just(head(100)), "reset", INCOMPLETE),
    "nothing": (just(b""), "fin", INCOMPLETE),
}

SILENCES: dict[str, Odd] = {
    "nothing": just(b""),
    "half a head": just(HEAD),
    "a head": just(head(100)),
    "a length too long": lambda order: head(len(order.body()) + 1) + order.body(),
    "a body without length": lambda order: HEAD + JSON_TYPE + b"\r\n" + order.body(),
    "chunks without the last": in_chunks(chunk),
    "a stream without a result": in_events(b": hello\n\n"),
    "interim answers": just(CONTINUE * 3),
}

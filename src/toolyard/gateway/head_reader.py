"""Reading one whole request head: counts, then the grammar by httptools, then the fields.

A client sends most lines of its heads again and again. Each connection remembers what its last lines meant, so that a
line is decoded once; every head is judged whole by httptools all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httptools

from toolyard.gateway.framing import WireLimits
from toolyard.gateway.refusals import (
    HeadersTooLarge,
    RequestMalformed,
    TargetTooLong,
    TransferCodingUnsupported,
    VersionUnsupported,
)

_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_DIGITS = re.compile(r"[0-9]{1,18}")
_NONE_REPEATED: frozenset[str] = frozenset()
_MAX_REMEMBERED = 32
_MAX_REMEMBERED_BYTES = 200


@dataclass(slots=True)
class RequestHead:
    """A head whose grammar holds. `length` is the body's announced length, None when it is chunked."""

    method: str
    target: str
    http11: bool
    headers: dict[str, str]
    repeated: frozenset[str]
    length: int | None
    keep_alive: bool


class _NoCallbacks:
    """httptools only judges here."""

    __slots__ = ()


_JUDGE = _NoCallbacks()


class HeadReader:
    """Reads the heads of one connection."""

    __slots__ = ("_first", "_known", "_limits", "_opening")

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._first = b""
        self._opening = ("", "", False)
        self._known: dict[bytes, tuple[str, str]] = {}

    def read(self, raw: bytes) -> RequestHead:
        """The head in `raw`, which ends with its empty line (RFC 9112 sections 2 to 6). Raises a WireRefusal."""
        first, *lines, _, _ = raw.split(b"\r\n")
        if first != self._first:
            self._opening = self._read_first(first)
            self._first = first
        method, target, http11 = self._opening
        self._check_counts(raw, lines)
        try:
            httptools.HttpRequestParser(_JUDGE).feed_data(raw)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            raise RequestMalformed from None
        headers, repeated = self._read_fields(lines)
        return RequestHead(
            method,
            target,
            http11,
            headers,
            repeated,
            _body_length(headers, repeated, http11=http11),
            http11 and ("connection" not in headers or "close" not in headers["connection"].lower()),
        )

    def forget(self) -> None:
        """Remember no lines any more."""
        self._first = b""
        self._known = {}

    def _read_first(self, line: bytes) -> tuple[str, str, bool]:
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            raise RequestMalformed
        if match[3] != b"1":
            raise VersionUnsupported
        if len(match[2]) > self._limits.target_bytes:
            raise TargetTooLong
        return match[1].decode(), match[2].decode(), match[4] != b"0"

    def _check_counts(self, raw: bytes, lines: list[bytes]) -> None:
        limits = self._limits
        if raw.count(b"\n") != len(lines) + 2:
            raise RequestMalformed
        if len(lines) > limits.fields:
            raise HeadersTooLarge
        if len(raw) > limits.field_bytes and any(len(line) > limits.field_bytes for line in lines):
            raise HeadersTooLarge

    def _read_fields(self, lines: list[bytes]) -> tuple[dict[str, str], frozenset[str]]:
        """Names with an underscore are dropped: they are never equal to the `-` form."""
        headers: dict[str, str] = {}
        repeated: set[str] | None = None
        for line in lines:
            name, value = self._known.get(line) or self._read_field(line)
            if name in headers:
                repeated = repeated or set()
                repeated.add(name)
                value = f"{headers[name]}, {value}"
            headers[name] = value
        headers.pop("", None)
        return headers, frozenset(repeated) - {""} if repeated else _NONE_REPEATED

    def _read_field(self, line: bytes) -> tuple[str, str]:
        name, _, value = line.decode("latin-1").partition(":")
        field = ("" if "_" in name else name.lower(), value.strip(" \t"))
        if len(line) <= _MAX_REMEMBERED_BYTES:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[line] = field
        return field


def _body_length(headers: dict[str, str], repeated: frozenset[str], *, http11: bool) -> int | None:
    length = headers.get("content-length")
    if "transfer-encoding" in headers:
        if not http11 or length is not None or "transfer-encoding" in repeated:
            raise RequestMalformed
        if headers["transfer-encoding"].lower() != "chunked":
            raise TransferCodingUnsupported
        return None
    if length is None:
        return 0
    if not _DIGITS.fullmatch(length):
        raise RequestMalformed
    return int(length)

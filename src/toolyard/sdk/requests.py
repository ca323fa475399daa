"""Requests made of operations and arguments, and answers read. No I/O: both clients share it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from toolyard import __version__
from toolyard.sdk.errors import AnswerUnreadable, error_of
from toolyard.sdk.operations import OPERATIONS
from toolyard.sdk.shape import Operation

ORGANIZATION: Final = "toolyard-organization"
OPERATOR: Final = "toolyard-operator"
REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})
PASSING: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be sent: its name and its content."""

    name: str
    content: bytes
    media_type: str = "application/octet-stream"

    @classmethod
    def of(cls, path: Path) -> Upload:
        """The file at a path."""
        return cls(path.name, path.read_bytes())


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, ready to be sent by either client. `repeatable`: sending it twice does no harm."""

    operation: Operation
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    upload: Upload | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its value (of JSON, a text, bytes, or None), its headers."""

    status: int
    value: Any
    headers: Mapping[str, str]

    @property
    def etag(self) -> str | None:
        """What to give as `if_match` with a change of what was read."""
        return self.headers.get("etag")


def wanted(
    operation_id: str,
    *,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, Any] | None = None,
    body: Any = None,
    file: Upload | None = None,
    if_match: str | None = None,
    idempotency_key: str | None = None,
) -> Wanted:
    """The request for an operation. A creation without an idempotency key gets one, so that it can be repeated."""
    operation = OPERATIONS[operation_id]
    headers = {"accept": "*/*", "user-agent": f"toolyard/{__version__}"}
    if if_match is not None:
        headers["if-match"] = if_match
    if operation.keyed:
        headers["idempotency-key"] = idempotency_key or secrets.token_urlsafe(18)
    content, form = None, {}
    if operation.upload:
        form = {name: str(value) for name, value in (body or {}).items() if value is not None}
    elif operation.body is not None and body is not None:
        content = json.dumps(body, ensure_ascii=False).encode()
        headers["content-type"] = "application/json"
    return Wanted(
        operation,
        operation.method,
        _filled(operation, path or {}),
        _pairs(query or {}),
        headers,
        content,
        file,
        form,
        operation.method in REPEATABLE or operation.keyed,
    )


def _filled(operation: Operation, given: Mapping[str, str]) -> str:
    path = operation.path
    for name in operation.path_fields:
        path = path.replace(f"{{{name}}}", quote(str(given[name]), safe=""))
    return path


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for name, value in query.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                pairs.append((name, str(one).lower() if isinstance(one, bool) else str(one)))
    return pairs


def reply_of(request: Wanted, status: int, headers: Mapping[str, str], content: bytes) -> Reply:
    """An answer as it came. Raises ApiError, AnswerUnreadable."""
    if request.operation.download and status < 300:
        return Reply(status, content, headers)
    value = _value(headers.get("content-type", ""), content)
    if status >= 400:
        raise error_of(status, value)
    if not 200 <= status < 300:
        raise AnswerUnreadable(f"there is no management API at this address: it answered with HTTP {status}")
    return Reply(status, value, headers)


def _value(kind: str, content: bytes) -> Any:
    kind = kind.partition(";")[0].strip().lower()
    if not content:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(content)
        except ValueError:
            raise AnswerUnreadable("the answer is no JSON, although it says so") from None
    return content.decode("utf-8", "replace") if kind.startswith("text/") else content


def wait_s(request: Wanted, status: int, headers: Mapping[str, str], longest_s: float) -> float | None:
    """How long to wait before sending a refused request again, or None if it is not to be sent again."""
    if status not in PASSING or not request.repeatable:
        return None
    told = headers.get("retry-after", "")
    return float(told) if told.isdigit() and float(told) <= longest_s else None

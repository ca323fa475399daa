"""Entries of other programs' files as upstreams to be registered. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from toolyard.control.base.errors import Invalid
from toolyard.control.upstreams.schema import NewUpstream
from toolyard.kit.quantities import seconds

_VARIABLE: Final = re.compile(r"\$\{(?:input:|env:)?([A-Za-z_][A-Za-z0-9_.-]*)(?::-?([^}]*))?\}")
_KINDS: Final[Mapping[str, str]] = {"sse": "mcp-sse", "websocket": "websocket"}


def new_upstream(name: str, fields: Mapping[str, Any], values: Mapping[str, str]) -> NewUpstream:
    """An upstream with these fields (`sources.clients.upstream_fields`). `values`: what variables and inputs in them
    stand for; nothing is taken from the environment here. Raises Invalid."""
    filled = _filled(dict(fields), values)
    said: dict[str, Any] = {"name": name}
    if filled.get("command"):
        said["command"] = [str(filled["command"]), *map(str, _list(filled.get("args")))]
    for one in ("url", "headers", "env", "cwd", "enabled", "description"):
        if one in filled:
            said[one] = filled[one]
    kind = _KINDS.get(str(filled.get("transport", "")))
    if kind:
        said["kind"] = kind
    if "timeout" in filled:
        said["timeout_s"] = _seconds(str(filled["timeout"]))
    if not said.get("url") and not said.get("command"):
        raise Invalid("names neither a url nor a command")
    try:
        return NewUpstream.model_validate(_as_text(said))
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _value(found, values), value)
    if isinstance(value, Mapping):
        return {str(name): _filled(item, values) for name, item in value.items()}
    return [_filled(item, values) for item in value] if isinstance(value, list) else value


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(found[1], found[2])
    if value is None:
        raise Invalid(f"the value of '{found[1]}' is not known: give it in `values`")
    return value


def _as_text(said: dict[str, Any]) -> dict[str, Any]:
    """Numbers and switches among headers and variables, as clients write them, are texts."""
    for name in ("headers", "env"):
        if isinstance(said.get(name), Mapping):
            said[name] = {key: _text(item) for key, item in said[name].items()}
    return said


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise Invalid(f"timeout: {error}") from None

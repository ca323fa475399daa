"""Errors on their way between workers: the same class, text and context at both ends."""

from __future__ import annotations

from typing import Any

import msgspec

from toolyard.gateway.call import Suspended
from toolyard.kit.errors import PlatformError

_PLAIN = (str, int, float, bool, bytes, type(None), dict, list, tuple)
_known: dict[str, type[PlatformError]] = {}


def carried(error: BaseException) -> Any:
    """An error as plain values; None for one that is no platform error and no Suspended."""
    if isinstance(error, Suspended):
        return {"suspended": [dict(error.requests), error.state]}
    if not isinstance(error, PlatformError):
        return None
    names = [_name(cls) for cls in type(error).__mro__ if issubclass(cls, PlatformError)]
    values = {name: value for name, value in vars(error).items() if isinstance(value, _PLAIN)}
    values["context"] = {name: value for name, value in error.context.items() if isinstance(value, _PLAIN)}
    try:
        msgspec.msgpack.encode(values)
    except (TypeError, ValueError, OverflowError):
        values = {"message": error.message, "context": {}}
    return {"error": names, "values": values}


def restored(content: Any) -> BaseException:
    """The error that was carried. A class that is not loaded here is stood in for by the nearest one that is."""
    if "suspended" in content:
        requests, state = content["suspended"]
        return Suspended(requests, state)
    cls = next(found for name in content["error"] if (found := _class(name)) is not None)
    error = cls.__new__(cls)
    error.args = (content["values"]["message"],)
    vars(error).update(content["values"])
    return error


def _class(name: str) -> type[PlatformError] | None:
    if name not in _known:
        _known.update({_name(cls): cls for cls in _all(PlatformError)})
    return _known.get(name)


def _all(cls: type[PlatformError]) -> list[type[PlatformError]]:
    return [cls, *(found for below in cls.__subclasses__() for found in _all(below))]


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"

"""Every setting and switch that can be changed while everything runs. What is not here does not exist.

A key that ends with a dot stands for a family: any name may follow it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from toolyard.control.settings.errors import SettingUnknown, SettingValueRefused

Kind = Literal["switch", "seconds", "value"]
MAX_KEY: Final = 200
MAX_VALUE_BYTES: Final = 16 * 1024
MAX_SECONDS: Final = 600.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TOOL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}/[^\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Known:
    """One setting, or a family of them. `of_platform`: only the platform as a whole has it."""

    key: str
    kind: Kind
    about: str
    default: Any = None
    of_platform: bool = False

    @property
    def is_family(self) -> bool:
        return self.key.endswith(".")


KNOWN: Final = (
    Known("registration", "switch", "People may register themselves.", default=False, of_platform=True),
    Known(
        "reveal_keys",
        "switch",
        "API keys that are made from now on can be shown again, to who has just proved their password.",
        default=False,
        of_platform=True,
    ),
    Known("discovery", "switch", "MCP servers may be looked for on given hosts.", default=True),
    Known(
        "default_timeout_seconds",
        "seconds",
        "Time for a call where neither the upstream nor the tool says anything else.",
        default=15.0,
    ),
    Known("service.", "switch", "A feature of your own, by its name: off until somebody turns it on.", default=False),
    Known("tool.", "switch", "A tool, as upstream/tool: turned off, no virtual server offers it.", default=True),
    Known("own.", "value", "A value that your own programs keep here."),
)
_SINGLE: Final[Mapping[str, Known]] = {one.key: one for one in KNOWN if not one.is_family}


def known(key: str) -> Known:
    """What is known of a key. Raises SettingUnknown."""
    found = _SINGLE.get(key)
    if found is not None:
        return found
    for one in KNOWN:
        name = key.removeprefix(one.key)
        grammar = _TOOL if one.key == "tool." else _NAME
        if one.is_family and name != key and len(key) <= MAX_KEY and grammar.fullmatch(name):
            return one
    raise SettingUnknown(f"there is no setting '{key[:MAX_KEY]}': there are {', '.join(_shown())}")


def checked(one: Known, value: Any) -> Any:
    """A value for a setting, as it is kept. Raises SettingValueRefused."""
    if one.kind == "switch" and not isinstance(value, bool):
        raise SettingValueRefused("a switch is true or false")
    if one.kind == "seconds":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SECONDS:
            raise SettingValueRefused(f"this is a number of seconds, more than 0 and at most {MAX_SECONDS:g}")
        return float(value)
    if one.kind == "value" and len(json.dumps(value)) > MAX_VALUE_BYTES:
        raise SettingValueRefused(f"a value has at most {MAX_VALUE_BYTES} bytes")
    return value


def _shown() -> list[str]:
    return [f"{one.key}NAME" if one.is_family else one.key for one in KNOWN]

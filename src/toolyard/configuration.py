"""The settings by their dotted names, for code and scripts that ask by name: `Configuration(path).get("database.url")`.

The parts of the program itself do not: each is given its section of `Settings`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from toolyard.gateway.feed.file import find_config, load_settings
from toolyard.kit.errors import PlatformError
from toolyard.settings import SETTINGS, Settings

_SETTINGS: Final = {setting.key: setting for setting in SETTINGS}


class SettingUnknown(PlatformError):
    """There is no setting of that name."""

    code = "setting_unknown"
    status = 404


class Configuration:
    """The settings of a file and an environment. What was in force stays in force when something new is not valid."""

    def __init__(self, path: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        """`path`: the file, else the one of the current directory if there is one; `environ`: this process's, if
        nothing else is said. Raises ConfigRejected, naming file, line and key of everything that is wrong."""
        here = Path.cwd()
        self._path = path or find_config(here) or here / "toolyard.yaml"
        self._environ = dict(os.environ if environ is None else environ)
        self.settings: Settings = load_settings(self._path, self._environ)

    def get(self, key: str) -> Any:
        """The value of a setting; what is secret comes as a value that does not show it. Raises SettingUnknown."""
        setting = _SETTINGS.get(key)
        if setting is None:
            near = difflib.get_close_matches(key, _SETTINGS, n=1, cutoff=0.6)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise SettingUnknown(f"there is no setting '{key}'{hint}", key=key)
        return getattr(getattr(self.settings, setting.section), setting.field)

    def set_env_override(self, name: str, value: str | None) -> None:
        """Have everything read as if the environment variable `name` were `value`, or were not set if it is None; the
        process's own environment stays as it is. Raises ConfigRejected, and then nothing is changed."""
        environ = {key: text for key, text in self._environ.items() if key != name}
        if value is not None:
            environ[name] = value
        self.settings, self._environ = load_settings(self._path, environ), environ

"""What can go wrong with settings."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Conflict, Forbidden, Invalid, NotFound


class SettingUnknown(NotFound):
    """There is no setting of that name."""

    code: ClassVar[str] = "setting_unknown"


class SettingValueRefused(Invalid):
    """A setting cannot have that value."""

    code: ClassVar[str] = "setting_value_refused"


class SettingOfPlatform(Forbidden):
    """This setting is the same for all organizations: it is changed under /api/v1/platform/settings."""

    code: ClassVar[str] = "setting_of_platform"


class TooManySettings(Conflict):
    """There is no room for more settings."""

    code: ClassVar[str] = "too_many_settings"

"""What settings are, and how they change.

Rules. What an organization says of a setting stands before what the platform says, and that before the default. A
switch that the platform turned off is off, whatever an organization says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from toolyard.control.base.etags import check_match
from toolyard.control.base.work import Work
from toolyard.control.settings import known as table
from toolyard.control.settings.errors import SettingOfPlatform
from toolyard.control.settings.events import SettingChanged, SettingReset
from toolyard.control.settings.model import SettingRow
from toolyard.control.settings.schema import Setting
from toolyard.control.settings.store import (
    AnySetting,
    Level,
    SettingStore,
    off_everywhere,
    said_everywhere,
    tool_is_offered,
)

SERVICE: Final = "service."
TOOL: Final = "tool."
TIMEOUT: Final = "default_timeout_seconds"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class RunTimeSettings:
    """The settings. `configured`: defaults that the configuration file or the environment says instead of ours."""

    def __init__(self, configured: Mapping[str, Any] = _NOTHING) -> None:
        self._configured = configured

    async def value(self, work: Work, key: str) -> Any:
        """The value that holds for the organization of the work. Raises SettingUnknown."""
        return (await self.read(work, [key]))[0].value

    async def is_on(self, work: Work, key: str) -> bool:
        """Whether a switch is on. Raises SettingUnknown."""
        return await self.value(work, key) is True

    async def is_service_enabled(self, work: Work, service: str) -> bool:
        """Whether an administrator switched a feature on. Raises SettingUnknown for what cannot be a name."""
        return await self.is_on(work, SERVICE + service)

    async def is_tool_available(self, work: Work, tool: str) -> bool:
        """Whether a tool, as upstream/tool, is there and on. Raises SettingUnknown for what cannot be a tool."""
        if not await self.is_on(work, TOOL + tool):
            return False
        upstream, _, name = tool.partition("/")
        return await tool_is_offered(work, upstream, name)

    async def default_timeout_s(self, work: Work) -> float:
        """Time for a call where nothing else is said."""
        return float(await self.value(work, TIMEOUT))

    async def read(self, work: Work, keys: Iterable[str] | None = None, level: Level = "organization") -> list[Setting]:
        """Settings as they are: those of some keys, or all that are known or were changed. Raises SettingUnknown."""
        given = list(keys) if keys is not None else None
        for key in given or ():
            table.known(key)
        ofplatform = await SettingStore(work, "platform").every(given)
        own = await SettingStore(work, "organization").every(given) if level == "organization" else {}
        shown = given if given is not None else _all_keys([*own, *ofplatform])
        return [self._setting(key, own.get(key), ofplatform.get(key)) for key in shown]

    async def put(
        self, work: Work, level: Level, values: Mapping[str, Any], if_match: str | None = None
    ) -> list[Setting]:
        """Give settings these values: all of them or none. Raises SettingUnknown, SettingValueRefused,
        SettingOfPlatform, TooManySettings, VersionOutdated."""
        store = SettingStore(work, level)
        before = await store.every(values)
        for key, value in values.items():
            kept = table.checked(_changeable(key, level), value)
            check_match(before.get(key) or _unchanged(), if_match)
            if key not in before or before[key].value["value"] != kept:
                await store.put(key, kept, before.get(key))
                work.announce(SettingChanged(key, level))
        return await self.read(work, values, level)

    async def reset(
        self, work: Work, level: Level, keys: Iterable[str] | None = None, if_match: str | None = None
    ) -> list[Setting]:
        """Let settings have their defaults again. Raises SettingUnknown, SettingOfPlatform, VersionOutdated."""
        store = SettingStore(work, level)
        wanted = list(keys) if keys is not None else None
        before = await store.every(wanted)
        for key in wanted if wanted is not None else list(before):
            _changeable(key, level)
            check_match(before.get(key) or _unchanged(), if_match)
            if key in before:
                await store.remove(before[key])
                work.announce(SettingReset(key, level))
        return await self.read(work, wanted if wanted is not None else list(before), level)

    async def export(self, work: Work, level: Level) -> dict[str, Any]:
        """The values that were changed."""
        return {key: row.value["value"] for key, row in (await SettingStore(work, level).every()).items()}

    async def version(self, work: Work, level: Level, key: str) -> AnySetting:
        """What a setting's ETag is made of."""
        return (await SettingStore(work, level).every([key])).get(key) or _unchanged()

    def _setting(self, key: str, own: AnySetting | None, ofplatform: AnySetting | None) -> Setting:
        one = table.known(key)
        default = self._configured.get(key, one.default)
        said = None if one.of_platform else own
        if ofplatform is not None and one.kind == "switch" and ofplatform.value["value"] is False:
            said = None
        row = said or ofplatform
        return Setting(
            key=key,
            value=row.value["value"] if row else default,
            default=default,
            source="organization" if said else ("platform" if ofplatform else "default"),
            kind=one.kind,
            about=one.about,
            of_platform=one.of_platform,
            changed_at=row.updated_at if row else None,
            changed_by=row.changed_by if row else None,
            effective_immediately=True,
        )


async def default_timeouts(work: Work) -> Callable[[str], float]:
    """Time for a call where nothing else is said, by the ids of organizations. For the publisher."""
    everybody, own = await said_everywhere(work, TIMEOUT)
    default = float(table.known(TIMEOUT).default if everybody is None else everybody)
    return lambda organization_id: float(own.get(organization_id, default))


async def tools_switched_off(work: Work) -> dict[str | None, frozenset[str]]:
    """Tools, as upstream/tool, that are switched off, by organization; under None for all. For the publisher."""
    found: dict[str | None, set[str]] = {}
    for organization, tool in await off_everywhere(work, TOOL):
        found.setdefault(organization, set()).add(tool)
    return {organization: frozenset(tools) for organization, tools in found.items()}


def _changeable(key: str, level: Level) -> table.Known:
    one = table.known(key)
    if one.of_platform and level == "organization":
        raise SettingOfPlatform
    return one


def _unchanged() -> AnySetting:
    return SettingRow(version=0)


def _all_keys(changed: Iterable[str]) -> list[str]:
    single = [one.key for one in table.KNOWN if not one.is_family]
    return [*single, *sorted(set(changed) - set(single))]

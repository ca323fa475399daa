"""Settings over HTTP: the same routes for an organization and for the platform."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Response

from toolyard.control.base.bulk import each
from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import Listed
from toolyard.control.settings.schema import (
    Batch,
    BatchResult,
    Changed,
    Exported,
    Import,
    NewValue,
    Operation,
    ResetWanted,
    Setting,
    SwitchState,
    Values,
)
from toolyard.control.settings.service import SERVICE, TOOL, RunTimeSettings
from toolyard.control.settings.store import Level

KEY = "/{key:path}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the routes of one level are, and who may use them."""

    level: Level
    path: str
    name: str
    read: str
    write: str


PLACES = (
    Place("organization", "/settings", "settings", "settings.read", "settings.write"),
    Place("platform", "/platform/settings", "platform_settings", "platform.settings", "platform.settings"),
)


def settings_slice(settings: RunTimeSettings) -> Slice:
    """Routes for the settings of organizations and of the platform, and for asking whether something is on."""
    one = Slice("settings")

    @one.get("/switches" + KEY, action="self", operation_id="switches_get")
    async def switch(work: WorkParam, key: str) -> SwitchState:
        """Ask whether something is on.

        `service.NAME` is a feature of your own, `tool.UPSTREAM/TOOL` a tool: that has to be there, too."""
        if key.startswith(TOOL):
            return SwitchState(key=key, on=await settings.is_tool_available(work, key.removeprefix(TOOL)))
        if key.startswith(SERVICE):
            return SwitchState(key=key, on=await settings.is_service_enabled(work, key.removeprefix(SERVICE)))
        return SwitchState(key=key, on=await settings.is_on(work, key))

    for place in PLACES:
        _whole(one, settings, place)
        _several(one, settings, place)
        _single(one, settings, place)
    return one


def _whole(one: Slice, settings: RunTimeSettings, place: Place) -> None:
    """The routes about all settings of a level."""
    path, name, level = place.path, place.name, place.level

    @one.get(path, action=place.read, operation_id=f"{name}_list")
    async def every(work: WorkParam) -> Listed[Setting]:
        """List all settings and switches with their values."""
        return Listed(items=await settings.read(work, None, level), next_cursor=None)

    @one.patch(path, action=place.write, operation_id=f"{name}_update")
    async def change(work: WorkParam, values: Values) -> Changed:
        """Change several settings: all of them, or none."""
        return _changed(await settings.put(work, level, values))

    @one.post(path + "/reset", action=place.write, operation_id=f"{name}_reset")
    async def reset(work: WorkParam, wanted: ResetWanted) -> Changed:
        """Give settings their defaults again."""
        return _changed(await settings.reset(work, level, wanted.keys))


def _several(one: Slice, settings: RunTimeSettings, place: Place) -> None:
    """The routes that change several settings, each by itself."""
    path, name, level = place.path, place.name, place.level

    @one.post(path + "/batch", action=place.write, operation_id=f"{name}_batch")
    async def batch(work: WorkParam, wanted: Batch) -> BatchResult:
        """Change and reset several settings, each with its own result."""
        return await _each(work, wanted.operations)

    @one.get(path + "/export", action=place.read, operation_id=f"{name}_export")
    async def export(work: WorkParam) -> Exported:
        """Export what was changed."""
        return Exported(settings=await settings.export(work, level))

    @one.post(path + "/import", action=place.write, operation_id=f"{name}_import")
    async def take_in(work: WorkParam, wanted: Import) -> BatchResult:
        """Import settings from an export, each with its own result."""
        operations = [Operation(key=key, value=value) for key, value in wanted.settings.items()]
        if wanted.replace:
            others = sorted(set(await settings.export(work, level)) - set(wanted.settings))
            operations += [Operation(operation="reset", key=key) for key in others]
        return await _each(work, operations)

    async def _each(work: WorkParam, operations: list[Operation]) -> BatchResult:
        async def do(wanted: Operation) -> Setting:
            if wanted.operation == "reset":
                return (await settings.reset(work, level, [wanted.key]))[0]
            return (await settings.put(work, level, {wanted.key: wanted.value}))[0]

        done = await each(work, operations, do)
        good = [item.item for item in done.results if item.item is not None]
        return BatchResult(**done.model_dump(), effective_immediately=all(item.effective_immediately for item in good))


def _single(one: Slice, settings: RunTimeSettings, place: Place) -> None:
    """The routes about one setting of a level."""
    path, name, level = place.path + KEY, place.name, place.level

    @one.get(path, action=place.read, operation_id=f"{name}_get")
    async def get(work: WorkParam, key: str, response: Response) -> Setting:
        """Get a setting."""
        found = (await settings.read(work, [key], level))[0]
        tagged(response, await settings.version(work, level, key))
        return found

    @one.put(path, action=place.write, operation_id=f"{name}_set")
    async def put(work: WorkParam, key: str, wanted: NewValue, response: Response, if_match: IfMatch = None) -> Setting:
        """Give a setting a value."""
        found = (await settings.put(work, level, {key: wanted.value}, if_match))[0]
        tagged(response, await settings.version(work, level, key))
        return found

    @one.delete(path, action=place.write, operation_id=f"{name}_delete")
    async def remove(work: WorkParam, key: str, if_match: IfMatch = None) -> None:
        """Give a setting its default again."""
        await settings.reset(work, level, [key], if_match)


def _changed(found: list[Setting]) -> Changed:
    return Changed(settings=found, effective_immediately=all(one.effective_immediately for one in found))

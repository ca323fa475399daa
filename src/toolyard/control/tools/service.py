"""What people here say of tools, resources and prompts: on or off, how long, what for, whose.

They come from upstreams, so nobody creates one here; one that its upstream offers no more is kept with all that was
said of it until somebody has it forgotten, and is as it was when it comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from toolyard.contract.snapshot import ToolRule
from toolyard.contract.tags import MAX_TAGS, tag_problem
from toolyard.control.base.errors import Invalid, NotFound
from toolyard.control.base.etags import check_match
from toolyard.control.base.problems import FieldProblem
from toolyard.control.base.work import Work
from toolyard.control.tools.documentation import document
from toolyard.control.tools.errors import NoArguments, OwnerUnknown, ToolStillOffered
from toolyard.control.tools.events import ToolChanged, ToolForgotten
from toolyard.control.tools.model import DefinitionRow, ToolRow
from toolyard.control.tools.names import description_of, key_of, tags_in, tags_text
from toolyard.control.tools.store import Definitions, Tools, ruled
from toolyard.control.tools.validation import misfits
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.service import check_changeable

_PUBLISHED: Final = frozenset({"enabled", "timeout_s", "tags"})
"""What gateways go by; of an upstream in the configuration file they go by what is said there."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`longest_s`: the longest time that a call of a tool may be given."""

    longest_s: float = 600.0


async def change(
    work: Work, bounds: Bounds, tool_id: str, said: Mapping[str, Any], if_match: str | None = None
) -> ToolRow:
    """Change what is said of a tool. Raises NotFound, VersionOutdated, Invalid, OwnerUnknown, ReadOnlyHere."""
    tools = Tools(work)
    row = await tools.get(tool_id)
    check_match(row, if_match)
    columns = await _columns(tools, bounds, said)
    changed = sorted(name for name, value in columns.items() if getattr(row, name) != value)
    if not changed:
        return row
    if not _PUBLISHED.isdisjoint(changed):
        check_changeable(await tools.upstream_of(row))
    for name in changed:
        setattr(row, name, columns[name])
    await tools.changed(row)
    work.announce(ToolChanged(row.id, tuple(changed)))
    return row


async def forget(work: Work, tool_id: str, if_match: str | None = None) -> None:
    """Forget a tool that its upstream offers no more. Raises NotFound, VersionOutdated, ToolStillOffered."""
    tools = Tools(work)
    row = await tools.get(tool_id)
    check_match(row, if_match)
    if row.gone_at is None:
        raise ToolStillOffered
    work.announce(ToolForgotten(row.id, row.name))
    await tools.remove(row)


async def find(work: Work, upstream: str, kind: str, name: str) -> ToolRow:
    """The one that an upstream of that name calls so. Raises NotFound."""
    tools = Tools(work)
    upstream_id = await tools.upstream_named(upstream)
    row = await tools.find(ToolRow.upstream_id == upstream_id, ToolRow.key == key_of(kind, name))
    if row is None:
        raise NotFound(f"'{upstream}' offers no {kind} '{name[:200]}'")
    return row


async def check_arguments(work: Work, tool_id: str, arguments: Mapping[str, Any]) -> list[FieldProblem]:
    """What is wrong with arguments of a tool. Raises NotFound, NoArguments, SchemaUnusable."""
    row = await Tools(work).get(tool_id)
    if row.kind != "tool":
        raise NoArguments
    definition = await Definitions(work).of(row)
    schema = definition.content.get("inputSchema")
    return misfits(schema, arguments) if isinstance(schema, dict) else []


async def documentation(work: Work, tool_id: str) -> str:
    """What people read about a tool, as Markdown. Raises NotFound."""
    row = await Tools(work).get(tool_id)
    definition = await Definitions(work).of(row)
    names = await Tools(work).upstream_names([row.upstream_id])
    said = description_of(definition.content) or default_description(row, names.get(row.upstream_id, ""))
    return document(row.kind, row.name, said, definition.content)


async def definition(work: Work, row: ToolRow) -> DefinitionRow:
    """What its upstream said of it last. Raises NotFound."""
    return await Definitions(work).of(row)


def default_description(row: ToolRow, upstream: str) -> str:
    """What is said of something of which its upstream says nothing."""
    return f"The {row.kind} '{row.title or row.name}' of '{upstream}'."


async def tool_rules(work: Work, *, only: Collection[str] | None = None) -> dict[str, dict[str, ToolRule]]:
    """What gateways must know of tools: rules by the tools' names, by the ids of their upstreams' rows. For the
    publisher, over all organizations."""
    found: dict[str, dict[str, ToolRule]] = {}
    for upstream_id, name, enabled, timeout_s, tags in await ruled(work, only):
        rule = ToolRule(enabled=enabled, timeout_s=timeout_s, tags=tuple(tags_in(tags)))
        found.setdefault(upstream_id, {})[name] = rule
    return found


async def upstreams_to_refresh(work: Work, names: Sequence[str]) -> list[UpstreamRow]:
    """The upstreams of these names, or all that are on. Raises NotFound."""
    rows = await Tools(work).upstreams()
    if not names:
        return [row for row in rows if row.enabled and row.started]
    by_name = {row.name: row for row in rows}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise NotFound(f"there is no upstream '{unknown[0][:100]}'")
    return [by_name[name] for name in dict.fromkeys(names)]


async def _columns(tools: Tools, bounds: Bounds, said: Mapping[str, Any]) -> dict[str, Any]:
    columns = dict(said)
    if columns.get("timeout_s") is not None and not 0 < columns["timeout_s"] <= bounds.longest_s:
        raise Invalid(f"timeout_s must be more than 0 and at most {bounds.longest_s:g} seconds")
    if "tags" in columns:
        columns["tags"] = _tags(columns["tags"])
    if columns.get("owner") is not None and not await tools.has_member(columns["owner"]):
        raise OwnerUnknown
    return columns


def _tags(tags: Sequence[str]) -> str:
    for wrong in (problem for tag in tags if (problem := tag_problem(tag)) is not None):
        raise Invalid(wrong)
    if len(set(tags)) > MAX_TAGS:
        raise Invalid(f"{MAX_TAGS} tags are the most")
    return tags_text(tags)

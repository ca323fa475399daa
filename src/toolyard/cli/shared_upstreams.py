"""Starting, stopping and restarting an upstream: through the control plane if that knows it, else at the gateway."""

from __future__ import annotations

from pathlib import Path

from toolyard.cli.operating import NAMED, OrganizationOption, ProfileOption, find_named
from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, show
from toolyard.cli.upstream import STOP_S, NameArgument, NowOption, TimeoutOption
from toolyard.cli.upstream import restart as restart_here
from toolyard.cli.upstream import start as start_here
from toolyard.cli.upstream import stop as stop_here

SHOWN = ("id", "name", "kind", "enabled", "started", "state", "since", "last_error", "last_error_code", "version")


def start(
    name: NameArgument,
    timeout: TimeoutOption = "60s",
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Start an upstream that was stopped. The exit code is 1 if it does not get ready.

    One that the control plane has stays started, also over a restart; its state is told as it was last seen."""
    if not _ordered("upstreams_start", name, organization, profile, config, output):
        start_here(name, timeout, config, output)


def stop(
    name: NameArgument,
    now: NowOption = False,
    timeout: TimeoutOption = STOP_S,
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Stop an upstream until it is started again, or the gateway is; its calls in flight end first.

    One that the control plane has stays stopped until it is started again, whatever happens to the gateway."""
    if now or not _ordered("upstreams_stop", name, organization, profile, config, output):
        stop_here(name, now, timeout, config, output)


def restart(
    name: NameArgument,
    now: NowOption = False,
    timeout: TimeoutOption = "60s",
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Open an upstream anew at once, also one that was put aside for failing; calls in flight end on the old
    connection. The exit code is 1 if it does not get ready."""
    if now or not _ordered("upstreams_restart", name, organization, profile, config, output):
        restart_here(name, now, timeout, config, output)


def _ordered(
    operation_id: str,
    name: str,
    organization: str | None,
    profile: str | None,
    config: Path | None,
    output: Format,
) -> bool:
    """Whether the control plane has an upstream of that name or id, and was told."""
    from toolyard.cli.reach import find_reach

    reach = find_reach(config, profile)
    if reach is None:
        return False
    with reach.connect(organization) as client:
        found = find_named(client, NAMED["upstreams", "upstream_id"], name)
        upstream_id = str(found["id"]) if found else name if name.startswith("up_") else None
        if upstream_id is None or (found and found.get("owner") == "file"):
            return False
        told = client.value(operation_id, path={"upstream_id": upstream_id})
    show({field: told.get(field) for field in SHOWN} if output is Format.TABLE else told, output)
    return True

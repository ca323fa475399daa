"""Commands that run one upstream of a running gateway: start, stop, restart, check, wait."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from toolyard.cli.ask import reach, troubles
from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show
from toolyard.kit.errors import PlatformError

FIELDS = ("id", "state", "era", "tools", "prompts", "resources", "error_code", "at")
LOOK_AGAIN_S = 0.2
STOP_S = "10m"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Id of the upstream.", show_default=False)]
NowOption = Annotated[bool, typer.Option("--now", help="Do not let calls in flight end.")]
TimeoutOption = Annotated[str, typer.Option("--timeout", help="How long to wait: 30s, 5m …")]


class UpstreamNotReady(PlatformError):
    """The upstream is not ready."""

    code = "upstream_not_ready"
    status = 503


class UpstreamStillOpen(PlatformError):
    """The upstream has calls in flight and is closed when they have ended; it takes no more."""

    code = "upstream_still_open"
    status = 504


def start(
    name: NameArgument, timeout: TimeoutOption = "60s", config: ConfigOption = None, output: OutputOption = Format.TABLE
) -> None:
    """Start an upstream that was stopped. The exit code is 1 if it does not get ready."""
    _report_ready(_order(config, timeout, operation="start", upstream=name), output)


def stop(
    name: NameArgument,
    now: NowOption = False,
    timeout: TimeoutOption = STOP_S,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Stop an upstream until it is started again, or the gateway is; its calls in flight end first."""
    told = _order(config, timeout, operation="stop", upstream=name, now=now)
    _report(told, output)
    if told["state"] != "stopped":
        raise UpstreamStillOpen(f"'{name}' has calls in flight and is closed when they have ended; it takes no more")
    say(f"'{name}' stays stopped until `toolyard upstream start {name}` or the gateway's next start.")
    say(f"The configuration is as it was; to switch it off for good: toolyard upstream set {name} enabled=false")


def restart(
    name: NameArgument,
    now: NowOption = False,
    timeout: TimeoutOption = "60s",
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Open an upstream anew at once, also one that was put aside for failing; calls in flight end on the old
    connection. The exit code is 1 if it does not get ready."""
    _report_ready(_order(config, timeout, operation="restart", upstream=name, now=now), output)


def check(
    name: NameArgument, timeout: TimeoutOption = "60s", config: ConfigOption = None, output: OutputOption = Format.TABLE
) -> None:
    """Connect to an upstream now, list what it offers, and say what came of it. The exit code is 1 if it is not
    ready."""
    _report_ready(_order(config, timeout, operation="check", upstream=name), output)


def wait(
    name: NameArgument, timeout: TimeoutOption = "30s", config: ConfigOption = None, output: OutputOption = Format.TABLE
) -> None:
    """Wait until an upstream is ready, and for the gateway itself if need be. The exit code is 1 if that takes too
    long."""
    from toolyard.cli.client import GatewayAbsent

    give_up_at = time.monotonic() + _seconds(timeout)
    while True:
        left_s = give_up_at - time.monotonic()
        try:
            told = _order(config, f"{max(0.0, left_s):.3f}", operation="wait", upstream=name)
            break
        except GatewayAbsent:
            if left_s <= LOOK_AGAIN_S:
                raise
            time.sleep(LOOK_AGAIN_S)
    _report_ready(told, output)


def _order(config: ConfigOption, timeout: str, **order: Any) -> dict[str, Any]:
    return reach(config).order({**order, "timeout_s": _seconds(timeout)})


def _seconds(text: str) -> float:
    from toolyard.kit.quantities import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from None


def _report_ready(told: dict[str, Any], output: Format) -> None:
    """Print how the upstream does. Raises UpstreamNotReady."""
    _report(told, output)
    if told["state"] == "ready":
        return
    reasons = {
        "pending": "it has not answered yet",
        "stopped": "it was stopped; start it with `toolyard upstream start`",
        "stopping": "it was stopped; start it with `toolyard upstream start`",
    }
    reason = told.get("error") or reasons.get(told["state"], told["state"])
    raise UpstreamNotReady(f"'{told['id']}' is not ready: {reason}")


def _report(told: dict[str, Any], output: Format) -> None:
    if output is not Format.TABLE:
        show(told, output)
        return
    row = {**told, **(told.get("offers") or {})}
    show({field: row[field] for field in FIELDS if row.get(field) is not None}, output)
    for dropped in told.get("dropped") or ():
        say(f"left out: {dropped}")
    for line in troubles([told]):
        typer.echo(line)

"""The groups of commands that are operations of the management API, with what else belongs into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from typer.main import get_group

from toolyard.cli.api_rows import API_ROWS
from toolyard.cli.lazy import LazyGroup, Row

ABOUT: Mapping[str, str] = {
    "upstream": "One upstream: run it, change it, remove it, register it.",
    "tool": "Tools, resources and prompts: find them, steer them, describe them.",
    "server": "Virtual servers: which tools are at which URL.",
    "key": "API keys for virtual servers.",
    "credential": "Secrets that are used towards upstreams.",
    "file": "Uploaded files.",
    "user": "People of the organization.",
    "member": "People of other organizations in this one.",
    "account": "Service accounts and their secrets.",
    "role": "Roles, and what can be allowed.",
    "grant": "Single permissions beside roles.",
    "access": "Who may do what.",
    "tier": "Which limits people have.",
    "org": "Organizations.",
    "settings": "Settings and switches that hold at once.",
    "auth": "Your own account, logins and tokens.",
    "platform": "The whole installation: accounts, settings, gateways.",
}
"""What help says of each group; main.py lists the same."""

OWN: Mapping[str, tuple[Row, ...]] = {
    "key": (
        Row(
            "create",
            "toolyard.cli.shared_keys:create",
            "Make an API key for a virtual server. It is shown once and kept nowhere.",
        ),
        Row("list", "toolyard.cli.shared_keys:list_keys", "List the API keys: ids and states, never the keys."),
        Row("revoke", "toolyard.cli.shared_keys:revoke", "Revoke an API key for good."),
        Row(
            "rotate",
            "toolyard.cli.shared_keys:rotate",
            "Make a new API key in the place of another, which is accepted for a while longer.",
        ),
    ),
    "upstream": (
        Row(
            "start",
            "toolyard.cli.shared_upstreams:start",
            "Start an upstream that was stopped. The exit code is 1 if it does not get ready.",
        ),
        Row(
            "stop",
            "toolyard.cli.shared_upstreams:stop",
            "Stop an upstream until it is started again, or the gateway is; its calls in flight end first.",
        ),
        Row(
            "restart",
            "toolyard.cli.shared_upstreams:restart",
            "Open an upstream anew at once, also one that was put aside for failing; calls in flight end on the old "
            "connection. The exit code is 1 if it does not get ready.",
        ),
        Row(
            "check",
            "toolyard.cli.upstream:check",
            "Connect to an upstream now, list what it offers, and say what came of it. The exit code is 1 if it is not "
            "ready.",
        ),
        Row(
            "wait",
            "toolyard.cli.upstream:wait",
            "Wait until an upstream is ready, and for the gateway itself if need be. The exit code is 1 if that takes "
            "too long.",
        ),
        Row(
            "set",
            "toolyard.cli.upstream_edit:set_fields",
            "Change an upstream in the configuration file; its comments stay.",
        ),
        Row(
            "remove",
            "toolyard.cli.upstream_edit:remove",
            "Take an upstream out of the configuration file; comments stay.",
        ),
    ),
    "user": (
        Row(
            "create-admin",
            "toolyard.cli.login:create_admin",
            "Make a platform administrator, on the control plane's own machine.",
        ),
    ),
}
"""Commands that are more than one operation, or none."""


def group(name: str, _shown: str) -> Any:
    """A group of commands."""
    own = OWN.get(name, ())
    taken = {row.name for row in own}
    made = tuple(
        Row(verb, "toolyard.cli.operating:command", summary, operation)
        for verb, operation, summary in API_ROWS.get(name, ())
        if verb not in taken
    )
    cls = type("ApiGroup", (LazyGroup,), {"rows": (*own, *made)})
    one = typer.Typer(
        name=name, cls=cls, help=ABOUT[name], no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )
    return get_group(one)

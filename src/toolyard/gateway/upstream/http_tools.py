"""What a driver must know of an upstream's tools to call them: mirrored headers, and whether a call may be repeated."""

from __future__ import annotations

from collections.abc import Iterable

from toolyard.contract.definitions import Json
from toolyard.protocol.header_parameters import HeaderParameter, InvalidToolHeaders, header_parameters

SAFE_METHODS = frozenset(
    {
        "completion/complete",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "tools/list",
    }
)


class KnownTools:
    """The tools of the last observation. A tool that was never seen has no headers and may not be repeated."""

    def __init__(self) -> None:
        self._parameters: dict[str, tuple[HeaderParameter, ...]] = {}
        self._repeatable: frozenset[str] = frozenset()
        self.heads: dict[tuple[str, str], bytes] = {}
        """Heads of requests that depend on nothing but the tool, by method and name; kept by the driver. Another
        dictionary once the tools were read again."""

    def learn(self, tools: Iterable[Json]) -> None:
        """Replace what is known."""
        tools = tuple(tools)
        self.heads = {}
        self._parameters = {tool["name"]: found for tool in tools if (found := _parameters(tool))}
        self._repeatable = frozenset(tool["name"] for tool in tools if _is_repeatable(tool))

    def parameters(self, method: str, params: Json) -> tuple[HeaderParameter, ...]:
        """The arguments to mirror into headers."""
        return self._parameters.get(params["name"], ()) if method == "tools/call" else ()

    def repeatable(self, method: str, params: Json) -> bool:
        """May the request be sent again when it is not known whether it ran?"""
        return params.get("name") in self._repeatable if method == "tools/call" else method in SAFE_METHODS


def _parameters(tool: Json) -> tuple[HeaderParameter, ...]:
    try:
        return header_parameters(tool.get("inputSchema"))
    except InvalidToolHeaders:
        return ()


def _is_repeatable(tool: Json) -> bool:
    annotations = tool.get("annotations")
    if not isinstance(annotations, dict):
        return False
    return annotations.get("readOnlyHint") is True or annotations.get("idempotentHint") is True

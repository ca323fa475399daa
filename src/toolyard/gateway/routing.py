"""Which upstream a call goes to, by tables and never by splitting names. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from toolyard.contract.catalog import ServerCatalog
from toolyard.contract.definitions import Json
from toolyard.gateway.call import Target
from toolyard.gateway.errors import PromptUnknown, ResourceUnknown, ToolDisabled, ToolUnknown
from toolyard.protocol.errors import InvalidParams
from toolyard.protocol.uri_template import matcher


def route_tool(server: ServerCatalog, params: Json) -> Target:
    """The upstream and the parameters of a `tools/call`. Raises ToolUnknown, ToolDisabled, InvalidParams."""
    name = _text(params, "name")
    binding = server.tools.get(name)
    if binding is None:
        raise ToolDisabled(tool=name) if name in server.disabled_tools else ToolUnknown(tool=name[:128])
    sent = params if binding.upstream_name == name else {**params, "name": binding.upstream_name}
    return Target(binding.upstream_id, sent, binding.timeout_s, name, binding.tasks)


def route_prompt(server: ServerCatalog, params: Json) -> Target:
    """The upstream and the parameters of a `prompts/get`. Raises PromptUnknown, InvalidParams."""
    name = _text(params, "name")
    binding = server.prompts.get(name)
    if binding is None:
        raise PromptUnknown(prompt=name[:128])
    return Target(binding.upstream_id, {**params, "name": binding.upstream_name}, binding.timeout_s, name)


def route_resource(server: ServerCatalog, params: Json) -> Target:
    """The upstream of a resource: by the table, else by the first template that matches, else the only upstream that
    has resources at all. Raises ResourceUnknown, InvalidParams."""
    uri = _text(params, "uri")
    binding = server.resources.get(uri)
    if binding is None:
        likely = (t for t in server.templates if uri.startswith(t.literal))
        of_template = (t for t in likely if _matcher(t.key)(uri) is not None)
        binding = next((t for t in of_template if server.lets_read(t.upstream_id, uri, by_template=True)), None)
    if binding is not None:
        return Target(binding.upstream_id, params, binding.timeout_s, uri)
    if len(server.resource_owners) == 1:
        ((upstream_id, timeout_s),) = server.resource_owners.items()
        if server.lets_read(upstream_id, uri, by_template=False):
            return Target(upstream_id, params, timeout_s, uri)
    raise ResourceUnknown(uri)


def route_completion(server: ServerCatalog, params: Json) -> Target:
    """The upstream of a `completion/complete`, by what its `ref` names. Raises PromptUnknown, ResourceUnknown."""
    ref = params.get("ref")
    kind = ref.get("type") if isinstance(ref, dict) else None
    if not isinstance(ref, dict) or kind not in ("ref/prompt", "ref/resource"):
        raise InvalidParams('completion needs a "ref" of type "ref/prompt" or "ref/resource"')
    argument = params.get("argument")
    if not isinstance(argument, dict) or not all(isinstance(argument.get(k), str) for k in ("name", "value")):
        raise InvalidParams('completion needs an "argument" with the strings "name" and "value"')
    if kind == "ref/prompt":
        target = route_prompt(server, {"name": ref.get("name")})
        sent = {**params, "ref": {**ref, "name": target.params["name"]}}
        return Target(target.upstream_id, sent, target.timeout_s, target.name)
    uri = _text(ref, "uri")
    template = next((t for t in server.templates if t.key == uri), None)
    if template is not None:
        return Target(template.upstream_id, params, template.timeout_s, uri)
    target = route_resource(server, {"uri": uri})
    return Target(target.upstream_id, params, target.timeout_s, uri)


Router = Callable[[ServerCatalog, Json], Target]

ROUTERS: dict[str, Router] = {
    "tools/call": route_tool,
    "prompts/get": route_prompt,
    "resources/read": route_resource,
    "resources/subscribe": route_resource,
    "resources/unsubscribe": route_resource,
    "completion/complete": route_completion,
}


def _text(params: Json, key: str) -> str:
    value: Any = params.get(key)
    if not isinstance(value, str):
        raise InvalidParams(f'"{key}" must be a string')
    return value


@lru_cache(maxsize=4096)
def _matcher(template: str) -> Callable[[str], dict[str, str] | None]:
    return matcher(template)

"""`server.json`, in which the MCP registry describes servers, as an entry of a client. Pure.

A server that can be reached by URL is; else its package is started with the program that its registry is read with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from toolyard.kit.errors import PlatformError
from toolyard.sources.clients import ClientEntry

_TRANSPORTS: Final = {"streamable-http": "http", "http": "http", "sse": "sse"}
_STARTED_BY: Final = {"npm": "npx", "pypi": "uvx", "oci": "docker"}


class ServerJsonUnusable(PlatformError):
    """This description of a server says no way to reach or start it that is known here."""

    code: ClassVar[str] = "server_json_unusable"
    status: ClassVar[int] = 422


def is_server_json(content: Mapping[str, Any]) -> bool:
    """Whether something is a description of one server."""
    return isinstance(content.get("name"), str) and ("packages" in content or "remotes" in content)


def described_in(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The descriptions in an answer of a registry: a list of `servers`, each by itself or in `server`."""
    listed = content.get("servers")
    entries = [one.get("server", one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [one for one in entries if isinstance(one, dict) and is_server_json(one)]


def entry_of(content: Mapping[str, Any]) -> ClientEntry:
    """The server as a client would have it. Required values that are not given are `${NAME}`. Raises
    ServerJsonUnusable."""
    name = str(content["name"])
    about = {"description": content["description"]} if isinstance(content.get("description"), str) else {}
    for remote in _objects(content.get("remotes")):
        transport = _TRANSPORTS.get(str(remote.get("type") or remote.get("transport_type")))
        if transport and isinstance(remote.get("url"), str):
            return ClientEntry(_short(name), {**about, **_remote(remote, transport)})
    for package in _objects(content.get("packages")):
        fields = _package(package)
        if fields is not None:
            return ClientEntry(_short(name), {**about, **fields})
    raise ServerJsonUnusable(f"'{name[:200]}' says no way to reach or start it that is known here")


def _remote(remote: Mapping[str, Any], transport: str) -> dict[str, Any]:
    url = str(remote["url"])
    for variable in remote["variables"] if isinstance(remote.get("variables"), dict) else ():
        url = url.replace(f"{{{variable}}}", f"${{{variable}}}")
    fields: dict[str, Any] = {"url": url}
    if transport != "http":
        fields["transport"] = transport
    headers = dict(_values(remote.get("headers")))
    return fields | ({"headers": headers} if headers else {})


def _package(package: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = str(package.get("registryType") or package.get("registry_type") or package.get("registry_name") or "")
    name = package.get("identifier") or package.get("name")
    transport = package.get("transport")
    over = transport.get("type", "stdio") if isinstance(transport, dict) else "stdio"
    if kind not in _STARTED_BY or not isinstance(name, str) or over != "stdio":
        return None
    version = str(package.get("version") or "")
    env = dict(_values(package.get("environmentVariables") or package.get("environment_variables")))
    before = list(_arguments(package.get("runtimeArguments") or package.get("runtime_arguments")))
    after = list(_arguments(package.get("packageArguments") or package.get("package_arguments")))
    what = _named(kind, name, version, env)
    fields: dict[str, Any] = {"command": _STARTED_BY[kind], "args": [*_first(kind), *before, *what, *after]}
    return fields | ({"env": env} if env else {})


def _first(kind: str) -> list[str]:
    return {"npm": ["-y"], "oci": ["run", "-i", "--rm"]}.get(kind, [])


def _named(kind: str, name: str, version: str, env: Mapping[str, str]) -> list[str]:
    if kind == "npm":
        return [f"{name}@{version}" if version else name]
    if kind == "pypi":
        return [f"{name}=={version}" if version else name]
    passed = [part for variable in env for part in ("-e", variable)]
    return [*passed, name if not version or "@" in name or ":" in name.rpartition("/")[2] else f"{name}:{version}"]


def _arguments(given: Any) -> Iterator[str]:
    for one in _objects(given):
        value = _value(one, str(one.get("valueHint") or one.get("value_hint") or one.get("name") or "VALUE"))
        if one.get("type") == "named" and one.get("name"):
            yield str(one["name"])
        if value is not None:
            yield value


def _values(given: Any) -> Iterator[tuple[str, str]]:
    for one in _objects(given):
        name = one.get("name")
        value = _value(one, str(name)) if name else None
        if value is not None:
            yield str(name), value


def _value(one: Mapping[str, Any], name: str) -> str | None:
    """What is said, or a place for what has to be said; None for what need not be."""
    said = next((one[key] for key in ("value", "default") if one.get(key) not in (None, "")), None)
    if said is None:
        place = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name).lstrip("-")
        return f"${{{place}}}" if one.get("isRequired") or one.get("is_required") else None
    text = str(said)
    for variable in one["variables"] if isinstance(one.get("variables"), dict) else ():
        text = text.replace(f"{{{variable}}}", f"${{{variable}}}")
    return text


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _short(name: str) -> str:
    """`io.github.acme/docs` → `docs`."""
    return name.rpartition("/")[2] or name

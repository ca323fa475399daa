"""What an embedded Toolyard serves: its services, and what each agent may do with them. A value: a change is a new one.

The services are a configuration, in the words of `toolyard.yaml`, and are judged as the file is. The store is a virtual
server of all of them; each agent has one of its own, with the tools that it was granted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from toolyard.embedded.errors import PermissionUnknown
from toolyard.embedded.given import Entry, Form
from toolyard.gateway.errors import UpstreamUnknown
from toolyard.gateway.feed.client_form import looks_like_upstream
from toolyard.gateway.feed.file import Loaded, load_text, read_text
from toolyard.gateway.feed.yaml_marks import ConfigRejected, Marked, read_marked
from toolyard.sources.clients import id_of

STORE: Final = "embedded-store"
"""The code of the virtual server with everything."""
CALL: Final = "tools.call"
MANAGE: Final = "upstreams.write"
ANY: Final = "*"
_HERE: Final = "127.0.0.1"
"""Nothing listens; what may be open to this machine only may be open here."""

NO_FILE: Final = Path("configuration")

Config = str | Path | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Grant:
    """What an agent may do: to see and call tools of a service (`tool` is a glob), or to start, stop and remove it.
    `service` is its name, or `*` for all."""

    action: str
    service: str
    tool: str = ANY

    @classmethod
    def of(cls, action: str, resource: str) -> Grant:
        """`resource`: `*`, `service`, or `service/tool` with globs for tools. Raises PermissionUnknown."""
        if action not in {CALL, MANAGE}:
            raise PermissionUnknown(f"there is no permission '{action}' for an agent; there are {CALL} and {MANAGE}")
        service, _, tool = resource.partition("/")
        return cls(action, service, tool or ANY)


@dataclass(frozen=True, slots=True)
class Registry:
    """`services`: by name; `rest`: settings and servers that the configuration has besides."""

    services: Mapping[str, Entry] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    agents: Mapping[str, frozenset[Grant]] = field(default_factory=dict)
    path: Path = NO_FILE

    @classmethod
    def read(cls, config: Config, environ: Mapping[str, str]) -> Registry:
        """Of a file's path, of what a file would say, or of nothing. Raises ConfigRejected."""
        if config is None:
            return cls()
        if isinstance(config, Mapping):
            path = NO_FILE
            text = json.dumps(config, default=os.fspath)
            _loaded(text, path, environ, 1)
        else:
            path = Path(config)
            text = read_text(path)
            load_text(text, path, environ=environ, keys={}, revision=1, host=_HERE)
        return cls._of_document(read_marked(text, str(path), []) or Marked({}, 1), path)

    @classmethod
    def _of_document(cls, root: Marked, path: Path) -> Registry:
        sections = dict(root.value) if isinstance(root.value, Mapping) else {}
        services: dict[str, Entry] = {}
        for name, node in _entries(sections.pop("upstreams", None)):
            services[name] = Entry(name, _plain(node))
        own_servers: dict[str, Any] = {}
        foreign = _entries(sections.pop("mcpServers", None))
        for code, node in _entries(sections.pop("servers", None)):
            if looks_like_upstream(node):
                foreign.append((code, node))
            else:
                own_servers[code] = _plain(node)
        for name, node in foreign:
            service = id_of(name, services)
            services[service] = Entry(service, _plain(node), "mcpServers")
        rest = {name: _plain(node) for name, node in sections.items() if name != "inputs"}
        return cls(services, {**rest, "servers": own_servers}, path=path)

    def load(self, environ: Mapping[str, str], revision: int) -> Loaded:
        """All of it, judged as a file is. Raises ConfigRejected."""
        return _loaded(json.dumps(self._document(), default=os.fspath), self.path, environ, revision)

    def with_services(self, entries: Iterable[Entry], agent: str | None) -> Registry:
        """With more services, which are `agent`'s own if one is named."""
        added = {entry.name: entry for entry in entries}
        grown = replace(self, services={**self.services, **added})
        if agent is None:
            return grown
        return grown.with_grants(agent, [Grant(action, name) for name in added for action in (CALL, MANAGE)])

    def without_services(self, names: Iterable[str]) -> Registry:
        """Without some services, and without what anybody was granted of them."""
        gone = set(names)
        return replace(
            self,
            services={name: entry for name, entry in self.services.items() if name not in gone},
            agents={a: frozenset(g for g in grants if g.service not in gone) for a, grants in self.agents.items()},
        )

    def with_grants(self, agent: str, grants: Iterable[Grant] = ()) -> Registry:
        """With an agent who may do more; without grants, with an agent. Raises UpstreamUnknown."""
        more = frozenset(grants)
        for grant in more:
            if grant.service != ANY and grant.service not in self.services:
                raise UpstreamUnknown(f"there is no service '{grant.service}'", upstream=grant.service)
        return replace(self, agents={**self.agents, agent: self.agents.get(agent, frozenset()) | more})

    def without_grant(self, agent: str, grant: Grant) -> Registry:
        """With an agent who may do less."""
        return replace(self, agents={**self.agents, agent: self.agents.get(agent, frozenset()) - {grant}})

    def may_manage(self, agent: str, service: str) -> bool:
        """Whether an agent may start, stop and remove a service."""
        return any(g.action == MANAGE and g.service in (ANY, service) for g in self.agents.get(agent, ()))

    def _document(self) -> dict[str, Any]:
        forms: dict[Form, dict[str, Any]] = {"upstreams": {}, "mcpServers": {}}
        for name, entry in self.services.items():
            forms[entry.form][name] = dict(entry.fields)
        agents = {code_of(agent): {"tools": _patterns(grants)} for agent, grants in self.agents.items()}
        servers = {**self.rest.get("servers", {}), STORE: {"tools": [ANY]}, **agents}
        return {**self.rest, **{form: entries for form, entries in forms.items() if entries}, "servers": servers}


def code_of(agent: str | None) -> str:
    """The code of the virtual server of an agent; of the store, if none is named."""
    if agent is None:
        return STORE
    return f"agent-{id_of(agent, ())[:40]}-{hashlib.sha256(agent.encode()).hexdigest()[:8]}".replace("__", "_")


def _loaded(text: str, path: Path, environ: Mapping[str, str], revision: int) -> Loaded:
    """What is in no file, so that its lines say nothing."""
    try:
        return load_text(text, path, environ=environ, keys={}, revision=revision, host=_HERE)
    except ConfigRejected as error:
        raise ConfigRejected([replace(problem, line=0) for problem in error.problems]) from None


def _patterns(grants: Iterable[Grant]) -> list[str]:
    return sorted(f"{grant.service}/{grant.tool}" for grant in grants if grant.action == CALL)


def _entries(node: Marked | None) -> list[tuple[str, Marked]]:
    return list(node.value.items()) if node is not None and isinstance(node.value, Mapping) else []


def _plain(node: Marked) -> Any:
    """A value without its line. Scalars stay the texts that they were written as."""
    if isinstance(node.value, Mapping):
        return {name: _plain(item) for name, item in node.value.items()}
    return [_plain(item) for item in node.value] if isinstance(node.value, tuple) else node.value

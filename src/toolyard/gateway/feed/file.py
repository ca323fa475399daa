"""The operator's file into a snapshot and settings: everything wrong with it is found and told in one go."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from toolyard.contract.server_codes import server_code_problem
from toolyard.contract.snapshot import KeyRecord, ServerSpec, Snapshot, UpstreamLimits, UpstreamSpec
from toolyard.contract.upstream_form import upstream_id_problem
from toolyard.gateway.feed.client_form import as_upstream, looks_like_upstream
from toolyard.gateway.feed.digest import snapshot_digest
from toolyard.gateway.feed.document import Document, Section
from toolyard.gateway.feed.servers import read_server
from toolyard.gateway.feed.upstreams import Bounds, read_credential, read_upstream
from toolyard.gateway.feed.yaml_marks import MAX_FILE_BYTES, ConfigRejected, Marked, Problem, read_marked
from toolyard.setting_kinds import CONFIDENTIAL
from toolyard.settings import SETTINGS, Complain, Setting, Settings, from_environment, is_loopback, make_settings
from toolyard.sources.clients import id_of

FILE_NAMES = ("toolyard.yaml", "toolyard.yml", "config/app.yaml")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file says: to the gateway as a whole (`settings`) and about what it serves (`snapshot`). `files`: the
    credential files it refers to. `made_up`: servers that it does not name, and that are there all the same. `lines`:
    where each `upstreams.ID` and `servers.CODE` is described."""

    snapshot: Snapshot
    settings: Settings
    files: tuple[Path, ...] = ()
    made_up: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)


def find_config(directory: Path) -> Path | None:
    """The configuration file of a directory, if it has one."""
    return next((directory / name for name in FILE_NAMES if (directory / name).is_file()), None)


def load(path: Path, *, environ: Mapping[str, str], keys: Mapping[str, KeyRecord], revision: int) -> Snapshot:
    """The snapshot that `path` describes. Raises ConfigRejected with every problem found."""
    return load_all(path, environ=environ, keys=keys, revision=revision).snapshot


def load_all(
    path: Path, *, environ: Mapping[str, str], keys: Mapping[str, KeyRecord], revision: int, host: str | None = None
) -> Loaded:
    """Snapshot and settings together. `host`: the address to listen on if the command line gave one, which decides
    whether `access: open` is allowed. Raises ConfigRejected."""
    return load_text(read_text(path), path, environ=environ, keys=keys, revision=revision, host=host)


def load_text(
    text: str,
    path: Path,
    *,
    environ: Mapping[str, str],
    keys: Mapping[str, KeyRecord],
    revision: int,
    host: str | None = None,
) -> Loaded:
    """As `load_all`, for the text that `path` has, had or will have. Raises ConfigRejected."""
    problems: list[Problem] = []
    document = Document(path, environ, problems)
    root = document.section(read_marked(text, str(path), problems) or Marked({}, 1), "")
    settings = _settings(root, document)
    lines: dict[str, int] = {}
    upstreams, servers = _served(root, settings, lines, loopback=is_loopback(host or settings.gateway.host))
    if "mcpServers" not in root:
        root.close()
    if problems:
        raise ConfigRejected(sorted(problems, key=lambda problem: problem.line))
    made_up = {} if servers else {"default": ServerSpec("default")}
    servers |= made_up
    digest = snapshot_digest(upstreams, servers, keys)
    snapshot = Snapshot(
        revision, digest, MappingProxyType(upstreams), MappingProxyType(servers), MappingProxyType(dict(keys))
    )
    return Loaded(snapshot, settings, tuple(document.files), tuple(made_up), MappingProxyType(lines))


def settings_of(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of a file that may be broken, for finding its data directory: what cannot be read is at its default.
    Raises ConfigRejected only if there is no readable file at all."""
    document = Document(path, environ, [])
    return _settings(document.section(read_marked(read_text(path), str(path), []) or Marked({}, 1), ""), document)


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings alone; where there is no file, those of the environment. Raises ConfigRejected."""
    problems: list[Problem] = []
    document = Document(path, environ, problems)
    marked = read_marked(read_text(path), str(path), problems) if path.exists() else None
    settings = _settings(document.section(marked or Marked({}, 1), ""), document)
    if problems:
        raise ConfigRejected(sorted(problems, key=lambda problem: problem.line))
    return settings


def read_text(path: Path) -> str:
    """The file's text, at most 4 MiB of UTF-8. Raises ConfigRejected."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigRejected([Problem(str(path), 0, "", f"cannot be read: {error.strerror}")]) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigRejected([Problem(str(path), 0, "", f"is larger than {MAX_FILE_BYTES // 2**20} MiB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigRejected([Problem(str(path), line, "", "is not text in UTF-8")]) from None


def _settings(root: Section, document: Document) -> Settings:
    """Settings from the environment, the file's sections, and the defaults. `server:` is another name of `gateway:`,
    `mcp:` of `defaults:`."""
    sections = {name: root.section(name) for name in dict.fromkeys(setting.section for setting in SETTINGS)}
    if "gateway" not in root:
        sections["gateway"] = root.section("server")
    if "defaults" not in root:
        sections["defaults"] = root.section("mcp")
    tls = sections["gateway"].section("tls")
    places: dict[str, tuple[str, int]] = {}

    def written(setting: Setting) -> str | None:
        from_file = _written_in_file(setting, tls if ".tls." in setting.key else sections[setting.section], places)
        variable = from_environment(setting, document.environ)
        if variable:
            places[setting.key] = (f"environment variable {variable[0]}", 0)
        text = variable[1] if variable else from_file
        return _secret_text(setting, text, complain, document) if setting.kind in CONFIDENTIAL and text else text

    def complain(setting: Setting, reason: str) -> None:
        file, line = places[setting.key]
        document.problems.append(Problem(file, line, setting.key, reason))

    settings = make_settings(written, complain, base=document.base)
    for section in (*sections.values(), tls):
        section.close()
    return settings


def _written_in_file(setting: Setting, section: Section, places: dict[str, tuple[str, int]]) -> str | None:
    name = setting.key.rpartition(".")[2]
    node = section.take(name)
    if node is None:
        return None
    places[setting.key] = (section.document.file, node.line)
    if setting.kind == "command" and isinstance(node.value, tuple):
        return shlex.join(section.document.texts(node, setting.key))
    if setting.kind in {"list", "networks"}:
        return ",".join(section.document.texts(node, setting.key))
    return section.document.text(node, setting.key)


def _secret_text(setting: Setting, text: str, complain: Complain, document: Document) -> str | None:
    try:
        found = read_credential(text, document)
    except ValueError as error:
        complain(setting, str(error))
        return None
    if not found:
        complain(setting, "the file that it names is empty")
    return found


def _served(
    root: Section, settings: Settings, lines: dict[str, int], *, loopback: bool
) -> tuple[dict[str, UpstreamSpec], dict[str, ServerSpec]]:
    defaults, longest_s = settings.defaults, settings.limits.call_timeout_s
    limits = UpstreamLimits(
        settings.limits.response_bytes, settings.limits.event_bytes, settings.limits.notifications_per_second
    )
    bounds = Bounds(min(defaults.timeout_s, longest_s), defaults.max_connections, longest_s, limits)
    upstreams: dict[str, UpstreamSpec] = {}
    for upstream_id, node in _entries(root, "upstreams"):
        key = f"upstreams.{upstream_id}"
        wrong = upstream_id_problem(upstream_id)
        if wrong:
            root.document.complain(node.line, key, wrong)
        upstreams[upstream_id] = read_upstream(upstream_id, root.document.section(node, key), bounds)
        lines[key] = node.line
    written_servers = _entries(root, "servers")
    foreign = [(f"mcpServers.{name}", name, node) for name, node in _entries(root, "mcpServers")]
    foreign += [(f"servers.{name}", name, node) for name, node in written_servers if looks_like_upstream(node)]
    for key, name, node in foreign:
        upstream_id = id_of(name, upstreams.keys())
        entry = as_upstream(root.document.section(node, key))
        upstreams[upstream_id] = read_upstream(upstream_id, entry, bounds)
        lines[f"upstreams.{upstream_id}"] = node.line
    root.take("inputs")
    own = [(code, node) for code, node in written_servers if not looks_like_upstream(node)]
    lines |= {f"servers.{code}": node.line for code, node in own}
    return upstreams, _servers(root, own, upstreams, loopback=loopback)


def _servers(
    root: Section, entries: list[tuple[str, Marked]], upstreams: Mapping[str, UpstreamSpec], *, loopback: bool
) -> dict[str, ServerSpec]:
    servers: dict[str, ServerSpec] = {}
    for code, node in entries:
        wrong = server_code_problem(code)
        if wrong:
            root.document.complain(node.line, f"servers.{code}", wrong)
        entry = root.document.section(node, f"servers.{code}")
        servers[code] = read_server(code, entry, upstreams, loopback=loopback)
    return servers


def _entries(root: Section, name: str) -> list[tuple[str, Marked]]:
    return list(root.section(name).items())

"""The composition root of the control plane: makes its parts and puts them together.

Another root than platform.py, because the two planes are two processes and neither should load the other's libraries.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from toolyard.control.access.routes import access_slice
from toolyard.control.access.service import OwnAccess
from toolyard.control.aliases.routes import Behind, aliases_slice
from toolyard.control.app import Parts, create_app
from toolyard.control.base import migrate
from toolyard.control.base.caller import the_system
from toolyard.control.base.database import Database, database_url
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import Authenticates, Gate
from toolyard.control.base.limits import DEFAULT_LIMITS, RequestLimits
from toolyard.control.base.tidying import Sweep, sweep_outbox, tidy_regularly
from toolyard.control.base.vault import Vault, kept_check
from toolyard.control.base.work import Work, Works
from toolyard.control.console.setup_page import PATH as SETUP_PATH
from toolyard.control.console.setup_page import setup_slice
from toolyard.control.discovery.routes import discovery_slice
from toolyard.control.discovery.service import Discovery
from toolyard.control.files.blobs import Blobs
from toolyard.control.files.routes import files_slice
from toolyard.control.files.service import Files
from toolyard.control.gateways.records import Keeper, Records
from toolyard.control.gateways.routes import gateways_slice, operations_slice
from toolyard.control.gateways.service import record_applied
from toolyard.control.identity.authenticator import Authenticator
from toolyard.control.identity.entrance import Entrance, LoginRules
from toolyard.control.identity.revocation import revoked_ids
from toolyard.control.identity.routes import identity_slice
from toolyard.control.identity.setup import setup_needed, setup_token
from toolyard.control.identity.signing import SigningKeys
from toolyard.control.importers.routes import importers_slice
from toolyard.control.keys.records import key_records, record_used
from toolyard.control.keys.routes import keys_slice
from toolyard.control.keys.service import ApiKeys
from toolyard.control.publisher.compile import Compiler, Published, SliceSources, Sources
from toolyard.control.publisher.publisher import Publisher
from toolyard.control.servers.routes import servers_slice
from toolyard.control.servers.specs import server_specs
from toolyard.control.settings.routes import settings_slice
from toolyard.control.settings.service import RunTimeSettings, default_timeouts
from toolyard.control.tools.observing import record_observations
from toolyard.control.tools.routes import tools_slice
from toolyard.control.tools.service import Bounds as ToolBounds
from toolyard.control.tools.service import tool_rules
from toolyard.control.upstreams.credential_routes import credentials_slice
from toolyard.control.upstreams.routes import upstreams_slice
from toolyard.control.upstreams.rules import Bounds as UpstreamBounds
from toolyard.control.upstreams.specs import upstream_specs, with_timeout
from toolyard.control.upstreams.states import record_health
from toolyard.control_file import FileMirror
from toolyard.kit.clock import Clock, SystemClock
from toolyard.kit.key_encryption import KeyRing
from toolyard.kit.passwords import Passwords
from toolyard.kit.tasks import TaskOwner
from toolyard.kit.transit import Transit
from toolyard.kit.vault_keys import VaultKeySource, load_vault_keys
from toolyard.policy.peppers import load_peppers, newest
from toolyard.settings import Settings

SOCKET_NAME: Final = "control.sock"


@dataclass(frozen=True, slots=True)
class Ground:
    """What the slices stand on, and what they are told of the installation."""

    works: Works
    ring: KeyRing
    settings: Settings
    data_dir: Path
    public_url: str
    clock: Clock


async def _nothing_to_set_up() -> str | None:
    return None


def _nothing_to_close() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the slices bring to the whole."""

    people: Authenticates
    slices: Sequence[Slice]
    sources: Sources
    keepers: Mapping[str, Keeper] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    set_up: Callable[[], Awaitable[str | None]] = _nothing_to_set_up
    """The path that makes the first administrator, if there is none."""
    sweeps: Sequence[Sweep] = ()
    """Take away what earlier runs have left behind, while it serves already."""
    aclose: Callable[[], None] = _nothing_to_close
    beside: FileMirror | None = None
    """Has rows follow the configuration file, if there is one."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control plane: its application, and what runs beside it while it serves."""

    app: FastAPI
    works: Works
    publisher: Publisher
    records: Records
    set_up: Callable[[], Awaitable[str | None]]


async def open_ground(settings: Settings, data_dir: Path, public_url: str, *, clock: Clock | None = None) -> Ground:
    """The database, brought up to this version, and the vault key that fits it. Raises DatabaseTooNew,
    DatabaseUnavailable, and what `load_vault_keys` raises."""
    url, replica = settings.database.url, settings.database.replica_url
    await asyncio.to_thread(migrate.upgrade, database_url(url.reveal()))
    database = Database(
        database_url(url.reveal()),
        pool_size=settings.database.pool_size,
        echo=settings.database.echo,
        replica=database_url(replica.reveal()) if replica else None,
    )
    clock = clock or SystemClock()
    works = Works(database, clock)
    async with works.read(the_system("")) as work:
        check = await kept_check(work)
    source = VaultKeySource(data_dir, settings.control.vault_key, settings.control.vault_key_command)
    ring = await asyncio.to_thread(load_vault_keys, source, check=check)
    return Ground(works, ring, settings, data_dir, public_url, clock)


def make_control(ground: Ground, pieces: Pieces) -> Control:
    """Put a control plane together. Raises RouteUndeclared."""
    works = ground.works
    publisher = Publisher(works, pieces.sources, Compiler(Transit(ground.ring).seal))
    records = Records(works, pieces.keepers)
    limits = RequestLimits(DEFAULT_LIMITS, ground.clock.monotonic)
    gate = Gate(works, pieces.people, limits)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        tasks = TaskOwner("control")
        tasks.start(publisher.run())
        if pieces.beside is not None:
            tasks.start(pieces.beside.run())
        tasks.start(tidy_regularly(works, (sweep_outbox, *pieces.sweeps)))
        try:
            yield
        finally:
            await tasks.aclose()
            pieces.aclose()
            await works.database.aclose()

    slices = [*pieces.slices, operations_slice(publisher), gateways_slice(publisher, records.take)]
    app = create_app(Parts(gate, slices, {"works": works, **pieces.state}, running))
    return Control(app, works, publisher, records, pieces.set_up)


def pieces_of(ground: Ground) -> Pieces:
    """Every slice, in its place."""
    settings, vault = ground.settings, Vault(ground.ring)
    peppers = load_peppers(ground.data_dir)
    signing = SigningKeys(ground.data_dir, ground.clock)
    rules = LoginRules(
        access_token_s=int(settings.control.access_token_s),
        idle_s=int(settings.control.login_idle_s),
        max_s=int(settings.control.login_max_s),
    )
    passwords = Passwords()
    entrance = Entrance(ground.works, passwords, signing, peppers, OwnAccess(), rules)
    at_run_time = RunTimeSettings(
        {"registration": settings.control.registration, "reveal_keys": settings.control.reveal_keys}
    )
    files = Files(Blobs(ground.data_dir / "files"))
    ground.works.listen(files.heard)
    keys = ApiKeys(newest(peppers), vault, at_run_time)
    tool_bounds = ToolBounds(longest_s=settings.limits.call_timeout_s)
    upstream_bounds = UpstreamBounds(longest_s=settings.limits.call_timeout_s)
    slices = [
        identity_slice(entrance, ground.data_dir, lambda work: at_run_time.is_on(work, "registration")),
        access_slice(),
        upstreams_slice(vault, upstream_bounds),
        credentials_slice(vault),
        importers_slice(vault, upstream_bounds),
        discovery_slice(Discovery(vault, upstream_bounds, at_run_time, Path.home())),
        tools_slice(vault, tool_bounds),
        servers_slice(ground.public_url),
        keys_slice(keys),
        settings_slice(at_run_time),
        setup_slice(entrance, ground.data_dir),
        files_slice(files),
    ]
    if settings.control.aliases:
        behind = Behind(ground.public_url, keys, at_run_time, vault, tool_bounds, upstream_bounds)
        slices.append(aliases_slice(behind))

    async def upstreams(work: Work) -> list[Published]:
        found, timeout = await upstream_specs(work, vault, rules=await tool_rules(work)), await default_timeouts(work)
        return [Published(with_timeout(one.spec, timeout(one.spec.organization)), one.owner) for one in found]

    async def servers(work: Work) -> list[Published]:
        return [Published(one.spec, one.owner) for one in await server_specs(work)]

    async def platform(work: Work) -> Mapping[str, Any]:
        return {"verify_keys": dict(signing.verify_keys()), "revoked": await revoked_ids(work)}

    keepers: dict[str, Keeper] = {"health": record_health, "applied": record_applied, "key_used": record_used}
    keepers["observation"] = record_observations
    sources = SliceSources(upstreams, servers, key_records, platform)

    async def set_up() -> str | None:
        async with ground.works.read(the_system("")) as work:
            needed = await setup_needed(work)
        return f"{SETUP_PATH}?token={setup_token(ground.data_dir)}" if needed else None

    return Pieces(
        Authenticator(entrance), slices, sources, keepers, set_up=set_up, sweeps=[files.sweep], aclose=passwords.close
    )


async def open_control(settings: Settings, data_dir: Path, public_url: str, config: Path | None) -> Control:
    """The whole control plane of an installation, which shows what its configuration file, if any, describes. Raises
    what `open_ground` raises, KeysExposed, KeysUnreadable."""
    ground = await open_ground(settings, data_dir, public_url)
    pieces = pieces_of(ground)
    mirror = FileMirror(config, data_dir, os.environ, ground.works, Vault(ground.ring)) if config else None
    return make_control(ground, replace(pieces, beside=mirror))

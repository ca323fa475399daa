"""The composition root: the only module that wires. It makes a gateway of a configuration file and runs it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from toolyard.contract.definitions import Era
from toolyard.contract.snapshot import Snapshot, UpstreamSpec
from toolyard.control_child import MODULE as CONTROL_MODULE
from toolyard.control_child import ControlChild, ControlOrders
from toolyard.control_link import ControlLink
from toolyard.from_settings import bounds_of, configure_logs, metrics_for, tls_of, wire_limits_of
from toolyard.gateway.assembly import Gateway, MakeUpstream
from toolyard.gateway.call import Upstream, UpstreamEvents
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.edge import EdgeSettings
from toolyard.gateway.feed.file import Loaded, load_all, settings_of
from toolyard.gateway.feed.keys import KeyStore
from toolyard.gateway.feed.last_good import load_last_good
from toolyard.gateway.feed.watch import FileFeed, Watched
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.gateway.identity import Identity, load_seal_key
from toolyard.gateway.journal import Journal
from toolyard.gateway.operations import operations_routes
from toolyard.gateway.routes import Route, RouteTable
from toolyard.gateway.server import GatewayServer
from toolyard.gateway.upstream.native import NativeUpstream
from toolyard.gateway.upstream.processes import Processes
from toolyard.kit.clock import Clock, SystemClock
from toolyard.kit.files import write_atomically
from toolyard.kit.garbage import Garbage
from toolyard.kit.logs import get_logger
from toolyard.kit.memory import keep_large_blocks
from toolyard.kit.tasks import TaskOwner

log = get_logger(__name__)

SOCKET_NAME = "gateway.sock"
FACTS_NAME = "gateway.json"
JOURNAL_NAME = "journal.sqlite"
SWEEP_S = 1.0
DRAIN_GRACE_S = 2.0
LAST_ANSWERS_S = 30.0
FIRST_LOOK_S = 5.0


def make_upstream(
    spec: UpstreamSpec,
    events: UpstreamEvents,
    clock: Clock,
    era_hint: Era | None,
    processes: Processes | None = None,
) -> Upstream:
    """The driver of an upstream, by its kind; programs take their places in `processes`. Drivers are imported when the
    first upstream of their kind appears."""
    if spec.kind == "native":
        return NativeUpstream(spec, events=events, clock=clock)
    if spec.kind == "mcp-http":
        from toolyard.gateway.upstream.mcp_http import McpHttpUpstream  # noqa: PLC0415

        def speaks_sse() -> Upstream:
            return make_upstream(replace(spec, kind="mcp-sse"), events, clock, None)

        return McpHttpUpstream(spec, events=events, clock=clock, era_hint=era_hint, sse=speaks_sse)
    if spec.kind == "mcp-stdio":
        from toolyard.gateway.upstream.mcp_stdio import StdioUpstream  # noqa: PLC0415

        return StdioUpstream(spec, events=events, clock=clock, era_hint=era_hint, processes=processes)
    if spec.kind == "mcp-sse":
        from toolyard.gateway.upstream.mcp_sse import McpSseUpstream  # noqa: PLC0415

        return McpSseUpstream(spec, events=events, clock=clock, era_hint=era_hint)
    from toolyard.gateway.upstream.mcp_websocket import McpWebSocketUpstream  # noqa: PLC0415

    return McpWebSocketUpstream(spec, events=events, clock=clock, era_hint=era_hint)


@dataclass(frozen=True, slots=True)
class Started:
    """What a gateway tells when it listens: its URL, the port, and what it serves."""

    url: str
    port: int
    loaded: Loaded
    data_dir: Path


OnStarted = Callable[[Started], None]


def run(
    config: Path,
    *,
    host: str | None = None,
    port: int | None = None,
    public_url: str | None = None,
    log_format: str | None = None,
    control: bool = True,
    on_started: OnStarted = lambda _started: None,
) -> int:
    """Run a gateway in the foreground until SIGTERM or SIGINT; the exit code. `control`: with a control plane, if the
    settings want one. Raises ConfigRejected."""
    environ = environment(public_url, control=control)
    process = Process.prepare(config, environ, host=host, port=port, log_format=log_format)
    return run_loop(process.serve(on_started))


def environment(public_url: str | None, *, control: bool) -> dict[str, str]:
    """This process's environment, with what the command line says."""
    said = {"TOOLYARD_PUBLIC_URL": public_url or "", "TOOLYARD_CONTROL": "" if control else "off"}
    return {**os.environ, **{name: value for name, value in said.items() if value}}


def run_stdio(config: Path, server: str = "default") -> int:
    """Run a gateway inside this process for one client on standard input and output; the exit code."""
    process = Process.prepare(config, dict(os.environ), host=None, port=None, log_format="json")
    return run_loop(process.serve_stdio(server))


@dataclass(slots=True)
class Process:
    """One gateway process: its configuration, its keys, its data directory."""

    config: Path
    loaded: Loaded
    keys: KeyStore
    host: str | None
    port: int | None
    environ: Mapping[str, str]
    log_format: str | None = None
    control_module: str = CONTROL_MODULE
    link: ControlLink | None = None
    """The way to the control plane, where there is one, once the gateway is made."""

    @classmethod
    def prepare(
        cls,
        config: Path,
        environ: Mapping[str, str],
        *,
        host: str | None,
        port: int | None,
        log_format: str | None,
        log_name: str = "toolyard",
    ) -> Process:
        """Read the configuration; a broken one is replaced by the last good one, loudly. Raises ConfigRejected."""
        data_dir = data_dir_of(config, environ)
        keys = KeyStore(data_dir)
        rejected: ConfigRejected | None = None
        try:
            loaded = load_all(config, environ=environ, keys=keys.records, revision=1, host=host)
        except ConfigRejected as error:
            kept = load_last_good(data_dir, config, environ=environ, keys=keys.records, host=host)
            if kept is None:
                raise
            loaded, rejected = kept, error
        configure_logs(loaded.settings, log_format, log_name)
        if rejected is not None:
            log.error("config_rejected_at_start", problems=str(rejected), serving="the last good configuration")
        return cls(config, loaded, keys, host, port, environ, log_format)

    async def serve(self, on_started: OnStarted) -> int:
        """Listen and serve until told to stop."""
        stopping = Stopping()
        settings = self.loaded.settings.gateway
        gateway, journal = self.make_gateway(self.identity())
        server = self.make_server(gateway)
        server.on_drain.append(gateway.hub.end_streams)
        tasks = TaskOwner("platform")
        control = self.control_child()
        try:
            bound = await server.start(self.host or settings.host, self.wanted_port(), tls_of(self.loaded.settings))
            gateway.start()
            await server.start_unix(settings.data_dir / SOCKET_NAME)
            started = Started(self.url(bound), bound, self.loaded, settings.data_dir)
            write_facts(started)
            for work in (*self.feeds(gateway, gateway.offer), sweep(gateway)):
                tasks.start(work)
            log.info("listening", url=started.url, servers=sorted(self.loaded.snapshot.servers))
            on_started(started)
            if control is not None:
                control.start()
            await stopping.first.wait()
            await self.drain(server, stopping.second)
        finally:
            await tasks.aclose()
            await gateway.aclose()
            await server.stop_now()
            if control is not None:
                await control.aclose()
            journal.close()
            remove_own_facts(settings.data_dir / FACTS_NAME)
        return 0

    async def serve_stdio(self, server_code: str) -> int:
        """Serve one client on standard input and output."""
        from toolyard.gateway.downstream.stdio import StdioSocket, operator_head  # noqa: PLC0415

        gateway, journal = self.make_gateway(self.identity())
        gateway.start()
        try:
            catalog = gateway.holder.current.servers.get(server_code)
            await gateway.pool.tried(catalog.unobserved if catalog is not None else (), FIRST_LOOK_S)
            client = Duplex(gateway.exchange, operator_head(server_code), StdioSocket(), last_answers_s=LAST_ANSWERS_S)
            await client.run()
        finally:
            await gateway.aclose()
            journal.close()
        return 0

    def identity(self, owner: str | None = None, *, gives_names: bool = True) -> Identity:
        """Who this process is; `owner` if it is one of several. Raises SealKeyUnusable, OSError."""
        key = load_seal_key(self.loaded.settings.gateway.data_dir)
        return Identity(owner or secrets.token_urlsafe(12), key, gives_names)

    def make_gateway(
        self,
        identity: Identity,
        *,
        around: Callable[[MakeUpstream], MakeUpstream] = lambda make: make,
        pid: int | None = None,
        index: int = 0,
    ) -> tuple[Gateway, Journal]:
        """The data plane and its journal. `around` may make some upstreams differently; `pid` is the process to ask to
        stop, if that is not this one, and `index` which of several this is."""
        settings = self.loaded.settings
        self.link = ControlLink(self.loaded, identity, index) if settings.control.enabled else None
        journal = Journal(settings.gateway.data_dir / JOURNAL_NAME)
        gateway = Gateway(
            self.link.both.current if self.link is not None else self.loaded.snapshot,
            make_upstream=around(partial(make_upstream, processes=Processes(settings.limits.processes))),
            journal=journal,
            clock=SystemClock(),
            peppers=lambda: self.keys.peppers,
            bounds=bounds_of(settings),
            identity=identity,
            facts=lambda: {"pid": pid or os.getpid(), "config": str(self.config)},
        )
        return gateway, journal

    def make_server(self, gateway: Gateway) -> GatewayServer:
        """The HTTP server of a data plane, with all routes."""
        settings = self.loaded.settings
        holder: list[GatewayServer] = []
        operations = operations_routes(
            lambda: not holder[0].draining,
            gateway.metrics,
            metrics_for=metrics_for(settings, self.host or settings.gateway.host),
            metrics_token=settings.gateway.metrics_token,
        )
        server = GatewayServer(
            RouteTable([*gateway.routes(), *operations, *self._other_routes(gateway)]),
            limits=wire_limits_of(settings),
            edge=EdgeSettings(
                public_url=settings.gateway.public_url,
                allowed_hosts=settings.gateway.allowed_hosts,
                allowed_origins=settings.gateway.allowed_origins,
                trusted_proxies=tuple(ipaddress.ip_network(n) for n in settings.gateway.trusted_proxies),
            ),
            refused=gateway.metrics.wire_refused,
        )
        if self.link is not None:
            self.link.attach(gateway, server)
        gateway.overload.on_closed.append(server.admission.set_closed)
        gateway.in_flight.on_full = server.admission.no_more
        gateway.metrics.watch_overload(lambda: gateway.overload.level)
        gateway.metrics.watch("waiting", lambda: server.admission.waiting)
        gateway.metrics.watch("connections", lambda: server.connection_count)
        gateway.metrics.watch("journal_entries_dropped", lambda: gateway.journal.dropped)
        gateway.metrics.watch("parked_calls", lambda: len(gateway.parking))
        gateway.metrics.watch("sessions", lambda: len(gateway.sessions))
        gateway.metrics.watch("mcp_tasks", lambda: len(gateway.tasks))
        gateway.metrics.watch("running", lambda: server.running_count)
        gateway.metrics.watch("tasks", lambda: len(asyncio.all_tasks()))
        holder.append(server)
        return server

    def _other_routes(self, gateway: Gateway) -> list[Route]:
        """What is relayed to the control plane, and the founding documents' paths."""
        founding = self.loaded.settings.control.aliases
        routes = list(gateway.founding_routes()) if founding else []
        if self.link is not None:
            routes += self.link.relay.routes()
            routes += self.link.relay.founding_routes() if founding else []
        return routes

    def control_child(self) -> ControlChild | None:
        """The control plane's process, where there is to be one."""
        if not self.loaded.settings.control.enabled:
            return None
        data_dir = self.loaded.settings.gateway.data_dir
        return ControlChild(ControlOrders(self.config, data_dir, self.environ, self.log_format, self.control_module))

    def feeds(self, gateway: Gateway, put_in_force: Callable[[Snapshot], None]) -> list[Coroutine[Any, Any, None]]:
        """What watches the configuration, the keys and the control plane for a data plane, until it ends."""
        link = self.link
        if link is None:
            file = self.file_feed(lambda one: put_in_force(one.snapshot), lambda one: gateway.prepare(one.snapshot))
            return [file.run()]
        file = self.file_feed(link.both.offer_file, link.both.prepare_file)
        return [file.run(), *link.work(gateway, put_in_force, SystemClock())]

    def file_feed(self, put_in_force: Callable[[Loaded], None], prepare: Callable[[Loaded], None]) -> FileFeed:
        """What watches the configuration and the keys. `prepare` is called in another thread."""

        def offer(loaded: Loaded) -> None:
            put_in_force(loaded)
            if loaded.settings != self.loaded.settings:
                log.warning(
                    "settings_changed", in_force="after a restart; upstreams, servers and keys are in force now"
                )
            log.info("config_in_force", revision=loaded.snapshot.revision, servers=sorted(loaded.snapshot.servers))

        def reject(rejected: ConfigRejected) -> None:
            log.error("config_rejected", problems=[str(p) for p in rejected.problems], in_force="unchanged")

        watched = Watched(self.config, self.keys, self.environ, self.host)
        return FileFeed(
            watched,
            offer=offer,
            reject=reject,
            prepare=prepare,
            current=self.loaded,
        )

    async def drain(self, server: GatewayServer, at_once: asyncio.Event) -> None:
        """Let running calls finish within the configured time, unless `at_once` is set meanwhile."""
        limit_s = self.loaded.settings.gateway.drain_s
        log.info("draining", limit_s=limit_s)
        draining = asyncio.ensure_future(server.drain(min(DRAIN_GRACE_S, limit_s), limit_s))
        again = asyncio.ensure_future(at_once.wait())
        await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (draining, again):
            waiting.cancel()
        await asyncio.gather(draining, again, return_exceptions=True)

    def wanted_port(self) -> int:
        """The port to listen on, as the command line or the settings say; 0 for a free one."""
        return self.loaded.settings.gateway.port if self.port is None else self.port

    def url(self, port: int) -> str:
        """Under which URL clients reach a gateway that listens on `port`."""
        settings = self.loaded.settings.gateway
        if settings.public_url is not None:
            return settings.public_url
        host = self.host or settings.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
        return f"{'https' if settings.tls_cert else 'http'}://{shown}:{port}"


class Stopping:
    """The signals to stop: the first drains, the second stops at once."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


def data_dir_of(config: Path, environ: Mapping[str, str]) -> Path:
    """Where a configuration's data lives, found without the configuration being right."""
    return settings_of(config, environ).gateway.data_dir


def write_facts(started: Started) -> None:
    """Tell other programs of this user where the gateway is and which process to ask to stop."""
    facts: dict[str, Any] = {"pid": os.getpid(), "url": started.url, "started_at": time.time()}
    write_atomically(started.data_dir / FACTS_NAME, json.dumps(facts).encode(), point="facts")


def remove_own_facts(path: Path) -> None:
    """Remove what this process wrote about itself; another gateway may have taken its place already."""
    try:
        if json.loads(path.read_bytes())["pid"] == os.getpid():
            path.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return


async def sweep(gateway: Gateway) -> None:
    """Have a data plane look at what ends by itself, once a second, and garbage at what is new."""
    garbage = Garbage()
    garbage.begin(gateway.holder.current)
    while True:
        await asyncio.sleep(SWEEP_S)
        gateway.sweep()
        garbage.look(gateway.holder.current, gateway.record.totals.total())


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run the process's one coroutine on the fastest loop there is; its exit code."""
    # Threads work on configurations and large catalogs meanwhile; the loop then gets its turn after 1 ms, not after 5.
    sys.setswitchinterval(0.001)
    keep_large_blocks()
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)

"""One gateway process's side of a control plane on the same machine: what it takes from it, relays to it, tells it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

from toolyard.contract.snapshot import Snapshot
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.feed.both import Both
from toolyard.gateway.feed.control import ControlFeed, FeedSettings
from toolyard.gateway.feed.control_kept import load_received
from toolyard.gateway.feed.file import Loaded
from toolyard.gateway.feed.seals import Seals
from toolyard.gateway.identity import Identity
from toolyard.gateway.outbox import Outbox
from toolyard.gateway.relay import Relay
from toolyard.gateway.reports import Reports
from toolyard.gateway.server import GatewayServer
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.vault_keys import VaultKeySource, read_vault_keys
from toolyard.settings import Settings

log = get_logger(__name__)

SOCKET_NAME: Final = "control.sock"


class ControlLink:
    """Everything of a gateway process that has to do with the control plane. Made before the gateway, whose first
    snapshot is `both.current`: the file's, with what the control plane said last. `index`: which worker this is."""

    def __init__(self, loaded: Loaded, identity: Identity, index: int) -> None:
        settings = loaded.settings
        data_dir = settings.gateway.data_dir
        socket = data_dir / SOCKET_NAME
        name = f"{identity.key_for('name of this gateway').hex()[:12]}/{index}"
        self._settings = FeedSettings(socket, name, data_dir if identity.gives_names else None)
        keys = VaultKeySource(data_dir, settings.control.vault_key, settings.control.vault_key_command)
        self._unseal = Seals(lambda: read_vault_keys(keys))
        self._received = load_received(data_dir)
        self.both = Both(loaded, self._last_good())
        self.relay = Relay(socket, scheme=_scheme(settings), body_bytes=settings.limits.upload_bytes)
        self.outbox = Outbox(socket, name)
        self.reports: Reports | None = None

    def attach(self, gateway: Gateway, server: GatewayServer) -> None:
        """Have the server end what is relayed when it drains, and the metrics show what waits."""
        server.on_drain.append(self.relay.end_streams)
        gateway.metrics.watch("relayed", lambda: len(self.relay))
        gateway.metrics.watch("records_waiting", lambda: len(self.outbox))
        gateway.metrics.watch("records_dropped", lambda: self.outbox.dropped)

    def work(
        self, gateway: Gateway, put_in_force: Callable[[Snapshot], None], clock: Clock
    ) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the gateway until it ends: the feed, and the reports."""
        self.both.prepare, self.both.put_in_force = gateway.prepare, put_in_force
        self.reports = reports = Reports(gateway, self.outbox, clock, self._settings.gateway)
        feed = ControlFeed(
            self._settings,
            take=self.both.take_control,
            unseal=self._unseal,
            listener=reports,
            received=self._received,
        )
        return [feed.run(), reports.run(), self.outbox.run()]

    def _last_good(self) -> Snapshot | None:
        """What the control plane said last, as far as it was kept and still opens."""
        if self._received is None:
            return None
        try:
            snapshot = self._received.snapshot(self._unseal, self._settings.without_owners)
        except (PlatformError, OSError) as error:
            log.error("control_kept_unusable", reason=str(error), serving="the file alone until control is here")
            return None
        return snapshot


def _scheme(settings: Settings) -> str:
    if settings.gateway.public_url is not None:
        return urlsplit(settings.gateway.public_url).scheme
    return "https" if settings.gateway.tls_cert is not None else "http"

"""Where things are: the configuration file, its data directory, and the gateway that runs on it."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolyard.kit.errors import PlatformError
from toolyard.kit.unix_path import socket_address

if TYPE_CHECKING:
    from toolyard.gateway.feed.file import Loaded
    from toolyard.gateway.feed.keys import KeyStore
    from toolyard.settings import Settings

SOCKET_FILE = "gateway.sock"
GATEWAY_FILE = "gateway.json"


class ConfigMissing(PlatformError):
    """There is no toolyard.yaml in this directory."""

    code = "config_missing"
    status = 404


@dataclass(frozen=True)
class Place:
    """One installation: a configuration file and what belongs to it."""

    config: Path

    @cached_property
    def settings(self) -> Settings:
        """The file's settings, also while the file is broken."""
        from toolyard.gateway.feed.file import settings_of

        return settings_of(self.config, os.environ)

    @property
    def data_dir(self) -> Path:
        return self.settings.gateway.data_dir

    @property
    def socket(self) -> Path:
        return self.data_dir / SOCKET_FILE

    def keys(self) -> KeyStore:
        """The key store, made if it was not there. Raises KeysExposed, KeysUnreadable."""
        from toolyard.gateway.feed.keys import KeyStore

        return KeyStore(self.data_dir)

    def load(self, *, host: str | None = None) -> Loaded:
        """What the file says now. Raises ConfigRejected."""
        from toolyard.gateway.feed.file import load_all

        return load_all(self.config, environ=os.environ, keys={}, revision=1, host=host)

    def running(self) -> dict[str, Any] | None:
        """What a gateway wrote about itself (pid, url, started_at), if one answers on the socket."""
        try:
            open_socket(self.socket, timeout_s=1.0).close()
            return dict(json.loads((self.data_dir / GATEWAY_FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def url(self) -> str:
        """Where clients reach the gateway, without a path: as it runs, else as it is configured."""
        gateway = self.settings.gateway
        if gateway.public_url:
            return gateway.public_url
        running = self.running()
        if running and isinstance(running.get("url"), str):
            return str(running["url"]).rstrip("/").removesuffix("/mcp")
        scheme = "https" if gateway.tls_cert else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(gateway.host, gateway.host)  # noqa: S104  (never bound here)
        return f"{scheme}://{f'[{host}]' if ':' in host and '[' not in host else host}:{gateway.port}"


def open_socket(path: Path, *, timeout_s: float) -> socket.socket:
    """A connection to a Unix socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with socket_address(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def find_place(config: Path | None) -> Place | None:
    """The installation that `--config`, TOOLYARD_CONFIG or the current directory names, in this order. A file that was
    named need not exist yet."""
    from toolyard.gateway.feed.file import find_config

    named = config or (Path(os.environ["TOOLYARD_CONFIG"]) if os.environ.get("TOOLYARD_CONFIG") else None)
    found = named or find_config(Path.cwd())
    return Place(found.absolute()) if found else None


def need_place(config: Path | None) -> Place:
    """As `find_place`. Raises ConfigMissing if there is no such file."""
    place = find_place(config)
    if place is None:
        raise ConfigMissing
    need_directory(place.config)
    if not place.config.is_file():
        raise ConfigMissing(f"there is no file {place.config}")
    return place


def need_directory(config: Path) -> None:
    """Raise ConfigMissing if there is no such directory that a configuration file could be in."""
    if not config.parent.is_dir():
        raise ConfigMissing(
            f"there is no directory {config.parent}", mend="Make it, or name another file: --config FILE."
        )

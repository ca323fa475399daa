"""nginx and HAProxy in a gateway's place, which match the key and pass the very same bytes on: the practical limit."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from bench.backing import Backing, Ground
from bench.client import Endpoint
from bench.contestants.standing import Contestant, Standing, awaited
from bench.machine import find_program
from bench.processes import Program
from bench.servers import LOAD, free_ports

KEY = "mcp_key_of_the_bench_0123456789abcdef0123456789"
STDIO = {"stdio": "proxies HTTP only"}


def start_nginx(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """nginx before one upstream that has all tools of the backing."""
    home = _home(contestant, ground, backing, attempt)
    config, port = _configured(contestant, ground, backing, home, "nginx.conf.in")
    argv = [find_program("nginx") or "nginx", "-p", str(home), "-e", str(home / "errors"), "-c", str(config)]
    return _started(contestant, ground, home, argv, port)


def start_haproxy(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """HAProxy before one upstream that has all tools of the backing."""
    home = _home(contestant, ground, backing, attempt)
    config, port = _configured(contestant, ground, backing, home, "haproxy.cfg.in")
    return _started(contestant, ground, home, [find_program("haproxy") or "haproxy", "-f", str(config)], port)


def _home(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Path:
    home = ground.work / contestant.home_of(ground, backing, attempt)
    home.mkdir()
    return home


def _configured(
    contestant: Contestant, ground: Ground, backing: Backing, home: Path, template: str
) -> tuple[Path, int]:
    url = urlsplit(ground.whole(backing, legacy=contestant.speaks == "sessions"))
    listen = free_ports(1)[0]
    values = {
        "USER": "user root;" if os.geteuid() == 0 else "",
        "HOME": str(home),
        "KEY": KEY,
        "PORT": str(url.port),
        "PATH": url.path,
        "SCHEME": url.scheme,
        "LISTEN": str(listen),
        "TLS": _tls(ground, template) if url.scheme == "https" else "",
    }
    text = (LOAD / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    config = home / template.removesuffix(".in")
    config.write_text(text)
    return config, listen


def _tls(ground: Ground, template: str) -> str:
    if template.startswith("haproxy"):
        return f"ssl verify required ca-file {ground.authority}"
    return f"proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_trusted_certificate {ground.authority};"


def _started(contestant: Contestant, ground: Ground, home: Path, argv: list[str], port: int) -> Standing:
    program = Program(contestant.title, ground.cores.pinned(ground.cores.gateway, argv), home / "log")
    return awaited(program, Endpoint(port, KEY), contestant.speaks, "u0__")


NGINX = Contestant(
    "nginx", "nginx, proxying the same bytes", "limit", start_nginx, "modern", remark="key match", cannot=STDIO
)
NGINX_LEGACY = Contestant(
    "nginx-legacy", "nginx, proxying 2025-11-25", "limit", start_nginx, "sessions", remark="key match", cannot=STDIO
)
HAPROXY = Contestant(
    "haproxy", "HAProxy, proxying the same bytes", "limit", start_haproxy, "modern", remark="key match", cannot=STDIO
)

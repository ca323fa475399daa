"""The machine the figures come from: its cores, its tools, the versions of what is measured."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEBIAN_PACKAGES = ("nginx", "libnginx-mod-http-lua", "lua-cjson", "wrk", "haproxy")
LUA_MODULES = (Path("/usr/lib/nginx/modules/ndk_http_module.so"), Path("/usr/lib/nginx/modules/ngx_http_lua_module.so"))
LIBRARIES = ("uvloop", "httptools", "uvicorn", "msgspec", "structlog", "websockets")


class ToolsMissing(Exception):
    """A program that the measurement needs is not there and cannot be installed from here."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the gateway gets and which the load and the upstreams share; None where nothing is pinned."""

    gateway: int | None
    load: int | None

    def pinned(self, core: int | None, argv: Sequence[str]) -> list[str]:
        return list(argv) if core is None else ["taskset", "-c", str(core), *argv]


def choose_cores() -> Cores:
    """The first two cores this process may use; no pinning on a single core or without taskset."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or shutil.which("taskset") is None:
        return Cores(None, None)
    return Cores(usable[0], usable[1])


def find_program(name: str) -> str | None:
    """The path of a program, looking in the system folders that a plain user's PATH lacks."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def ensure_tools() -> None:
    """Install what of DEBIAN_PACKAGES is missing. Raises ToolsMissing."""
    if _tools_present():
        return
    wanted = " ".join(DEBIAN_PACKAGES)
    if shutil.which("apt-get") is None:
        raise ToolsMissing(f"The bench needs these programs, and apt-get is not here to install them: {wanted}.")
    if os.geteuid() != 0:
        raise ToolsMissing(f"The bench needs these programs. Install them with: sudo apt-get install {wanted}")
    _install(DEBIAN_PACKAGES)
    if not _tools_present():
        raise ToolsMissing(f"apt-get could not install everything the bench needs: {wanted}.")


def _tools_present() -> bool:
    programs = all(find_program(name) for name in ("nginx", "haproxy", "wrk"))
    cjson = any(next(Path("/usr/lib").glob(pattern), None) for pattern in ("*/lua/5.1/cjson.so", "lua/5.1/cjson.so"))
    return programs and cjson and all(module.exists() for module in LUA_MODULES)


def _install(packages: Sequence[str]) -> None:
    """RUNLEVEL=1 keeps Debian's scripts from starting the nginx service of the system."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    print(f"installing {' '.join(packages)}", flush=True)
    if subprocess.run(install, env=environment, stdout=subprocess.DEVNULL, timeout=300).returncode != 0:
        subprocess.run(["apt-get", "update", "-q"], env=environment, stdout=subprocess.DEVNULL, timeout=300)
        subprocess.run(install, env=environment, stdout=subprocess.DEVNULL, timeout=300)


def describe(cores: Cores) -> dict[str, object]:
    """Machine and versions, as they go into the results."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
        "system": _system_name(),
        "gateway_core": cores.gateway,
        "load_core": cores.load,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {
        "python": sys.version.split()[0],
        "nginx": _first_match(["nginx", "-v"], r"nginx/(\S+)"),
        "haproxy": _first_match(["haproxy", "-v"], r"version (\S+)"),
        "wrk": _first_match(["wrk", "-v"], r"wrk (?:debian/)?(\S+)"),
    }
    for name in ("toolyard", *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The short commit of the working tree, with `-dirty` when sources differ from it."""
    short = _first_match(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], r"(\S+)")
    changed = subprocess.run(
        ["git", "-C", str(ROOT), "status", "--porcelain", "src", "pyproject.toml"], capture_output=True, text=True
    ).stdout.strip()
    return f"{short}-dirty" if changed else short


def _first_match(argv: Sequence[str], pattern: str) -> str:
    program = find_program(argv[0])
    if program is None:
        return "missing"
    done = subprocess.run([program, *argv[1:]], capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "unknown"


def _cpu_model() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.machine()


def _system_name() -> str:
    release = Path("/etc/os-release")
    found = re.search(r'PRETTY_NAME="?([^"\n]+)', release.read_text()) if release.exists() else None
    return found.group(1) if found else platform.system()

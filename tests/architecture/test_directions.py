"""What the import contracts in pyproject.toml cannot say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "toolyard"
MAY_OPEN_SOCKETS = {
    "net",  # everything that leaves
    "gateway/server.py",  # listens
    "supervisor.py",  # holds the port
    "cli",  # talks to our own gateway
}
SUPERVISORS = {
    "control/publisher/publisher.py",
    "gateway/express.py",
    "gateway/ride.py",
    "gateway/wire.py",
    "gateway/feed/control.py",
    "gateway/feed/watch.py",
    "gateway/tasks/running.py",
    "gateway/upstream/native.py",
    "gateway/workers/link.py",
    "gateway/workers/peers.py",
}


def _modules() -> list[tuple[str, ast.Module]]:
    return [(str(p.relative_to(SOURCE)), ast.parse(p.read_text())) for p in sorted(SOURCE.rglob("*.py"))]


def _calls(tree: ast.Module) -> set[str]:
    return {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}


def test_only_net_opens_connections_to_elsewhere() -> None:
    opening = {"create_connection", "open_connection", "sock_connect", "getaddrinfo"}
    offenders = [
        name
        for name, tree in _modules()
        if _calls(tree) & opening and not any(name.startswith(allowed) for allowed in MAY_OPEN_SOCKETS)
    ]
    assert offenders == []


def test_every_exception_is_caught_only_by_the_named_supervisors() -> None:
    offenders = []
    for name, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
                if broad and name not in SUPERVISORS:
                    offenders.append(f"{name}:{node.lineno}")
    assert offenders == []


def test_the_protocol_does_no_io() -> None:
    forbidden = {"asyncio", "socket", "ssl", "subprocess", "threading", "os", "pathlib"}
    offenders = []
    for name, tree in _modules():
        if not name.startswith("protocol/"):
            continue
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            offenders += [f"{name}: {n}" for n in names if n.split(".")[0] in forbidden]
    assert offenders == []


def test_no_module_circles() -> None:
    import grimp

    graph = grimp.build_graph("toolyard", include_external_packages=False)
    for package in ("toolyard", "toolyard.gateway", "toolyard.protocol", "toolyard.net", "toolyard.contract"):
        broken = graph.nominate_cycle_breakers(package)
        assert not broken, f"circle in {package}: {sorted(broken)}"


def test_help_loads_nothing_of_the_data_plane() -> None:
    script = (
        "import sys; sys.argv=['toolyard','--help']\n"
        "from toolyard.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "late={'cryptography','uvloop','structlog'}\n"
        "heavy=[m for m in sys.modules if m.startswith('toolyard.gateway') or m in late]\n"
        "sys.stderr.write(repr(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]"

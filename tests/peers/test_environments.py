"""How peers' environments are built and kept, without building any."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.peers import environments
from tests.peers.environments import Environment, EnvironmentUnavailable, environment


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of the environments that were built; building takes no longer than noting it."""
    names: list[str] = []

    def build(made: Environment, packages: tuple[str, ...]) -> None:
        assert made.folder.is_dir()
        names.append(made.name)

    monkeypatch.setenv("TOOLYARD_PEERS_DIR", str(tmp_path))
    monkeypatch.setitem(environments.PEERS, "sample", ("python", ("sample==1",)))
    monkeypatch.setitem(environments._BUILDERS, "python", build)
    return names


def test_an_environment_is_built_once_and_again_when_its_pins_change(
    built: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert environment("sample").folder == tmp_path / "sample"
    environment("sample")
    assert built == ["sample"]
    monkeypatch.setitem(environments.PEERS, "sample", ("python", ("sample==2",)))
    environment("sample")
    assert built == ["sample", "sample"]


def test_a_build_that_was_cut_short_is_begun_anew(built: list[str], tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "half").write_text("", encoding="utf-8")
    environment("sample")
    assert built == ["sample"]
    assert not (tmp_path / "sample" / "half").exists()


def test_two_who_want_an_environment_at_once_build_it_once(built: list[str]) -> None:
    waiting = [threading.Thread(target=environment, args=("sample",)) for _ in range(2)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(30)
    assert built == ["sample"]


def test_a_step_that_fails_is_told_with_what_it_wrote(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no such package')"]
    with pytest.raises(EnvironmentUnavailable, match=r"'sample': exit code 1 of .*\n.*no such package"):
        environments._run("sample", failing, tmp_path, {})


def test_every_peer_is_pinned_to_an_exact_version() -> None:
    for kind, packages in environments.PEERS.values():
        for package in packages:
            name, _, version = package.rpartition("==" if kind == "python" else "@")
            assert name
            assert version[0].isdigit()


def test_a_name_that_is_no_peer_is_refused_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, environments.__file__, "no-such-peer"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "mcp2" in done.stderr

"""Unix sockets whose path is longer than a socket address can hold."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from toolyard.kit.unix_path import MAX_BYTES, socket_address


def of_length(directory: Path, length: int) -> Path:
    """A path of that many bytes in a directory that exists."""
    name = "g.sock"
    missing = length - len(os.fsencode(directory)) - len(name) - 2
    long = directory / ("d" * (missing - 100)) / ("e" * 99) if missing > 200 else directory / ("d" * missing)
    long.mkdir(parents=True)
    path = long / name
    assert len(os.fsencode(path)) == length
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no name of an open directory")
@pytest.mark.parametrize("length", [MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1, 107, 108, 350])
def test_a_socket_is_bound_and_reached_whatever_the_length_of_its_path(length):
    with tempfile.TemporaryDirectory(prefix="ty") as short:
        directory = Path(short)
        path = of_length(directory, length)
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as calling:
            with socket_address(path) as address:
                listening.bind(address)
            listening.listen()
            assert path.is_socket()
            with socket_address(path) as address:
                calling.connect(address)
                assert len(os.fsencode(address)) <= 107


def test_a_short_path_is_its_own_address():
    with socket_address(Path("/run/g.sock")) as address:
        assert address == "/run/g.sock"


def test_a_directory_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"), socket_address(tmp_path / ("x" * 120) / "g.sock"):
        pass


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files where the system tells them")
def test_nothing_stays_open_after_the_block(tmp_path):
    path = of_length(tmp_path, 300)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ValueError, match="of the test"), socket_address(path):
        raise ValueError("of the test")
    assert len(os.listdir("/proc/self/fd")) == before

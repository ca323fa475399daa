"""A command line in a directory of its own, with nothing of the tester's environment in it."""

import os

import pytest

from toolyard.cli.main import execute
from toolyard.settings import SETTINGS


class CommandLine:
    """Runs commands in this process; `out` and `err` are what the last one printed."""

    def __init__(self, capsys):
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words):
        self._capsys.readouterr()
        code = execute([str(word) for word in words])
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home directory and an empty current directory beside it; returns the latter's parent."""
    read_too = {name for setting in SETTINGS for name in setting.env}
    for name in list(os.environ):
        if name.startswith("TOOLYARD_") or name in read_too:
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("TOOLYARD_CONTROL", "off")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.fixture
def here(home):
    """The current directory."""
    return home.parent / "here"


@pytest.fixture
def toolyard(home, capsys):
    """The command line."""
    return CommandLine(capsys)

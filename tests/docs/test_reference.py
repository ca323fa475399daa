"""The reference is complete and is what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import REFERENCE, ROOT
from toolyard.contract.snapshot import Snapshot
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.feed.file import load_settings, load_text
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.gateway.journal import Journal
from toolyard.gateway.metrics import Metrics
from toolyard.gateway.operations import operations_routes
from toolyard.gateway.relay import Relay
from toolyard.kit.clock import SystemClock
from toolyard.settings import SETTINGS, default_settings


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_the_generated_pages_are_what_the_code_says_now() -> None:
    stale = [path.name for path, text in _generate().pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python docs/generate.py"


def test_every_setting_is_in_the_reference() -> None:
    page = _page("settings.md")
    assert [one.key for one in SETTINGS if f"`{one.key}`" not in page] == []
    assert [name for one in SETTINGS for name in one.env if f"`{name}`" not in page] == []


def test_the_example_of_an_environment_sets_every_setting_to_its_default(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    entries = [line.removeprefix("#").partition("=") for line in lines if re.match(r"#[A-Z_]+=", line)]
    environ = {name: value for name, _, value in entries}
    assert list(environ) == [one.env[0] for one in SETTINGS]
    assert load_settings(tmp_path / "none", environ) == default_settings(tmp_path)
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_every_error_code_is_in_the_reference() -> None:
    page = _page("errors.md")
    codes = {cls.code for cls in _generate().all_errors()}
    assert len(codes) > 50
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_every_command_is_in_the_reference() -> None:
    page = _page("command-line.md")
    words = [words for words, command in _generate().all_commands() if not hasattr(command, "commands")]
    assert len(words) > 15
    assert [one for one in words if f"## `{one}`" not in page] == []


def test_every_metric_is_in_the_reference() -> None:
    page = _page("metrics.md")
    names = {name + ("_total" if kind == "counter" else "") for name, _, kind, _ in Metrics().families()}
    assert len(names) > 5
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_every_path_is_in_the_reference() -> None:
    page = _page("urls.md")
    gateway = Gateway(
        Snapshot(1, "", {}, {}, {}),
        make_upstream=_no_upstream,
        journal=Journal(None),
        clock=SystemClock(),
        peppers=dict,
    )
    relay = Relay(Path("control.sock"), scheme="http", body_bytes=1)
    routes = [*gateway.routes(), *operations_routes(lambda: True, gateway.metrics), *relay.routes()]
    assert len(routes) > 10
    assert {route.pattern for route in routes if f"`{route.pattern}`" not in page} == set()


def _no_upstream(*_: Any) -> Any:
    raise AssertionError("there are no upstreams here")


@pytest.mark.parametrize(
    "text",
    [
        "upstreams: {a: {builtin: demo, zz9: 1}}",
        "upstreams: {a: {url: 'http://example.com', tls: {zz9: 1}}}",
        "upstreams: {a: {builtin: demo, tools: {echo: {zz9: 1}}}}",
        "servers: {a: {zz9: 1}}",
        "servers: {a: {limits: {zz9: 1}}}",
        "zz9: 1",
    ],
)
def test_every_key_of_the_file_is_in_the_reference(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigRejected) as rejected:
        load_text(text, tmp_path / "toolyard.yaml", environ={}, keys={}, revision=1)
    told = next(problem.message for problem in rejected.value.problems if "known here" in problem.message)
    known = told.partition("known here: ")[2].split(", ")
    assert known
    page = _page("configuration.md")
    assert [key for key in known if f"`{key}`" not in page] == []

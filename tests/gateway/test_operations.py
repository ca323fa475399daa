"""What operators see: health, metrics, status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.rig import Rig, a_key, demo, play, snapshot
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway.call import Answer, Head


class Kept:
    """A sink that keeps the answer."""

    is_gone = False

    def __init__(self) -> None:
        self.answer: Answer | None = None

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        raise AssertionError("no stream is wanted")

    def finish(self, answer: Answer) -> None:
        self.answer = answer

    def outlive_client(self) -> None:
        raise AssertionError("an operator's request ends with its client")


async def asked(rig: Rig, path: str) -> Any:
    sink = Kept()
    route = next(r for r in rig.gateway.routes() if r.pattern == path)
    await route.handler(Head("http", "GET", path, {}, operator=True), b"", sink)
    assert sink.answer is not None
    assert sink.answer.body is not None
    return json.loads(sink.answer.body)


def dead(upstream_id: str) -> UpstreamSpec:
    return UpstreamSpec(upstream_id, "mcp-http", url="http://127.0.0.1:9/mcp", timeout_s=5)


def test_calls_are_counted_with_their_outcome_and_time() -> None:
    async def scene(rig: Rig) -> None:
        await rig.modern("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        await rig.modern("tools/call", {"name": "add", "arguments": {}})
        await rig.modern("tools/call", {"name": "nope", "arguments": {}})
        text = (await rig.http("GET", "/metrics")).body.decode()
        for outcome in ("ok", "tool_error", "refused"):
            labels = f'method="tools/call",outcome="{outcome}",transport="http"'
            assert f"toolyard_requests_total{{{labels}}} 1.0" in text
        assert 'toolyard_request_seconds_count{method="tools/call"} 3.0' in text
        assert 'toolyard_refusals_total{reason="tool_unknown"} 1.0' in text

    play(scene)


def test_the_status_tells_the_error_rate() -> None:
    async def scene(rig: Rig) -> None:
        for _ in range(3):
            await rig.modern("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        status = await asked(rig, "/operator/status")
        assert status["calls"] == {"ok": 3}
        assert status["error_rate"] == 0.0

    play(scene)


def test_a_failing_upstream_is_shown_with_its_reason_and_without_its_address() -> None:
    async def scene(rig: Rig) -> None:
        (shown,) = [u for u in await asked(rig, "/operator/upstreams") if u["id"] == "gone"]
        assert shown["state"] == "failing"
        assert shown["error_code"] == "upstream_unreachable"
        assert "127.0.0.1" not in json.dumps(shown)
        (server,) = await asked(rig, "/operator/servers")
        assert server["never_seen"] == ["gone"]
        assert server["tools"] == 5

    play(scene, snapshot(demo(), dead("gone"), servers=(ServerSpec("default", access="open"),)))


@pytest.mark.parametrize("path", ["/operator/status", "/operator/upstreams", "/operator/servers"])
def test_operators_routes_do_not_exist_for_anybody_else(path: str) -> None:
    key, record = a_key("default")

    async def scene(rig: Rig) -> None:
        assert (await rig.http("GET", path)).status == 404
        assert (await rig.http("GET", path, {"authorization": f"Bearer {key}"})).status == 404

    play(scene, snapshot(demo(), servers=(ServerSpec("default"),), keys=(record,)))


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/api/v1/system/health"])
def test_health_says_up_or_down_and_nothing_else(path: str) -> None:
    async def scene(rig: Rig) -> None:
        reply = await rig.http("GET", path)
        assert (reply.status, reply.message) == (200, {"status": "ok"})

    play(scene)


def test_a_probe_of_oauth_metadata_finds_nothing() -> None:
    async def scene(rig: Rig) -> None:
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server/mcp", "/", "/x"):
            assert (await rig.http("GET", path)).status == 404

    play(scene)

"""How many sessions of older revisions there may be in all, and for how long, as the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.rig import BOTH, Rig, a_key, bearer, demo, play, rpc, snapshot
from toolyard.contract.snapshot import ServerSpec
from toolyard.from_settings import bounds_of
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.feed.file import load_text
from toolyard.gateway.sessions import SessionLimits
from toolyard.kit.clock import ManualClock

HELLO = rpc("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})


@pytest.mark.parametrize(
    ("text", "environ", "limits"),
    [
        ("", {}, (1000, 3600.0)),
        ("sessions: {max: 5, idle: 2m}", {}, (5, 120.0)),
        ("sessions: {max: 5, idle: 2m}", {"MCP_MAX_SESSIONS": "7", "MCP_SESSION_TIMEOUT": "60"}, (7, 60.0)),
    ],
)
def test_the_limits_are_those_of_the_file_and_of_the_founding_variables(
    text: str, environ: dict[str, str], limits: tuple[int, float], tmp_path: Path
) -> None:
    settings = load_text(text, tmp_path / "toolyard.yaml", environ=environ, keys={}, revision=1).settings
    sessions = bounds_of(settings).sessions
    assert (sessions.total, sessions.idle_s) == limits


def test_all_principals_together_have_no_more_sessions_than_there_may_be() -> None:
    keys = [a_key() for _ in range(3)]
    bounds = Bounds(sessions=SessionLimits(total=2, per_principal=2, idle_s=60))

    async def scene(rig: Rig) -> None:
        streams = []
        for key, _ in keys[:2]:
            session = await rig.initialize(headers=bearer(key))
            headers = {"accept": BOTH, "mcp-session-id": session, **bearer(key)}
            streams.append(await rig.open("GET", "/mcp", headers))
        refused = await rig.legacy(HELLO, headers=bearer(keys[2][0]))
        assert (refused.status, refused.error["data"]["reason"]) == (503, "too_many_sessions")
        assert len(rig.gateway.sessions) == 2
        for stream in streams:
            stream.close()

    play(
        scene,
        snapshot(demo(), servers=(ServerSpec("default"),), keys=tuple(record for _, record in keys)),
        bounds=bounds,
    )


def test_a_session_that_is_used_stays_and_one_that_is_not_is_the_ordinary_404() -> None:
    clock = ManualClock()
    bounds = Bounds(sessions=SessionLimits(total=10, per_principal=10, idle_s=3600))

    async def scene(rig: Rig) -> None:
        used, unused = await rig.initialize(), await rig.initialize()
        clock.advance(3000)
        assert (await rig.legacy(rpc("ping"), used)).status == 200
        clock.advance(601)
        rig.gateway.sweep()
        assert (await rig.legacy(rpc("ping"), used)).status == 200
        assert (await rig.legacy(rpc("ping"), unused)).status == 404

    play(scene, snapshot(demo(), servers=(ServerSpec("default", access="open"),)), clock=clock, bounds=bounds)

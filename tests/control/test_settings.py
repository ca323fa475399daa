"""Settings and switches that change while everything runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.facts import Fact
from toolyard.control.base.tables import new_id
from toolyard.control.identity.model import OrganizationRow
from toolyard.control.settings.events import SettingChanged, SettingReset
from toolyard.control.settings.routes import settings_slice
from toolyard.control.settings.service import RunTimeSettings, default_timeouts, tools_switched_off
from toolyard.control.tools.model import ToolRow
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.specs import UNSAID, with_timeout
from toolyard.policy.permissions import BUILT_IN

pytestmark = pytest.mark.slow

OURS, PLATFORM = "/api/v1/settings", "/api/v1/platform/settings"
TIMEOUT = "default_timeout_seconds"
OTHER = Caller("us_other", "user", "or_other", BUILT_IN["organization_admin"])
OWNER = Caller("us_owner", "user", "default", BUILT_IN["organization_admin"])
MEMBER = Caller("us_member", "user", "default", BUILT_IN["member"])
SETTINGS = RunTimeSettings({"registration": True})


def tried(url: URL, test: Callable[[Api], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving(url, [settings_slice(SETTINGS)], OTHER, OWNER, MEMBER) as api:
            async with api.works.write(the_system("")) as work:
                now = work.now
                work.session.add(OrganizationRow(id="or_other", slug="other", name="O", created_at=now, updated_at=now))
            await test(api)

    asyncio.run(run())


async def value(api: Api, key: str, who: str = "us_owner") -> Any:
    return (await api.ask("GET", f"{OURS}/{key}", who=who)).json()["value"]


def test_all_settings_are_listed_with_their_defaults(url: URL) -> None:
    async def test(api: Api) -> None:
        listed = {one["key"]: one for one in (await api.ask("GET", OURS, who="us_owner")).json()["items"]}
        assert set(listed) == {"registration", "reveal_keys", "discovery", TIMEOUT}
        assert listed[TIMEOUT]["value"] == 15.0
        assert (listed["registration"]["value"], listed["registration"]["source"]) == (True, "default")
        assert listed["reveal_keys"]["value"] is False

    tried(url, test)


def test_a_changed_setting_holds_at_once_and_says_so(url: URL) -> None:
    async def test(api: Api) -> None:
        heard: list[Fact] = []
        api.works.listen(heard.extend)
        answer = (await api.ask("PATCH", OURS, who="us_owner", json={TIMEOUT: 20, "service.mail": True})).json()
        assert answer["effective_immediately"] is True
        assert {one["key"]: one["value"] for one in answer["settings"]} == {TIMEOUT: 20.0, "service.mail": True}
        assert await value(api, TIMEOUT) == 20.0
        assert (await api.ask("GET", "/api/v1/switches/service.mail", who="us_member")).json()["on"] is True
        assert heard == [SettingChanged(TIMEOUT, "organization"), SettingChanged("service.mail", "organization")]
        await api.ask("PATCH", OURS, who="us_owner", json={TIMEOUT: 20})
        assert len(heard) == 2

    tried(url, test)


def test_of_several_settings_all_are_changed_or_none(url: URL) -> None:
    async def test(api: Api) -> None:
        refused = await api.ask("PATCH", OURS, who="us_owner", json={TIMEOUT: 20, "discovery": "maybe"})
        assert (refused.status_code, refused.json()["code"]) == (422, "setting_value_refused")
        assert await value(api, TIMEOUT) == 15.0

    tried(url, test)


REFUSED: list[tuple[str, Any, int, str]] = [
    ("colour", "red", 404, "setting_unknown"),
    ("service.", True, 404, "setting_unknown"),
    ("tool.search", False, 404, "setting_unknown"),
    ("own." + "x" * 200, 1, 404, "setting_unknown"),
    (TIMEOUT, 0, 422, "setting_value_refused"),
    (TIMEOUT, True, 422, "setting_value_refused"),
    ("own.big", "x" * 20_000, 422, "setting_value_refused"),
    ("registration", True, 403, "setting_of_platform"),
    ("reveal_keys", True, 403, "setting_of_platform"),
]


def test_what_cannot_be_set_is_refused(url: URL) -> None:
    async def test(api: Api) -> None:
        for key, wanted, status, code in REFUSED:
            answer = await api.ask("PUT", f"{OURS}/{key}", who="us_owner", json={"value": wanted})
            assert (answer.status_code, answer.json()["code"]) == (status, code), key

    tried(url, test)


ODD = ["NaN", "1e999", '"a\\u0000b"', '[{"a": "\\ud800"}]', '{"\\u0000": 1}', "9" * 30]


def test_a_value_that_would_not_come_back_as_it_is_is_refused(url: URL) -> None:
    async def test(api: Api) -> None:
        headers = {"content-type": "application/json"}
        for value in ODD:
            body = f'{{"value": {value}}}'
            answer = await api.ask("PUT", f"{OURS}/own.a", who="us_owner", content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), value

    tried(url, test)


def test_an_organization_says_for_itself_what_the_platform_says_for_all(url: URL) -> None:
    async def test(api: Api) -> None:
        await api.ask("PUT", f"{PLATFORM}/{TIMEOUT}", json={"value": 40})
        assert await value(api, TIMEOUT) == await value(api, TIMEOUT, "us_other") == 40
        await api.ask("PUT", f"{OURS}/{TIMEOUT}", who="us_owner", json={"value": 5})
        assert (await value(api, TIMEOUT), await value(api, TIMEOUT, "us_other")) == (5, 40)
        await api.ask("DELETE", f"{OURS}/{TIMEOUT}", who="us_owner")
        await api.ask("DELETE", f"{PLATFORM}/{TIMEOUT}")
        assert await value(api, TIMEOUT) == 15

    tried(url, test)


def test_the_default_time_limit_reaches_upstreams_that_have_none_of_their_own(url: URL) -> None:
    async def test(api: Api) -> None:
        async def limits() -> tuple[float, float]:
            async with api.works.read(the_system("")) as work:
                timeout = await default_timeouts(work)
            return timeout("default"), timeout("or_other")

        assert await limits() == (15.0, 15.0)
        await api.ask("PUT", f"{PLATFORM}/{TIMEOUT}", json={"value": 40})
        await api.ask("PUT", f"{OURS}/{TIMEOUT}", who="us_owner", json={"value": 5})
        assert await limits() == (5.0, 40.0)
        spec = UpstreamSpec("docs", "mcp-http", url="http://127.0.0.1:9/", timeout_s=UNSAID)
        assert with_timeout(spec, 5.0).timeout_s == 5.0
        assert with_timeout(replace(spec, timeout_s=30.0), 5.0).timeout_s == 30.0

    tried(url, test)


def test_a_switch_that_the_platform_turned_off_is_off_everywhere(url: URL) -> None:
    async def test(api: Api) -> None:
        await api.ask("PUT", f"{OURS}/discovery", who="us_owner", json={"value": True})
        await api.ask("PUT", f"{PLATFORM}/discovery", json={"value": False})
        seen = (await api.ask("GET", f"{OURS}/discovery", who="us_owner")).json()
        assert (seen["value"], seen["source"]) == (False, "platform")

    tried(url, test)


def test_only_who_may_change_the_platform_does(url: URL) -> None:
    async def test(api: Api) -> None:
        for method, path, more in (
            ("GET", PLATFORM, {}),
            ("PATCH", PLATFORM, {"json": {"registration": False}}),
            ("POST", f"{PLATFORM}/import", {"json": {"settings": {}}}),
        ):
            assert (await api.ask(method, path, who="us_owner", **more)).json()["code"] == "forbidden"
        assert (await api.ask("PATCH", OURS, who="us_member", json={})).json()["code"] == "forbidden"
        changed = (await api.ask("PATCH", PLATFORM, json={"registration": False})).json()
        assert changed["settings"][0]["value"] is False
        assert await value(api, "registration") is False

    tried(url, test)


def test_an_organizations_settings_are_nobody_elses_business(url: URL) -> None:
    async def test(api: Api) -> None:
        await api.ask("PUT", f"{OURS}/own.colour", who="us_owner", json={"value": {"r": 1}})
        assert await value(api, "own.colour", "us_other") is None
        assert (await api.ask("GET", f"{OURS}/export", who="us_other")).json()["settings"] == {}
        await api.ask("POST", f"{OURS}/reset", who="us_other", json={})
        assert await value(api, "own.colour") == {"r": 1}

    tried(url, test)


def test_what_was_exported_is_imported_elsewhere_each_with_its_result(url: URL) -> None:
    async def test(api: Api) -> None:
        await api.ask("PATCH", OURS, who="us_owner", json={TIMEOUT: 7, "own.colour": "red", "tool.docs/x y": False})
        exported = (await api.ask("GET", f"{OURS}/export", who="us_owner")).json()
        assert exported["settings"] == {TIMEOUT: 7.0, "own.colour": "red", "tool.docs/x y": False}
        await api.ask("PUT", f"{OURS}/own.gone", who="us_other", json={"value": 1})
        exported["settings"]["colour"] = "red"
        wanted = {**exported, "replace": True}
        done = (await api.ask("POST", f"{OURS}/import", who="us_other", json=wanted)).json()
        assert (done["succeeded"], done["failed"]) == (4, 1)
        assert [one["problem"]["code"] for one in done["results"] if not one["ok"]] == ["setting_unknown"]
        theirs = (await api.ask("GET", f"{OURS}/export", who="us_other")).json()["settings"]
        assert theirs == {TIMEOUT: 7.0, "own.colour": "red", "tool.docs/x y": False}

    tried(url, test)


def test_a_batch_changes_and_resets_and_tells_of_each(url: URL) -> None:
    async def test(api: Api) -> None:
        await api.ask("PUT", f"{OURS}/{TIMEOUT}", who="us_owner", json={"value": 7})
        operations = [
            {"key": "own.a", "value": 1},
            {"operation": "reset", "key": TIMEOUT},
            {"key": "registration", "value": True},
        ]
        done = (await api.ask("POST", f"{OURS}/batch", who="us_owner", json={"operations": operations})).json()
        assert [one["ok"] for one in done["results"]] == [True, True, False]
        assert done["effective_immediately"] is True
        assert (await value(api, "own.a"), await value(api, TIMEOUT)) == (1, 15)

    tried(url, test)


def test_a_reset_gives_everything_its_default_again(url: URL) -> None:
    async def test(api: Api) -> None:
        heard: list[Fact] = []
        await api.ask("PATCH", OURS, who="us_owner", json={TIMEOUT: 7, "own.a": 1})
        api.works.listen(heard.extend)
        answer = (await api.ask("POST", f"{OURS}/reset", who="us_owner", json={})).json()
        assert {one["key"]: one["source"] for one in answer["settings"]} == {TIMEOUT: "default", "own.a": "default"}
        assert heard == [SettingReset(TIMEOUT, "organization"), SettingReset("own.a", "organization")]

    tried(url, test)


def test_nobody_overwrites_a_setting_that_was_changed_meanwhile(url: URL) -> None:
    async def test(api: Api) -> None:
        path = f"{OURS}/{TIMEOUT}"
        seen = {"if-match": (await api.ask("GET", path, who="us_owner")).headers["etag"]}
        first = await api.ask("PUT", path, who="us_owner", json={"value": 3}, headers=seen)
        assert first.status_code == 200
        assert (await api.ask("PUT", path, who="us_owner", json={"value": 4}, headers=seen)).status_code == 412
        assert (await api.ask("DELETE", path, who="us_owner", headers=seen)).status_code == 412
        newer = {"if-match": first.headers["etag"]}
        assert (await api.ask("DELETE", path, who="us_owner", headers=newer)).status_code == 204

    tried(url, test)


def test_a_tool_is_available_if_it_is_there_and_nobody_switched_it_off(url: URL) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/switches/tool.docs/search"
        assert (await api.ask("GET", path, who="us_member")).json()["on"] is False
        async with api.works.write(the_system("default")) as work:
            common = {"organization_id": "default", "created_at": work.now, "updated_at": work.now}
            upstream = UpstreamRow(id=new_id("up"), name="docs", kind="mcp-http", url="http://127.0.0.1:9/", **common)
            work.session.add(upstream)
            await work.session.flush()
            work.session.add(
                ToolRow(
                    id=new_id("to"), upstream_id=upstream.id, kind="tool", name="search", key="k", label="search",
                    digest="d", first_seen_at=work.now, changed_at=work.now, **common,
                )
            )  # fmt: skip
        assert (await api.ask("GET", path, who="us_member")).json()["on"] is True
        assert (await api.ask("GET", path, who="us_other")).json()["on"] is False
        await api.ask("PUT", f"{OURS}/tool.docs/search", who="us_owner", json={"value": False})
        assert (await api.ask("GET", path, who="us_member")).json()["on"] is False
        await api.ask("PUT", f"{PLATFORM}/tool.docs/all", json={"value": False})
        async with api.works.read(the_system("")) as work:
            off = await tools_switched_off(work)
        assert off == {None: frozenset({"docs/all"}), "default": frozenset({"docs/search"})}

    tried(url, test)


def test_a_feature_of_ones_own_is_off_until_somebody_switches_it_on(url: URL) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/switches/service.registration_automation"
        assert (await api.ask("GET", path, who="us_member")).json()["on"] is False
        await api.ask("PATCH", OURS, who="us_owner", json={"service.registration_automation": True})
        assert (await api.ask("GET", path, who="us_member")).json()["on"] is True

    tried(url, test)

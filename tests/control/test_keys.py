"""API keys through the API: AUTH-05, AUTH-06, SEC-03 and SEC-06 of the attack book, and what gateways get of them."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.contract.snapshot import KeyRecord, RateLimit
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.facts import Fact, FactRow
from toolyard.control.base.work import Work
from toolyard.control.identity.model import MemberRow, OrganizationRow, UserRow
from toolyard.control.keys.events import KeyIssued, KeyRevealed, KeyRevoked, KeyRotated
from toolyard.control.keys.model import KeyRow
from toolyard.control.keys.records import key_records
from toolyard.control.keys.routes import keys_slice
from toolyard.control.keys.service import ApiKeys
from toolyard.control.servers.routes import servers_slice
from toolyard.control.settings.routes import settings_slice
from toolyard.control.settings.service import RunTimeSettings
from toolyard.kit.sealing import DataKey, Place, seal, unseal
from toolyard.kit.secret import Secret
from toolyard.policy.keys import Pepper, Refused, verify
from toolyard.policy.permissions import ALL, BUILT_IN

PEPPER = Pepper(3, b"p" * 32)
KEYS = "/api/v1/keys"
START_S = 1_800_000_000.0
OTHER = Caller("us_other", "user", "or_other", BUILT_IN["organization_admin"])
DEVELOPER = Caller("us_dev", "user", "default", BUILT_IN["developer"])
FRESH = Caller("us_fresh", "user", "default", ALL, platform=True, fresh_until=START_S + 300)
STALE = Caller("us_stale", "user", "default", ALL, platform=True, fresh_until=START_S - 1)


@dataclass
class OneKeyVault:
    """A vault whose data keys are in memory."""

    keys: dict[str, DataKey] = field(default_factory=dict)

    async def seal(self, work: Work, place: Place, secret: Secret) -> str:
        key = self.keys.setdefault(place.organization, DataKey.make(place.organization))
        return seal(secret, place, key)

    async def open(self, work: Work, place: Place, text: str) -> Secret:
        return unseal(text, place, self.keys[place.organization])


@dataclass
class Stand:
    """The API with a virtual server."""

    api: Api
    server: str

    async def made(self, **fields: Any) -> dict[str, Any]:
        answer = await self.api.ask("POST", f"/api/v1/servers/{self.server}/keys", json=fields)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def records(self) -> dict[str, KeyRecord]:
        async with self.api.works.read(the_system("")) as work:
            return {one.id: one for one in await key_records(work)}

    async def verified(self, plain: str) -> KeyRecord | Refused:
        return verify(plain, await self.records(), {3: PEPPER.value}, self.api.clock.wall())


def tried(url: URL, test: Callable[[Stand], Awaitable[None]]) -> None:
    async def run() -> None:
        settings = RunTimeSettings()
        keys = ApiKeys(PEPPER, OneKeyVault(), settings)
        slices = [servers_slice("http://x"), keys_slice(keys), settings_slice(settings)]
        async with serving(url, slices, OTHER, DEVELOPER, FRESH, STALE) as api:
            async with api.works.write(the_system("")) as work:
                now = {"created_at": work.now, "updated_at": work.now}
                work.session.add(OrganizationRow(id="or_other", slug="other", name="O", **now))
                work.session.add(UserRow(id="us_dev", username="dev", **now))
                await work.session.flush()
                work.session.add(MemberRow(id="mb_dev", organization_id="default", user_id="us_dev", **now))
            server = (await api.ask("POST", "/api/v1/servers", json={"code": "lab"})).json()["id"]
            await test(Stand(api, server))

    asyncio.run(run())


def moment(after_s: float) -> str:
    return dt.datetime.fromtimestamp(START_S + after_s, dt.UTC).isoformat()


def test_a_new_key_is_shown_once_and_opens_its_server(url: URL) -> None:
    async def test(stand: Stand) -> None:
        heard: list[Fact] = []
        stand.api.works.listen(heard.extend)
        made = await stand.made(name="laptop")
        plain = made.pop("key")
        assert plain.startswith(f"mcp_key_{made['id']}_")
        assert (made["server"], made["state"], made["can_be_revealed"]) == ("lab", "active", False)
        assert made["masked"] == f"mcp_key_{made['id']}_****{plain[-4:]}"
        assert (await stand.api.ask("GET", f"{KEYS}/{made['id']}")).json() == made
        record = await stand.verified(plain)
        assert isinstance(record, KeyRecord)
        assert (record.server, record.organization, record.name) == ("lab", "default", "laptop")
        assert heard == [KeyIssued(made["id"], "lab", "laptop")]

    tried(url, test)


def test_nothing_that_is_stored_answered_or_said_later_has_the_key_in_it(url: URL) -> None:
    async def test(stand: Stand) -> None:
        plain = (await stand.made(name="laptop"))["key"]
        secret = plain.split("_")[3]
        listed = await stand.api.ask("GET", f"/api/v1/servers/{stand.server}/keys")
        assert len(listed.json()["items"]) == 1
        async with stand.api.works.read(the_system("default")) as work:
            row = (await work.session.execute(select(KeyRow))).scalar_one()
            facts = (await work.session.execute(select(FactRow))).scalars().all()
        kept = [str(getattr(row, column.key)) for column in KeyRow.__table__.columns]
        for said in (*kept, *(str(fact.said) for fact in facts), listed.text):
            assert secret not in said

    tried(url, test)


def test_a_key_made_twice_with_one_idempotency_key_is_shown_once_and_is_one(url: URL) -> None:
    async def test(stand: Stand) -> None:
        path, more = f"/api/v1/servers/{stand.server}/keys", {"headers": {"idempotency-key": "k"}, "json": {}}
        first = await stand.api.ask("POST", path, **more)
        assert first.headers["cache-control"] == "no-store"
        again = await stand.api.ask("POST", path, **more)
        assert (again.status_code, again.json()["code"]) == (409, "answer_shown_once")
        assert len(await stand.records()) == 1

    tried(url, test)


def test_gateways_know_all_that_a_key_is_limited_to(url: URL) -> None:
    async def test(stand: Stand) -> None:
        made = await stand.made(
            scopes=["tools:list", "tools:call", "tools:list"], tools=["docs/*"], networks=["10.1.2.3/8"],
            rate={"per_minute": 30, "burst": 5}, not_before=moment(10), expires_at=moment(20), user_id="us_dev",
        )  # fmt: skip
        record = (await stand.records())[made["id"]]
        assert record.scopes == ("tools:list", "tools:call")
        assert (record.tools, record.networks) == (("docs/*",), ("10.0.0.0/8",))
        assert record.per_minute == RateLimit(30, 5)
        assert (record.not_before, record.expires_at, record.owner) == (START_S + 10, START_S + 20, "us_dev")
        states = []
        for step in (0, 10, 10):
            stand.api.clock.advance(step)
            states.append((await stand.api.ask("GET", f"{KEYS}/{made['id']}")).json()["state"])
        assert states == ["not_yet_valid", "active", "expired"]

    tried(url, test)


WRONG: list[dict[str, Any]] = [
    {"scopes": ["read"]},
    {"networks": ["10.0.0.0/33"]},
    {"expires_at": "2020-01-01T00:00:00Z"},
    {"expires_at": "2030-01-01T00:00:00"},
    {"not_before": "2031-01-01T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"},
    {"rate": {"per_minute": -1}},
    {"user_id": "us_stranger"},
    {"organization_id": "or_other"},
    {"digest": "0"},
]


def test_a_key_that_cannot_be_is_not_made(url: URL) -> None:
    async def test(stand: Stand) -> None:
        for fields in WRONG:
            answer = await stand.api.ask("POST", f"/api/v1/servers/{stand.server}/keys", json=fields)
            assert answer.status_code == 422, fields
        assert await stand.records() == {}

    tried(url, test)


def test_a_key_for_somebody_else_is_made_by_who_may_change_people(url: URL) -> None:
    async def test(stand: Stand) -> None:
        path = f"/api/v1/servers/{stand.server}/keys"
        own = await stand.api.ask("POST", path, who="us_dev", json={"user_id": "us_dev"})
        assert own.status_code == 201
        refused = await stand.api.ask("POST", path, who="us_dev", json={"user_id": "us_admin"})
        assert refused.json()["code"] == "forbidden"

    tried(url, test)


def test_a_rotated_key_is_good_for_its_grace_and_the_new_one_may_do_the_same(url: URL) -> None:
    async def test(stand: Stand) -> None:
        heard: list[Fact] = []
        old = await stand.made(name="ci", scopes=["tools:call"], networks=["127.0.0.1"], user_id="us_dev")
        stand.api.works.listen(heard.extend)
        answer = await stand.api.ask("POST", f"{KEYS}/{old['id']}/rotate", json={})
        assert (answer.status_code, answer.headers["toolyard-shown-once"]) == (201, "1")
        new = answer.json()
        assert [new[name] for name in ("name", "scopes", "networks", "user_id")] == [
            old[name] for name in ("name", "scopes", "networks", "user_id")
        ]
        day_s = 24 * 3600
        assert heard == [KeyRotated(old["id"], "lab", new["id"], START_S + day_s)]
        seen = (await stand.api.ask("GET", f"{KEYS}/{old['id']}")).json()
        assert (seen["state"], seen["replaced_by"]) == ("retiring", new["id"])
        stand.api.clock.advance(day_s - 1)
        assert isinstance(await stand.verified(old["key"]), KeyRecord)
        stand.api.clock.advance(1)
        assert await stand.verified(old["key"]) == Refused("retired", old["id"])
        assert isinstance(await stand.verified(new["key"]), KeyRecord)
        again = await stand.api.ask("POST", f"{KEYS}/{old['id']}/rotate", json={})
        assert (again.status_code, again.json()["code"]) == (409, "key_not_active")

    tried(url, test)


def test_who_made_rotated_and_saw_a_key_is_on_record(url: URL) -> None:
    async def test(stand: Stand) -> None:
        await stand.api.ask("PUT", "/api/v1/platform/settings/reveal_keys", json={"value": True})
        made = await stand.made(name="ci")
        await stand.api.ask("POST", f"{KEYS}/{made['id']}/reveal", who="us_fresh")
        await stand.api.ask("POST", f"{KEYS}/{made['id']}/rotate", who="us_dev", json={})
        async with stand.api.works.read(the_system("default")) as work:
            found = select(FactRow.name, FactRow.actor).where(FactRow.subject == made["id"]).order_by(FactRow.number)
            facts = [tuple(one) for one in await work.session.execute(found)]
        assert facts == [
            ("KeyIssued", "user:us_admin"),
            ("KeyRevealed", "user:us_fresh"),
            ("KeyRotated", "user:us_dev"),
        ]

    tried(url, test)


def test_a_revoked_key_opens_nothing_for_good(url: URL) -> None:
    async def test(stand: Stand) -> None:
        heard: list[Fact] = []
        made = await stand.made()
        stand.api.works.listen(heard.extend)
        for _ in range(2):
            revoked = await stand.api.ask("POST", f"{KEYS}/{made['id']}/revoke")
            assert revoked.json()["state"] == "revoked"
        assert heard == [KeyRevoked(made["id"], "lab")]
        assert await stand.verified(made["key"]) == Refused("disabled", made["id"])
        for method, path, body in (("PATCH", "", {"enabled": True}), ("POST", "/rotate", {})):
            refused = await stand.api.ask(method, f"{KEYS}/{made['id']}{path}", json=body)
            assert refused.json()["code"] == "key_not_active"
        stand.api.clock.advance(8 * 24 * 3600)
        assert await stand.records() == {}

    tried(url, test)


def test_a_key_is_switched_off_and_on_again(url: URL) -> None:
    async def test(stand: Stand) -> None:
        made = await stand.made()
        for enabled in (False, True):
            await stand.api.ask("PATCH", f"{KEYS}/{made['id']}", json={"enabled": enabled})
            assert isinstance(await stand.verified(made["key"]), KeyRecord) is enabled

    tried(url, test)


def test_what_a_key_may_do_is_changed_and_its_digest_is_not(url: URL) -> None:
    async def test(stand: Stand) -> None:
        made = await stand.made(rate={"per_minute": 5}, expires_at=moment(50))
        path = f"{KEYS}/{made['id']}"
        wanted = {"name": "new", "tools": ["a"], "rate": None, "expires_at": None}
        changed = (await stand.api.ask("PATCH", path, json=wanted)).json()
        assert {name: changed[name] for name in wanted} == wanted
        for field_ in ("digest", "server_id", "organization_id", "revoked_at", "user_id"):
            assert (await stand.api.ask("PATCH", path, json={field_: "x"})).status_code == 422
        assert (await stand.api.ask("PATCH", path, json={"expires_at": moment(-5)})).status_code == 422
        assert isinstance(await stand.verified(made["key"]), KeyRecord)

    tried(url, test)


def test_a_forgotten_key_is_unknown(url: URL) -> None:
    async def test(stand: Stand) -> None:
        made = await stand.made()
        assert (await stand.api.ask("DELETE", f"{KEYS}/{made['id']}")).status_code == 204
        assert await stand.verified(made["key"]) == Refused("unknown", made["id"])

    tried(url, test)


def test_the_keys_of_a_removed_server_go_with_it(url: URL) -> None:
    async def test(stand: Stand) -> None:
        await stand.made()
        await stand.api.ask("DELETE", f"/api/v1/servers/{stand.server}")
        assert await stand.records() == {}
        assert (await stand.api.ask("GET", KEYS)).json()["items"] == []

    tried(url, test)


@pytest.mark.parametrize("what", ["user", "membership", "organization"])
def test_a_key_opens_nothing_while_whose_it_is_may_not_log_in(url: URL, what: str) -> None:
    async def test(stand: Stand) -> None:
        made = await stand.made(user_id="us_dev")
        assert isinstance(await stand.verified(made["key"]), KeyRecord)
        async with stand.api.works.write(the_system("")) as work:
            if what == "membership":
                await work.session.delete(await work.session.get_one(MemberRow, "mb_dev"))
            elif what == "user":
                (await work.session.get_one(UserRow, "us_dev")).enabled = False
            else:
                (await work.session.get_one(OrganizationRow, "default")).enabled = False
        assert await stand.verified(made["key"]) == Refused("disabled", made["id"])

    tried(url, test)


def test_keys_of_another_organization_are_as_if_they_were_not_there(url: URL) -> None:
    async def test(stand: Stand) -> None:
        made = await stand.made()
        ask = stand.api.ask
        assert (await ask("GET", KEYS, who="us_other")).json()["items"] == []
        assert (await ask("GET", KEYS, who="us_other", params={"server_id": stand.server})).json()["items"] == []
        theirs = await ask("POST", f"/api/v1/servers/{stand.server}/keys", who="us_other", json={})
        assert (theirs.status_code, theirs.json()["code"]) == (404, "server_not_found")
        assert (await ask("GET", f"/api/v1/servers/{stand.server}/keys", who="us_other")).status_code == 404
        for method, path, body in (
            ("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("POST", "/rotate", {}),
            ("POST", "/revoke", None), ("POST", "/reveal", None),
        ):  # fmt: skip
            foreign = await ask(method, f"{KEYS}/{made['id']}{path}", who="us_other", json=body)
            unknown = await ask(method, f"{KEYS}/aaaaaaaaaaaa{path}", who="us_other", json=body)
            assert (foreign.status_code, foreign.json()) == (unknown.status_code, unknown.json())
            assert foreign.status_code == (403 if path == "/reveal" else 404)
        everything = {"operation": "revoke", "ids": [made["id"]]}
        assert (await ask("POST", f"{KEYS}/bulk", who="us_other", json=everything)).json()["failed"] == 1
        assert isinstance(await stand.verified(made["key"]), KeyRecord)

    tried(url, test)


def test_several_keys_are_revoked_and_each_has_its_result(url: URL) -> None:
    async def test(stand: Stand) -> None:
        ids = [(await stand.made())["id"] for _ in range(2)]
        wanted = {"operation": "revoke", "ids": [ids[0], "unknown", ids[1]]}
        done = (await stand.api.ask("POST", f"{KEYS}/bulk", json=wanted)).json()
        assert [one["ok"] for one in done["results"]] == [True, False, True]
        assert all(one.disabled for one in (await stand.records()).values())
        assert (await stand.api.ask("GET", KEYS, params={"enabled": True})).json()["items"] == []

    tried(url, test)


def test_while_showing_keys_again_is_switched_off_the_refusal_has_its_own_code(url: URL) -> None:
    async def test(stand: Stand) -> None:
        made = await stand.made()
        refused = await stand.api.ask("POST", f"{KEYS}/{made['id']}/reveal", who="us_fresh")
        assert (refused.status_code, refused.json()["code"]) == (403, "reveal_disabled")

    tried(url, test)


def test_a_key_is_shown_again_to_who_proved_their_password_and_that_is_recorded(url: URL) -> None:
    async def test(stand: Stand) -> None:
        before = await stand.made()
        await stand.api.ask("PUT", "/api/v1/platform/settings/reveal_keys", json={"value": True})
        made = await stand.made()
        assert made["can_be_revealed"] is True
        heard: list[Fact] = []
        stand.api.works.listen(heard.extend)
        path = f"{KEYS}/{made['id']}/reveal"
        assert (await stand.api.ask("POST", path, who="us_dev")).json()["code"] == "forbidden"
        assert (await stand.api.ask("POST", path, who="us_stale")).json()["code"] == "reauthentication_required"
        assert heard == []
        shown = await stand.api.ask("POST", path, who="us_fresh")
        assert shown.json() == {"id": made["id"], "key": made["key"]}
        assert shown.headers["cache-control"] == "no-store"
        assert heard == [KeyRevealed(made["id"], "lab")]
        lost = await stand.api.ask("POST", f"{KEYS}/{before['id']}/reveal", who="us_fresh")
        assert (lost.status_code, lost.json()["code"]) == (409, "key_not_kept")
        stand.api.clock.advance(301)
        assert (await stand.api.ask("POST", path, who="us_fresh")).status_code == 403

    tried(url, test)

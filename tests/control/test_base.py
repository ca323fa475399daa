"""The ground that every slice of the control plane stands on, tried with a slice of notes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, Response
from pydantic import BaseModel, Field
from sqlalchemy import String, UniqueConstraint, select, text
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from tests.control.api import Api, serving
from toolyard.control.base import migrate
from toolyard.control.base.bulk import BulkResult, each
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice, check_declared
from toolyard.control.base.errors import Invalid, RouteUndeclared, Unkeepable, VersionOutdated
from toolyard.control.base.etags import IfMatch, check_match, tagged
from toolyard.control.base.facts import Fact, FactRow
from toolyard.control.base.gate import MAX_BODY_BYTES, WorkParam
from toolyard.control.base.limits import ClassLimit
from toolyard.control.base.pages import Listed, PageParams
from toolyard.control.base.store import Store
from toolyard.control.base.tables import Owned, Table, new_id, owned
from toolyard.control.base.work import Work
from toolyard.policy.permissions import ALL


class NoteRow(Table, Owned):
    __tablename__ = "test_notes"
    __table_args__ = owned(UniqueConstraint("organization_id", "text"), {"info": {migrate.OWN_HISTORY: True}})

    text: Mapped[str] = mapped_column(String(50))


@dataclass(frozen=True, slots=True)
class NoteWritten(Fact):
    text: str


class Notes(Store[NoteRow]):
    row = NoteRow
    sortable = {"text": NoteRow.text, "created_at": NoteRow.created_at}
    searched = ("text",)


class NewNote(BaseModel):
    text: str = Field(min_length=1, max_length=50)


class Note(NewNote):
    id: str

    @classmethod
    def of(cls, row: NoteRow) -> Note:
        return cls(id=row.id, text=row.text)


async def write(work: Work, text: str) -> NoteRow:
    if text == "broken":
        raise Invalid("this text is broken")
    row = await Notes(work).add(NoteRow(id=new_id("no"), text=text))
    work.announce(NoteWritten(row.id, text))
    return row


def notes() -> Slice:
    one = Slice("notes")

    @one.create("/notes", action="upstreams.write")
    async def create(work: WorkParam, note: NewNote, response: Response) -> Note:
        row = await write(work, note.text)
        tagged(response, row)
        return Note.of(row)

    @one.create("/notes/signs", action="upstreams.write")
    async def sign(work: WorkParam, note: NewNote) -> NewNote:
        work.announce(NoteWritten("no_sign", note.text))
        return note

    @one.get("/notes", action="upstreams.read")
    async def every(work: WorkParam, page: PageParams) -> Listed[Note]:
        found = await Notes(work).page(page)
        return Listed(items=[Note.of(row) for row in found.rows], next_cursor=found.next_cursor)

    @one.patch("/notes/{note_id}", action="upstreams.write")
    async def change(work: WorkParam, note_id: str, note: NewNote, if_match: IfMatch = None) -> Note:
        row = await Notes(work).get(note_id)
        check_match(row, if_match)
        row.text = note.text
        return Note.of(await Notes(work).changed(row))

    @one.post("/notes/bulk", action="upstreams.write")
    async def bulk(work: WorkParam, given: list[str]) -> BulkResult[Note]:
        async def make(text: str) -> Note:
            return Note.of(await write(work, text))

        return await each(work, given, make)

    @one.route("GET", "/notes/broken", Declared("open", "none", "none", "read", transaction=False))
    async def broken() -> None:
        raise RuntimeError("SEKRET-inside")

    return one


def cursor_of(content: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def tried(url: URL, test: Callable[[Api], Awaitable[None]], *callers: Caller, **more: Any) -> None:
    async def run() -> None:
        async with serving(url, [notes()], *callers, **more) as api:
            async with api.works.write(the_system("default")) as work:
                connection = await work.session.connection()
                await connection.run_sync(NoteRow.__table__.create)
            await test(api)

    asyncio.run(run())


def test_what_was_created_is_listed_in_pages_in_any_order(url: URL) -> None:
    async def test(api: Api) -> None:
        for word in ("pear", "apple", "fig", "date", "plum"):
            api.clock.advance(1)
            assert (await api.ask("POST", "/api/v1/notes", json={"text": word})).status_code == 201
        for sort, expected in {
            "text": ["apple", "date", "fig", "pear", "plum"],
            "-text": ["plum", "pear", "fig", "date", "apple"],
            "-created_at": ["plum", "date", "fig", "apple", "pear"],
            None: ["pear", "apple", "fig", "date", "plum"],
        }.items():
            found: list[str] = []
            cursor: str | None = None
            while True:
                params = {"limit": 2, **({"cursor": cursor} if cursor else {}), **({"sort": sort} if sort else {})}
                page = (await api.ask("GET", "/api/v1/notes", params=params)).json()
                found += [one["text"] for one in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert found == expected
        matching = (await api.ask("GET", "/api/v1/notes", params={"q": "P"})).json()["items"]
        assert [one["text"] for one in matching] == ["pear", "apple", "plum"]

    tried(url, test)


@pytest.mark.parametrize("odd", ["' OR '1'='1", "%", "_", "a'; DROP TABLE test_notes; --", "\\", "x\u0000y"])
def test_text_that_looks_like_a_statement_is_only_text(url: URL, odd: str) -> None:
    async def test(api: Api) -> None:
        await api.ask("POST", "/api/v1/notes", json={"text": "plain"})
        for params in ({"q": odd}, {"sort": odd}, {"cursor": odd}):
            answer = await api.ask("GET", "/api/v1/notes", params=params)
            assert answer.status_code == 422 or answer.json()["items"] == []
        assert len((await api.ask("GET", "/api/v1/notes")).json()["items"]) == 1

    tried(url, test)


@pytest.mark.parametrize(
    "params",
    [
        {"cursor": "x"},
        {"cursor": "bm8"},
        {"sort": "secret"},
        {"limit": 0},
        {"other": 1},
        {"sort": "text", "cursor": cursor_of(["text", 1, "no_1"])},
        {"sort": "created_at", "cursor": cursor_of(["created_at", "2027-01-01T00:00:00", "no_1"])},
        {"sort": "created_at", "cursor": cursor_of(["created_at", 5, "no_1"])},
    ],
)
def test_a_page_that_cannot_be_is_refused_with_the_reason(url: URL, params: dict[str, Any]) -> None:
    async def test(api: Api) -> None:
        answer = await api.ask("GET", "/api/v1/notes", params=params)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid"

    tried(url, test)


@pytest.mark.parametrize("text", ["a\ud800b", "a\0b"])
def test_what_a_database_cannot_keep_is_refused_and_nothing_breaks(url: URL, text: str) -> None:
    if text == "a\0b" and url.get_backend_name() == "sqlite":
        return  # keeps it

    async def test(api: Api) -> None:
        with pytest.raises(Unkeepable):
            async with api.works.write(the_system("default")) as work:
                await write(work, text)
        assert (await api.ask("GET", "/api/v1/notes")).json()["items"] == []

    tried(url, test)


def test_nobody_sees_or_changes_what_belongs_to_another_organization(url: URL) -> None:
    foreign = Caller("us_other", "user", "or_other", frozenset({"upstreams.read", "upstreams.write"}))

    async def test(api: Api) -> None:
        note = (await api.ask("POST", "/api/v1/notes", json={"text": "ours"})).json()
        assert (await api.ask("GET", "/api/v1/notes", who="us_other")).json()["items"] == []
        theirs = await api.ask("PATCH", f"/api/v1/notes/{note['id']}", who="us_other", json={"text": "theirs"})
        unknown = await api.ask("PATCH", "/api/v1/notes/no_unknown", who="us_other", json={"text": "theirs"})
        assert theirs.status_code == unknown.status_code == 404
        assert theirs.json() == unknown.json()

    tried(url, test, foreign)


def test_without_a_login_or_the_permission_nothing_is_done(url: URL) -> None:
    async def test(api: Api) -> None:
        assert (await api.ask("GET", "/api/v1/notes", who="")).json()["code"] == "not_logged_in"
        refused = await api.ask("POST", "/api/v1/notes", who="us_viewer", json={"text": "no"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await api.ask("GET", "/api/v1/notes", who="us_viewer")).json()["items"] == []

    tried(url, test)


def test_a_change_by_cookie_needs_the_token_of_the_login(url: URL) -> None:
    browser = Caller("us_browser", "user", "default", ALL, by_cookie=True)

    async def test(api: Api) -> None:
        refused = await api.ask("POST", "/api/v1/notes", who="us_browser", json={"text": "a"})
        assert refused.json()["code"] == "csrf_refused"
        good = {"toolyard-csrf": "good"}
        made = await api.ask("POST", "/api/v1/notes", who="us_browser", json={"text": "a"}, headers=good)
        assert made.status_code == 201
        assert (await api.ask("GET", "/api/v1/notes", who="us_browser")).status_code == 200

    tried(url, test, browser)


def test_a_change_of_what_was_changed_meanwhile_is_refused(url: URL) -> None:
    async def test(api: Api) -> None:
        made = await api.ask("POST", "/api/v1/notes", json={"text": "a"})
        path, seen = f"/api/v1/notes/{made.json()['id']}", {"if-match": made.headers["etag"]}
        assert (await api.ask("PATCH", path, json={"text": "b"}, headers=seen)).status_code == 200
        late = await api.ask("PATCH", path, json={"text": "c"}, headers=seen)
        assert (late.status_code, late.json()["code"]) == (412, VersionOutdated.code)

    tried(url, test)


def test_a_name_that_is_taken_is_a_conflict_and_changes_nothing(url: URL) -> None:
    async def test(api: Api) -> None:
        await api.ask("POST", "/api/v1/notes", json={"text": "a"})
        again = await api.ask("POST", "/api/v1/notes", json={"text": "a"})
        assert (again.status_code, again.json()["code"]) == (409, "name_taken")

    tried(url, test)


def test_a_creation_sent_twice_with_one_idempotency_key_happens_once(url: URL) -> None:
    async def test(api: Api) -> None:
        key = {"idempotency-key": "k1"}
        first = await api.ask("POST", "/api/v1/notes", json={"text": "a"}, headers=key)
        second = await api.ask("POST", "/api/v1/notes", json={"text": "a"}, headers=key)
        assert (second.status_code, second.json()) == (201, first.json())
        assert second.headers["idempotent-replay"] == "true"
        other = await api.ask("POST", "/api/v1/notes", json={"text": "b"}, headers=key)
        assert other.json()["code"] == "idempotency_key_reused"

    tried(url, test)


def test_a_failed_creation_may_be_tried_again_with_the_same_key(url: URL) -> None:
    async def test(api: Api) -> None:
        key = {"idempotency-key": "k1"}
        assert (await api.ask("POST", "/api/v1/notes", json={"text": "broken"}, headers=key)).status_code == 422
        assert (await api.ask("POST", "/api/v1/notes", json={"text": "good"}, headers=key)).status_code == 201

    tried(url, test)


def test_each_item_of_a_bulk_operation_has_its_own_result(url: URL) -> None:
    heard: list[Fact] = []

    async def test(api: Api) -> None:
        api.works.listen(heard.extend)
        result = (await api.ask("POST", "/api/v1/notes/bulk", json=["a", "broken", "a", "b"])).json()
        assert [one["ok"] for one in result["results"]] == [True, False, False, True]
        assert [one["problem"]["code"] for one in result["results"] if not one["ok"]] == ["invalid", "name_taken"]
        assert (result["succeeded"], result["failed"]) == (2, 2)
        listed = (await api.ask("GET", "/api/v1/notes")).json()["items"]
        assert [one["text"] for one in listed] == ["a", "b"]
        async with api.works.read(the_system("default")) as work:
            written = (await work.session.execute(select(FactRow.name))).scalars().all()
        assert list(written) == ["NoteWritten", "NoteWritten"]

    tried(url, test)
    assert [one.text for one in heard if isinstance(one, NoteWritten)] == ["a", "b"]


def test_a_fact_is_heard_once_its_change_is_durable_and_never_if_it_failed(url: URL) -> None:
    heard: list[Fact] = []

    async def test(api: Api) -> None:
        api.works.listen(heard.extend)
        await api.ask("POST", "/api/v1/notes", json={"text": "a"})
        assert [type(one) for one in heard] == [NoteWritten]
        await api.ask("POST", "/api/v1/notes", json={"text": "a"})
        assert len(heard) == 1

    tried(url, test)


def test_who_asks_too_often_is_told_when_to_come_back(url: URL) -> None:
    async def test(api: Api) -> None:
        answers = [await api.ask("POST", "/api/v1/notes", json={"text": str(n)}) for n in range(4)]
        assert {one.status_code for one in answers[:3]} == {201}
        assert answers[-1].status_code == 429
        assert answers[-1].headers["retry-after"] == "1"
        api.clock.advance(1)
        assert (await api.ask("POST", "/api/v1/notes", json={"text": "later"})).status_code == 201

    tried(url, test, limits={"write": ClassLimit(60, 3)})


def test_an_unexpected_error_says_nothing_of_the_inside(url: URL) -> None:
    async def test(api: Api) -> None:
        answer = await api.ask("GET", "/api/v1/notes/broken", who="")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "SEKRET" not in answer.text

    tried(url, test)


def test_a_value_that_cannot_be_taken_is_named_and_not_repeated(url: URL) -> None:
    async def test(api: Api) -> None:
        answer = await api.ask("POST", "/api/v1/notes", json={"text": "SEKRET-" + "x" * 60})
        assert answer.json()["errors"] == [{"at": "body.text", "message": "String should have at most 50 characters"}]
        assert "SEKRET" not in answer.text

    tried(url, test)


def test_writers_at_the_same_time_all_succeed(url: URL) -> None:
    async def test(api: Api) -> None:
        asked = [api.ask("POST", "/api/v1/notes", json={"text": str(n)}) for n in range(50)]
        assert {one.status_code for one in await asyncio.gather(*asked)} == {201}

    tried(url, test)


def test_an_application_with_an_undeclared_route_does_not_start() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/api/v1/anything")
    async def anything() -> None:
        return None

    with pytest.raises(RouteUndeclared, match="/api/v1/anything"):
        check_declared(app, ALL)


def test_a_route_with_a_permission_that_nobody_can_have_does_not_start(url: URL) -> None:
    one = Slice("odd")

    @one.get("/odd", action="odd.read")
    async def odd() -> None:
        return None

    async def run() -> None:
        with pytest.raises(RouteUndeclared, match=r"odd\.read"):
            async with serving(url, [one]):
                pass

    asyncio.run(run())


def test_the_migrations_make_exactly_the_tables_that_the_program_expects(url: URL) -> None:
    assert migrate.differences(url) == []


def test_a_database_goes_all_the_way_down_and_up_again_with_a_copy_kept(empty_url: URL) -> None:
    assert migrate.upgrade(empty_url) is None
    assert migrate.current(empty_url) == migrate.head()
    kept = migrate.downgrade(empty_url, "base")
    if empty_url.get_backend_name() == "sqlite":
        assert kept is not None
        assert kept.stat().st_mode & 0o077 == 0
    assert migrate.current(empty_url) is None
    migrate.upgrade(empty_url)
    assert migrate.differences(empty_url) == []


def test_a_database_of_a_newer_version_is_refused(empty_url: URL) -> None:
    migrate.upgrade(empty_url)
    with migrate.connected(empty_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(migrate.DatabaseTooNew):
        migrate.upgrade(empty_url)


def test_a_body_that_comes_slowly_keeps_nobody_else_from_writing(url: URL) -> None:
    async def test(api: Api) -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            asked.set()
            await go_on.wait()
            yield b'{"text": "slow"}'

        headers = {"content-type": "application/json"}
        slow = asyncio.create_task(api.ask("POST", "/api/v1/notes", content=slowly(), headers=headers))
        await asked.wait()
        quick = await api.ask("POST", "/api/v1/notes", json={"text": "quick"})
        go_on.set()
        assert quick.status_code == 201, quick.text
        assert (await slow).status_code == 201

    tried(url, test)


def test_a_body_larger_than_any_route_needs_is_refused(url: URL) -> None:
    async def test(api: Api) -> None:
        answer = await api.ask("POST", "/api/v1/notes", content=b" " * (MAX_BODY_BYTES + 1))
        assert answer.status_code == 413
        assert answer.json()["code"] == "body_too_large"

    tried(url, test)


def test_of_creations_at_once_with_one_key_one_happens(url: URL) -> None:
    async def test(api: Api) -> None:
        headers = {"idempotency-key": "k"}

        async def create() -> int:
            answer = await api.ask("POST", "/api/v1/notes/signs", json={"text": "once"}, headers=headers)
            return answer.status_code

        assert set(await asyncio.gather(*(create() for _ in range(8)))) <= {201, 409}
        assert await create() == 201
        async with api.works.read(the_system("")) as work:
            facts = await work.session.scalars(select(FactRow).where(FactRow.subject == "no_sign"))
            assert len(facts.all()) == 1

    tried(url, test)


@pytest.mark.parametrize(
    "body", [b'{"text": "a", "text": "b"}', b'{"text": ' + b"[" * 300 + b"]" * 300 + b"}", b'{"text": NaN}', b"{"]
)
def test_json_of_which_readers_make_different_things_is_refused(url: URL, body: bytes) -> None:
    async def test(api: Api) -> None:
        answer = await api.ask("POST", "/api/v1/notes", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "body")

    tried(url, test)

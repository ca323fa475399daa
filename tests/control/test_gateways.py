"""What gateways report is kept, and people see it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.control.base.caller import the_system
from toolyard.control.base.work import Work
from toolyard.control.gateways.records import Records
from toolyard.control.gateways.routes import operations_slice
from toolyard.control.gateways.service import record_applied
from toolyard.control.keys.model import KeyRow
from toolyard.control.keys.records import record_used
from toolyard.control.publisher.compile import Compiler, SliceSources
from toolyard.control.publisher.publisher import Publisher
from toolyard.control.servers.model import ServerRow


async def nothing(_work: Work) -> Any:
    return []


async def no_platform(_work: Work) -> Any:
    return {}


def published(api: Api) -> Publisher:
    return Publisher(
        api.works,
        SliceSources(nothing, nothing, nothing, no_platform),
        Compiler(lambda _place, secret: secret.reveal()),
    )


def reported(url: URL, *batches: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], Records]:
    """What people see after these records, and where those went."""

    async def run() -> tuple[list[dict[str, Any]], Records]:
        async with serving(url, []) as before:
            publisher = published(before)
        async with serving(url, [operations_slice(publisher)]) as api:
            records = Records(api.works, {"applied": record_applied, "key_used": record_used})
            for batch in batches:
                await records.take(batch)
            return (await api.ask("GET", "/api/v1/gateways")).json()["items"], records

    return asyncio.run(run())


def test_a_gateway_tells_what_it_has_in_force_and_why_it_refused_something_newer(url: URL) -> None:
    good = {"kind": "applied", "gateway": "g/0", "revision": 7, "in_force": True}
    bad = {**good, "revision": 8, "in_force": False, "code": "document_broken", "reason": "no"}
    (seen,), _ = reported(url, [good], [bad])
    assert (seen["name"], seen["revision"], seen["rejected"]) == ("g/0", 7, "document_broken: no")
    (seen,), _ = reported(url, [{**good, "revision": 9}])
    assert (seen["revision"], seen["rejected"]) == (9, None)


def test_records_that_are_not_right_are_counted_and_stop_no_others(url: URL) -> None:
    good = {"kind": "applied", "gateway": "g/0", "revision": 7, "in_force": True}
    broken = {"kind": "key_used", "key": "k"}
    incomplete = {"kind": "applied", "gateway": "g/1"}
    never = {"kind": "key_used", "key": "k", "last_used_at": 1e300}
    seen, records = reported(url, [{"kind": "unheard"}, broken, never, incomplete, good])
    assert [one["revision"] for one in seen] == [7]
    assert dict(records.dropped) == {"unheard": 1, "key_used": 2, "applied": 1}


def test_the_use_of_a_key_is_noted_without_changing_its_version(url: URL) -> None:
    async def run() -> None:
        async with serving(url, []) as api:
            async with api.works.write(the_system("default")) as work:
                whose = {"organization_id": "default", "created_at": work.now, "updated_at": work.now}
                work.session.add(ServerRow(id="sv_1", code="lab", title="lab", **whose))
                await work.session.flush()
                work.session.add(KeyRow(id="k1", server_id="sv_1", digest="d", pepper_version=1, last4="abcd", **whose))
            records = Records(api.works, {"key_used": record_used})
            for at in (200.0, 100.0):
                await records.take([{"kind": "key_used", "key": "k1", "last_used_at": at}])
            async with api.works.read(the_system("default")) as work:
                row = await work.session.get_one(KeyRow, "k1")
                assert row.last_used_at is not None
                assert (row.last_used_at.timestamp(), row.version) == (200.0, 1)

    asyncio.run(run())

"""Uploaded files."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.facts import Fact
from toolyard.control.files.blobs import Blobs
from toolyard.control.files.events import FileRemoved, FileUploaded
from toolyard.control.files.routes import files_slice
from toolyard.control.files.service import FileLimits, Files
from toolyard.control.identity.events import OrganizationRemoved
from toolyard.control.identity.model import OrganizationRow
from toolyard.policy.permissions import BUILT_IN

pytestmark = pytest.mark.slow

UPLOAD, FILES = "/api/v1/system/upload", "/api/v1/files"
LIMITS = FileLimits(file_bytes=2000, organization_bytes=3000)
OTHER = Caller("us_other", "user", "or_other", BUILT_IN["organization_admin"])
READER = Caller("us_reader", "user", "default", BUILT_IN["viewer"])
BROWSER = Caller("us_browser", "user", "default", BUILT_IN["developer"], by_cookie=True)


class Stand:
    """The API with a place for contents."""

    def __init__(self, api: Api, root: Path, files: Files) -> None:
        self.api = api
        self.root = root
        self.files = files

    async def upload(self, content: bytes = b"hello", name: str = "a.txt", **more: Any) -> httpx2.Response:
        kind = more.pop("kind", "text/plain")
        return await self.api.ask("POST", UPLOAD, files={"file": (name, content, kind)}, **more)

    def kept(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]


def tried(url: URL, root: Path, test: Callable[[Stand], Awaitable[None]]) -> None:
    async def run() -> None:
        files = Files(Blobs(root), LIMITS)
        async with serving(url, [files_slice(files)], OTHER, READER, BROWSER) as api:
            async with api.works.write(the_system("")) as work:
                now = work.now
                work.session.add(OrganizationRow(id="or_other", slug="other", name="O", created_at=now, updated_at=now))
            await test(Stand(api, root, files))

    asyncio.run(run())


def test_an_uploaded_file_is_kept_with_its_owner_type_size_and_digest(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        heard: list[Fact] = []
        stand.api.works.listen(heard.extend)
        answer = await stand.upload(b"hello", "résumé.txt", data={"description": "mine"})
        assert answer.status_code == 201
        file = answer.json()
        assert (file["name"], file["media_type"], file["size"]) == ("résumé.txt", "text/plain", 5)
        assert file["sha256"] == hashlib.sha256(b"hello").hexdigest()
        assert (file["uploaded_by"], file["description"]) == ("us_admin", "mine")
        assert heard == [FileUploaded(file["id"], "résumé.txt", 5, file["sha256"])]
        assert (await stand.api.ask("GET", FILES)).json()["items"] == [file]
        [kept] = stand.kept()
        assert kept.read_bytes() == b"hello"
        assert kept.stat().st_mode & 0o077 == 0

    tried(url, tmp_path / "files", test)


def test_a_download_is_saved_and_never_shown_as_a_page_of_ours(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        file = (await stand.upload(b"<script>alert(1)</script>", 'a"b.html', kind="text/html")).json()
        answer = await stand.api.ask("GET", file["url"], who="us_reader")
        assert answer.content == b"<script>alert(1)</script>"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]

    tried(url, tmp_path / "files", test)


BAD_NAMES = ["../a", "a/b", "a\\b", "..", "a\u202eb", "x" * 256]


def test_a_name_that_could_be_a_path_or_mislead_is_refused(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        for name in BAD_NAMES:
            answer = await stand.upload(name=name)
            assert (answer.status_code, answer.json()["code"]) == (422, "file_name_refused"), name
        assert stand.kept() == []

    tried(url, tmp_path / "files", test)


def test_a_file_that_is_too_large_is_refused_while_it_arrives(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        for size in (2001, 200_000):
            answer = await stand.upload(b"x" * size)
            assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")
        assert (await stand.upload(b"x" * 2000)).status_code == 201
        assert len(stand.kept()) == 1

    tried(url, tmp_path / "files", test)


def test_an_organization_keeps_no_more_than_its_quota(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        first = (await stand.upload(b"x" * 2000)).json()
        refused = await stand.upload(b"x" * 1001)
        assert (refused.status_code, refused.json()["code"]) == (409, "file_quota_exceeded")
        assert len(stand.kept()) == 1
        assert (await stand.upload(b"x" * 1001, who="us_other")).status_code == 201
        await stand.api.ask("DELETE", f"{FILES}/{first['id']}")
        assert (await stand.upload(b"x" * 1001)).status_code == 201

    tried(url, tmp_path / "files", test)


NO_UPLOADS: list[dict[str, Any]] = [
    {"json": {}},
    {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
    {"content": b"garbage", "headers": {"content-type": "multipart/form-data; boundary=b"}},
    {"content": b"--b\r\nContent-Disp", "headers": {"content-type": "multipart/form-data; boundary=b"}},
    {"files": {"other": ("a", b"x", "text/plain")}},
    {"files": {"file": ("a", b"x")}, "data": {"owner": "us_other"}},
    {"files": {"file": ("a", b"x")}, "data": {"description": "x" * 2001}},
    {"files": [("file", ("a", b"x")), ("file", ("b", b"x"))]},
    {"data": {"file": "text"}},
]


def test_what_is_no_upload_is_refused(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        for more in NO_UPLOADS:
            answer = await stand.api.ask("POST", UPLOAD, **more)
            assert (answer.status_code, answer.json()["code"]) == (422, "upload_refused"), more
        assert stand.kept() == []

    tried(url, tmp_path / "files", test)


def test_a_removed_file_is_gone_from_the_disk(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        file = (await stand.upload()).json()
        heard: list[Fact] = []
        stand.api.works.listen(heard.extend)
        path = f"{FILES}/{file['id']}"
        assert (await stand.api.ask("DELETE", path, who="us_reader")).status_code == 403
        assert (await stand.api.ask("DELETE", path)).status_code == 204
        assert stand.kept() == []
        assert heard == [FileRemoved(file["id"], "a.txt")]
        assert (await stand.api.ask("DELETE", path)).json()["code"] == "file_not_found"

    tried(url, tmp_path / "files", test)


def test_files_of_another_organization_are_as_if_they_were_not_there(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        file = (await stand.upload()).json()
        assert (await stand.api.ask("GET", FILES, who="us_other")).json()["items"] == []
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            theirs = await stand.api.ask(method, f"{FILES}/{file['id']}{path}", who="us_other")
            unknown = await stand.api.ask(method, f"{FILES}/fi_unknown{path}", who="us_other")
            assert theirs.status_code == unknown.status_code == 404
            assert theirs.json() == unknown.json()
        assert len(stand.kept()) == 1

    tried(url, tmp_path / "files", test)


def test_an_upload_by_cookie_needs_the_token_of_the_login(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        assert (await stand.upload(who="us_browser")).json()["code"] == "csrf_refused"
        assert (await stand.upload(who="us_browser", headers={"toolyard-csrf": "good"})).status_code == 201

    tried(url, tmp_path / "files", test)


def test_what_an_interrupted_upload_left_behind_is_swept_away_later(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        await stand.upload()
        [kept] = stand.kept()
        now = stand.api.clock.wall()
        for name, at in (("old.arriving", now - 3601), ("young.arriving", now - 3599), ("fi_of_another_database", 0)):
            (kept.parent / name).write_bytes(b"x")
            os.utime(kept.parent / name, (at, at))
        await stand.files.sweep(stand.api.works)
        assert {one.name for one in stand.kept()} == {kept.name, "young.arriving", "fi_of_another_database"}

    tried(url, tmp_path / "files", test)


def test_the_files_of_a_removed_organization_are_gone_at_once_and_swept_away_later(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        stand.api.works.listen(stand.files.heard)
        await stand.upload()
        await stand.upload(who="us_other")
        async with stand.api.works.write(the_system("")) as work:
            await work.session.delete(await work.session.get_one(OrganizationRow, "or_other"))
            work.announce(OrganizationRemoved("or_other", "other"))
        assert not (stand.root / "or_other").exists()
        await stand.files.sweep(stand.api.works)
        assert [one.parent.name for one in stand.kept()] == ["default"]

    tried(url, tmp_path / "files", test)


def test_a_content_that_is_lost_is_a_file_that_is_not_there(url: URL, tmp_path: Path) -> None:
    async def test(stand: Stand) -> None:
        file = (await stand.upload()).json()
        stand.kept()[0].unlink()
        assert (await stand.api.ask("GET", file["url"])).json()["code"] == "file_not_found"

    tried(url, tmp_path / "files", test)

"""The Python client: who it is, what it sends, what it makes of answers."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.unit.sdk.fake_api import TOKENS, FakeApi, problem
from toolyard.sdk import ApiError, ApiUnreachable, AsyncClient, Client, Options, Tokens, Upload
from toolyard.sdk.login import Login, Password

URL = "https://toolyard.example"


def client(api: FakeApi, **how: Any) -> Client:
    how = how or {"token": "t"}
    return Client(URL, options=Options(transport=api.transport), wait=lambda _seconds: None, **how)


def test_a_creation_has_a_key_so_that_it_can_be_sent_twice_and_others_have_none() -> None:
    api = FakeApi()
    with client(api) as asking:
        asking.upstreams.create({"name": "docs", "url": "https://example.com/mcp"})
        asking.upstreams.create({"name": "docs"}, idempotency_key="mine")
        asking.upstreams.update("up_1", {"enabled": False}, if_match='"3"')
    made, again, changed = api.asked
    assert len(made.headers["idempotency-key"]) > 10
    assert again.headers["idempotency-key"] == "mine"
    assert "idempotency-key" not in changed.headers
    assert changed.headers["if-match"] == '"3"'
    assert api.paths() == ["POST /upstreams", "POST /upstreams", "PATCH /upstreams/up_1"]
    assert api.bodies()[2] == {"enabled": False}
    assert made.headers["authorization"] == "Bearer t"


def test_ids_and_filters_go_into_the_address_whatever_is_in_them() -> None:
    api = FakeApi()
    with client(api) as asking:
        asking.settings.get("a/b?c")
        asking.upstreams.list(enabled=True, q="x y", limit=3)
    assert api.asked[0].url.raw_path == b"/api/v1/settings/a%2Fb%3Fc"
    assert dict(api.asked[1].url.params) == {"limit": "3", "q": "x y", "enabled": "true"}


def test_a_list_goes_on_from_page_to_page() -> None:
    api = FakeApi()
    api.on("GET /servers", {"items": [{"id": "a"}, {"id": "b"}], "next_cursor": "c1"}, {"items": [{"id": "c"}]})
    with client(api) as asking:
        assert [one["id"] for one in asking.servers.all(limit=2)] == ["a", "b", "c"]
    assert [dict(one.url.params) for one in api.asked] == [{"limit": "2"}, {"limit": "2", "cursor": "c1"}]


def test_an_error_has_its_code_its_status_and_what_is_wrong_where() -> None:
    api = FakeApi()
    api.on("POST /upstreams", problem(422, "invalid"))
    with client(api) as asking, pytest.raises(ApiError) as refused:
        asking.upstreams.create({"name": "docs"})
    error = refused.value
    assert (error.status, error.code, error.title, error.request_id) == (422, "invalid", "No.", "r1")
    assert [(one.at, one.message) for one in error.errors] == [("body.url", "is no URL")]
    assert (ApiError.code, ApiError.status) == ("api_error", 500)


def test_what_is_refused_for_a_while_is_sent_again_if_that_does_no_harm() -> None:
    api, busy = FakeApi(), problem(429, "rate_limited", retry_after="2")
    waited: list[float] = []
    for what in ("GET /servers", "POST /servers", "PATCH /servers/s", "POST /upstreams/u/restart"):
        api.on(what, busy, {"items": []})
    with Client(URL, token="t", options=Options(transport=api.transport), wait=waited.append) as asking:
        asking.servers.list()
        asking.servers.create({"code": "a"})
        assert api.asked[2].headers["idempotency-key"] == api.asked[3].headers["idempotency-key"]
        with pytest.raises(ApiError):
            asking.servers.update("s", {})
        with pytest.raises(ApiError):
            asking.upstreams.restart("u")
    assert waited == [2.0, 2.0]


def test_nobody_waits_longer_than_agreed_nor_for_ever() -> None:
    api = FakeApi()
    api.on("GET /servers", problem(503, "busy", retry_after="3600"))
    api.on("GET /keys", problem(503, "busy", retry_after="1"))
    with client(api) as asking:
        for ask in (asking.servers.list, asking.keys.list):
            with pytest.raises(ApiError):
                ask()
    assert len(api.asked) == 1 + 4


def test_a_name_and_a_password_log_in_once_and_renew_what_has_ended() -> None:
    api = FakeApi()
    api.on("POST /auth/login", {**TOKENS, "expires_in": 1})
    api.on("POST /auth/refresh", {**TOKENS, "access_token": "at2", "refresh_token": "rt2"})
    with client(api, username="ana", password="four lazy yaks") as asking:
        asking.servers.list()
        asking.servers.list()
    assert api.paths() == ["POST /auth/login", "POST /auth/refresh", "GET /servers", "GET /servers"]
    assert api.bodies()[0] == {"username": "ana", "password": "four lazy yaks"}
    assert {"refresh_token": "rt1"} in api.bodies()
    assert "authorization" not in api.asked[0].headers
    assert api.asked[-1].headers["authorization"] == "Bearer at2"


def test_a_token_that_is_not_taken_any_more_is_renewed_and_a_lost_login_is_made_anew() -> None:
    api = FakeApi()
    api.on("GET /servers", problem(401, "not_logged_in"), {"items": []})
    api.on("POST /auth/refresh", problem(401, "refresh_refused"))
    api.on("POST /auth/login", {**TOKENS, "access_token": "new"})
    with client(api, tokens=Tokens("old", "rt0"), username="a@example.com", password="p") as asking:
        asking.servers.list()
    assert api.paths() == ["GET /servers", "POST /auth/refresh", "POST /auth/login", "GET /servers"]
    assert api.bodies()[2] == {"email": "a@example.com", "password": "p"}
    assert api.asked[3].headers["authorization"] == "Bearer new"


def test_a_fixed_token_that_is_not_taken_is_an_error_at_once() -> None:
    api = FakeApi()
    api.on("GET /servers", problem(401, "not_logged_in"))
    with client(api) as asking, pytest.raises(ApiError):
        asking.servers.list()
    assert len(api.asked) == 1


def test_a_service_account_gets_its_token_with_its_secret() -> None:
    api = FakeApi()
    api.on("POST /auth/token", {"access_token": "st", "expires_in": 600})
    with client(api, client_id="se_1", client_secret="s", organization="lab") as asking:
        asking.auth.me()
    assert api.bodies()[0] == {"client_id": "se_1", "client_secret": "s"}
    assert api.asked[1].headers["authorization"] == "Bearer st"
    assert api.asked[1].headers["toolyard-organization"] == "lab"


def test_a_file_is_sent_and_got_as_bytes() -> None:
    api = FakeApi()
    api.on("GET /files/f/content", httpx2.Response(200, content=b"\0a", headers={"content-type": "image/png"}))
    with client(api) as asking:
        asking.files.upload(Upload("a.png", b"\0a", "image/png"), description="ours")
        assert asking.files.download("f") == b"\0a"
    sent = api.asked[0]
    assert sent.headers["content-type"].startswith("multipart/form-data")
    assert all(part in sent.content for part in (b'name="file"; filename="a.png"', b"\0a", b"ours"))


def test_the_operator_comes_through_the_socket_however_long_its_path_is(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 60) / ("e" * 60)
    directory.mkdir(parents=True)
    seen: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("toolyard-operator"), self.headers.get("authorization")))
            body = b'{"items": []}'
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    from toolyard.kit.unix_path import socket_address

    with (
        socket_address(directory / "control.sock") as address,
        socketserver.ThreadingUnixStreamServer(address, Answer) as server,
    ):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with Client(socket=directory / "control.sock") as asking:
            assert asking.servers.list() == {"items": []}
        server.shutdown()
    assert seen == [("/api/v1/servers", "1", None)]


def test_a_place_where_nothing_answers_is_said_to_be_unreachable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", token="t") as asking, pytest.raises(ApiUnreachable):
        asking.servers.list()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"url": URL, "socket": "s"},
        {"socket": "s", "token": "t"},
        {"url": URL, "token": "t", "username": "a", "password": "p"},
        {"url": URL, "username": "a"},
    ],
)
def test_it_has_to_be_clear_whom_to_ask_and_as_whom(how: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"say|needs|operator"):
        Client(**how)


def test_the_awaited_client_does_the_same() -> None:
    api = FakeApi()
    api.on("POST /auth/login", TOKENS)
    api.on("GET /servers", problem(429, "rate_limited", retry_after="1"), {"items": [{"id": "a"}]})
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    async def run() -> list[str]:
        options = Options(transport=api.transport)
        async with AsyncClient(URL, username="ana", password="p", options=options, wait=wait) as asking:
            return [one["id"] async for one in asking.servers.all()]

    assert asyncio.run(run()) == ["a"]
    assert waited == [1.0]
    assert api.asked[-1].headers["authorization"] == "Bearer at1"


def test_no_secret_is_in_what_is_printed_of_a_login() -> None:
    told = repr([Tokens("at0", "rt0"), Password("ana", "pw0"), Login(Tokens("at0"), Password("ana", "pw0")).step(0.0)])
    assert not any(secret in told for secret in ("at0", "rt0", "pw0"))
    step = Login(None, Password("ana", "pw0")).step(0.0)
    assert step is not None
    assert "pw0" not in repr(step)

from __future__ import annotations

from typing import Any

import pytest

from toolyard.protocol import jsonrpc
from toolyard.protocol.errors import InvalidParams, InvalidRequest, ProtocolError
from toolyard.protocol.jsonrpc import Notification, Reply, Request, read, read_batch


def call(**members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 5, "method": "tools/list", **members}


def refused(message: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        read(message)
    return caught.value


def test_requests_notifications_and_replies_are_told_apart() -> None:
    assert read(call(params={"a": 1})) == Request(5, "tools/list", {"a": 1})
    assert read(call()) == Request(5, "tools/list", {})
    assert read({"jsonrpc": "2.0", "method": "notifications/x"}) == Notification("notifications/x", {})
    assert read({"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}) == Reply(1, {"a": 1}, None)
    fault = {"code": -1, "message": "m", "data": 3}
    assert read({"jsonrpc": "2.0", "id": "x", "error": fault}) == Reply("x", None, fault)
    assert read({"jsonrpc": "2.0", "id": None, "error": fault}) == Reply(None, None, fault)


@pytest.mark.parametrize("request_id", [0, -1, 2**53 - 1, -(2**53) + 1, "", "a" * 256, "ü" * 128])
def test_ids_up_to_their_limits_are_valid(request_id: object) -> None:
    message = read(call(id=request_id))
    assert isinstance(message, Request)
    assert message.id == request_id


@pytest.mark.parametrize("request_id", [None, True, False, 1.0, 1.5, 2**53, -(2**53), "a" * 257, "ü" * 129, [], {}])
def test_ids_beyond_their_limits_are_refused_and_not_named(request_id: object) -> None:
    error = refused(call(id=request_id))
    assert type(error) is InvalidRequest
    assert error.request_id is None


@pytest.mark.parametrize("method", ["m" * 128, "ü" * 64, "x", " "])
def test_methods_up_to_their_limit_are_read(method: str) -> None:
    assert isinstance(read(call(method=method)), Request)


@pytest.mark.parametrize("method", ["", "m" * 129, "ü" * 65, 1, None, ["tools/list"]])
def test_other_methods_make_the_request_invalid_and_name_it(method: object) -> None:
    error = refused(call(method=method))
    assert type(error) is InvalidRequest
    assert error.request_id == 5


@pytest.mark.parametrize("message", [[], "x", None, 1, True, {}, {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": 1}])
def test_what_is_no_message_is_invalid(message: Any) -> None:
    assert type(refused(message)) is InvalidRequest


@pytest.mark.parametrize("version", ["1.0", 2.0, 2, None, "2.0 "])
def test_only_version_two_is_spoken(version: object) -> None:
    error = refused(call(jsonrpc=version))
    assert type(error) is InvalidRequest
    assert error.request_id == 5


@pytest.mark.parametrize("params", [None, [], [1], "x", 1, True])
def test_params_are_an_object_or_absent(params: object) -> None:
    error = refused(call(params=params))
    assert type(error) is InvalidParams
    assert error.request_id == 5


@pytest.mark.parametrize("meta", [None, [], "x", 1])
def test_meta_is_an_object_or_absent(meta: object) -> None:
    assert type(refused(call(params={"_meta": meta}))) is InvalidParams


@pytest.mark.parametrize("member", ["result", "error"])
def test_a_request_is_no_reply(member: str) -> None:
    error = refused(call(**{member: {}}))
    assert type(error) is InvalidRequest
    assert error.request_id == 5


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {}),
        ("tools/call", {"name": 1}),
        ("tools/call", {"name": ""}),
        ("tools/call", {"name": "a\0b"}),
        ("tools/call", {"name": "a\nb"}),
        ("tools/call", {"name": "a\x7f"}),
        ("tools/call", {"name": "a", "arguments": []}),
        ("tools/call", {"name": "a", "arguments": "{}"}),
        ("tools/call", {"name": "a", "arguments": None}),
        ("prompts/get", {"arguments": {}}),
        ("prompts/get", {"name": "a", "arguments": 1}),
        ("resources/read", {"uri": None}),
    ],
)
def test_parameters_every_later_step_relies_on_are_checked(method: str, params: dict[str, Any]) -> None:
    error = refused(call(method=method, params=params))
    assert type(error) is InvalidParams
    assert error.request_id == 5


@pytest.mark.parametrize("name", ["a", "a/b c", "ünïcode", "a\u00a0b", "x" * 1_000])
def test_names_of_any_visible_text_are_read(name: str) -> None:
    message = read(call(method="tools/call", params={"name": name, "arguments": {"k": None}}))
    assert isinstance(message, Request)
    assert message.params["name"] == name


def test_unknown_members_are_ignored() -> None:
    assert read(call(Method="tools/call", extra=1)) == Request(5, "tools/list", {})


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": "m"}},
        {"jsonrpc": "2.0", "result": {}},
        {"jsonrpc": "2.0", "id": None, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "result": None},
        {"jsonrpc": "2.0", "id": 1, "result": []},
        {"jsonrpc": "2.0", "id": 1, "error": "x"},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": "1", "message": "m"}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": True, "message": "m"}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1}},
        {"jsonrpc": "2.0", "id": 1.5, "error": {"code": 1, "message": "m"}},
    ],
)
def test_malformed_replies_are_invalid(message: dict[str, Any]) -> None:
    assert type(refused(message)) is InvalidRequest


def test_a_batch_gives_each_message_or_its_error_in_order() -> None:
    first, second, third, fourth = read_batch(
        [call(id=1), {"jsonrpc": "2.0", "method": "n"}, call(id=2, params=[]), "nonsense"]
    )
    assert first == Request(1, "tools/list", {})
    assert second == Notification("n", {})
    assert isinstance(third, InvalidParams)
    assert third.request_id == 2
    assert isinstance(fourth, InvalidRequest)


def test_a_batch_has_one_to_twenty_messages() -> None:
    assert len(read_batch([call(id=number) for number in range(20)])) == 20
    for batch in ([], [call(id=number) for number in range(21)], {}, call()):
        with pytest.raises(InvalidRequest):
            read_batch(batch)


def test_a_batch_with_one_id_twice_is_refused_whole() -> None:
    with pytest.raises(InvalidRequest):
        read_batch([call(id=1), call(id=2), call(id=1)])
    assert len(read_batch([call(id=1), call(id="1")])) == 2


def test_built_messages_read_back() -> None:
    assert read(jsonrpc.request(1, "m", {"a": 1})) == Request(1, "m", {"a": 1})
    assert jsonrpc.request("x", "m") == {"jsonrpc": "2.0", "id": "x", "method": "m"}
    assert read(jsonrpc.notification("n")) == Notification("n", {})
    assert read(jsonrpc.notification("n", {"a": 1})) == Notification("n", {"a": 1})
    assert read(jsonrpc.result(1, {})) == Reply(1, {}, None)
    assert read(jsonrpc.error(1, -5, "m", {"d": 1})) == Reply(1, None, {"code": -5, "message": "m", "data": {"d": 1}})
    assert jsonrpc.error(None, -5, "m") == {"jsonrpc": "2.0", "error": {"code": -5, "message": "m"}}

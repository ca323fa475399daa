from __future__ import annotations

from typing import Any

import pytest

from toolyard.protocol.errors import HeaderMismatch
from toolyard.protocol.headers import (
    HeaderParameter,
    check_request_headers,
    decode_value,
    encode_value,
    request_headers,
)
from toolyard.protocol.jsonrpc import Request
from toolyard.protocol.revisions import META_PROTOCOL_VERSION, MODERN

REGION = HeaderParameter("Mcp-Param-Region", ("region",), "string")
COUNT = HeaderParameter("Mcp-Param-Count", ("page", "count"), "integer")
DRY = HeaderParameter("Mcp-Param-Dry", ("dry",), "boolean")


def request(method: str = "tools/call", **params: Any) -> Request:
    named = {"name": "paint"} if method == "tools/call" else {}
    return Request(4, method, {"_meta": {META_PROTOCOL_VERSION: MODERN}, **named, **params})


def headers(**changed: str | None) -> dict[str, str]:
    good: dict[str, str | None] = {
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "paint",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return {name: value for name, value in good.items() if value is not None}


def check(
    sent: dict[str, str],
    asked: Request | None = None,
    repeated: frozenset[str] = frozenset(),
    parameters: tuple[HeaderParameter, ...] | None = (),
) -> None:
    check_request_headers(sent, repeated, asked or request(), lambda _: parameters)


def mismatch(*arguments: Any, **named: Any) -> HeaderMismatch:
    with pytest.raises(HeaderMismatch) as caught:
        check(*arguments, **named)
    assert caught.value.request_id == 4
    return caught.value


def test_headers_that_say_what_the_body_says_pass() -> None:
    check(headers())
    check(headers(mcp_method="tools/list", mcp_name=None), request("tools/list"))
    check(headers(mcp_method="prompts/get", mcp_name="p"), request("prompts/get", name="p"))
    check(headers(mcp_method="resources/read", mcp_name="file:///a"), request("resources/read", uri="file:///a"))


def test_blanks_around_a_value_do_not_count() -> None:
    check(headers(mcp_method=" tools/call\t", mcp_name="  paint ", mcp_protocol_version=f" {MODERN} "))


@pytest.mark.parametrize("name", ["mcp_protocol_version", "mcp_method", "mcp_name"])
@pytest.mark.parametrize("value", [None, "", "other"])
def test_a_routing_header_that_is_missing_or_says_something_else_is_refused(name: str, value: str | None) -> None:
    mismatch(headers(**{name: value}))


@pytest.mark.parametrize("name", ["mcp-protocol-version", "mcp-method", "mcp-name"])
def test_a_routing_header_that_comes_twice_is_refused_even_if_both_agree(name: str) -> None:
    mismatch(headers(), repeated=frozenset({name}))


def test_values_are_compared_with_their_case() -> None:
    mismatch(headers(mcp_method="Tools/Call"))
    mismatch(headers(mcp_name="Paint"))


def test_a_revision_that_differs_from_the_body_is_refused_before_it_is_looked_up() -> None:
    mismatch(headers(mcp_protocol_version="9999-99-99"))
    mismatch(headers(), Request(4, "tools/call", {"name": "paint", "_meta": {META_PROTOCOL_VERSION: "9999-99-99"}}))


def test_a_body_without_revision_is_left_to_the_envelope() -> None:
    check(headers(), Request(4, "tools/call", {"name": "paint"}))


def test_the_name_may_come_as_base64() -> None:
    check(headers(mcp_name="=?base64?cGFpbnQ=?="))
    name = "painting ü\n"
    check(headers(mcp_name=encode_value(name)), request(name=name))


@pytest.mark.parametrize(
    "value",
    [
        "=?base64?ZGFuZ2Vy?=",
        "=?base64?cGFpbnQ?=",
        "=?base64?cGFpbnR=?=",
        "=?base64?cGFp bnQ=?=",
        "=?base64?!!!!?=",
        "=?base64?/w==?=",
        "=?BASE64?cGFpbnQ=?=",
        "=?base64?PT9iYXNlNjQ/Y0dGcGJuUT0/PQ==?=",
        "=?base64??=",
        "=?base64?=",
        "paint\x01",
        "pa\u00efnt",
    ],
)
def test_any_other_sentinel_or_character_is_refused(value: str) -> None:
    mismatch(headers(mcp_name=value))


def test_mirrored_arguments_must_be_there_and_equal() -> None:
    asked = request(arguments={"region": "eu", "page": {"count": 42}, "dry": True})
    good = headers(mcp_param_region="eu", mcp_param_count="42", mcp_param_dry="true")
    every = (REGION, COUNT, DRY)
    check(good, asked, parameters=every)
    check({**good, "mcp-param-count": "42.0"}, asked, parameters=every)
    check({**good, "mcp-param-region": "=?base64?ZXU=?="}, asked, parameters=every)
    for name in ("mcp-param-region", "mcp-param-count", "mcp-param-dry"):
        mismatch({other: value for other, value in good.items() if other != name}, asked, parameters=every)
        mismatch({**good, name: "else"}, asked, parameters=every)
        mismatch(good, asked, frozenset({name}), every)


@pytest.mark.parametrize("text", ["42.5", "042x", "4.2e1", "0x2a", "", "+42", "42.", "9" * 100])
def test_an_integer_is_compared_as_a_number_but_only_in_decimal(text: str) -> None:
    asked = request(arguments={"page": {"count": 42}})
    mismatch(headers(mcp_param_count=text), asked, parameters=(COUNT,))


def test_a_whole_float_in_the_body_equals_its_integer() -> None:
    asked = request(arguments={"page": {"count": 42.0}})
    check(headers(mcp_param_count="42"), asked, parameters=(COUNT,))
    big = request(arguments={"page": {"count": 2**60 + 1}})
    check(headers(mcp_param_count=str(2**60 + 1)), big, parameters=(COUNT,))
    mismatch(headers(mcp_param_count=str(2**60)), big, parameters=(COUNT,))


@pytest.mark.parametrize("value", [1, "TRUE", "True"])
def test_a_boolean_is_lower_case_true_or_false(value: object) -> None:
    asked = request(arguments={"dry": True})
    mismatch(headers(mcp_param_dry=str(value)), asked, parameters=(DRY,))


@pytest.mark.parametrize("arguments", [{}, {"region": None}, {"other": 1}])
def test_a_header_without_an_argument_behind_it_is_refused(arguments: dict[str, Any]) -> None:
    asked = request(arguments=arguments)
    mismatch(headers(mcp_param_region="eu"), asked, parameters=(REGION,))
    check(headers(), asked, parameters=(REGION,))


@pytest.mark.parametrize("value", [{"a": 1}, ["eu"]])
def test_an_argument_no_header_can_carry_has_none(value: object) -> None:
    asked = request(arguments={"region": value})
    check(headers(), asked, parameters=(REGION,))
    mismatch(headers(mcp_param_region="eu"), asked, parameters=(REGION,))


def test_an_argument_of_another_type_is_mirrored_as_it_is() -> None:
    for value, text in ((42, "42"), (2.5, "2.5"), (True, "true")):
        asked = request(arguments={"region": value})
        check(headers(mcp_param_region=text), asked, parameters=(REGION,))
        mismatch(headers(), asked, parameters=(REGION,))


def test_undeclared_parameter_headers_and_unknown_tools_are_ignored() -> None:
    check(headers(mcp_param_other="x"))
    check(headers(mcp_param_region="x"), parameters=None)


def test_headers_for_an_upstream_are_made_from_its_body() -> None:
    asked = request(arguments={"region": "Zürich", "page": {"count": -7}, "dry": False})
    made = request_headers(asked.method, asked.params, (REGION, COUNT, DRY))
    assert made == [
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "paint"),
        ("Mcp-Param-Region", "=?base64?WsO8cmljaA==?="),
        ("Mcp-Param-Count", "-7"),
        ("Mcp-Param-Dry", "false"),
    ]
    check({name.lower(): value for name, value in made}, asked, parameters=(REGION, COUNT, DRY))


def test_absent_null_and_structured_arguments_have_no_header() -> None:
    params = request(arguments={"region": None, "page": [], "dry": {}}).params
    assert [name for name, _ in request_headers("tools/call", params, (REGION, COUNT, DRY))][3:] == []
    assert [name for name, _ in request_headers("tools/list", {})] == ["MCP-Protocol-Version", "Mcp-Method"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("two words", "two words"),
        ("", ""),
    ],
)
def test_values_are_encoded_as_the_specification_shows(text: str, value: str) -> None:
    assert encode_value(text) == value
    assert decode_value(value) == text

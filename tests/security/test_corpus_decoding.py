"""Every row of the corpus has its outcome in the protocol layer alone; the transports' tests send it by socket."""

from __future__ import annotations

import json

import pytest

from tests.security.corpus import CASES, ECHO, MODERN, MODERN_META, Case, over_http
from toolyard.protocol import envelope, headers, jsonrpc, revisions, strict_json
from toolyard.protocol.errors import ProtocolError

MAX_BODY_BYTES = 4 * 1024 * 1024
OUTCOMES = {-32700: "PE", -32600: "IR", -32602: "IP", -32601: "MNF"}
BY_NUMBER = {case.number: case for case in CASES}


def outcome(body: bytes, methods: frozenset[str]) -> str:
    if len(body) > MAX_BODY_BYTES:
        return "413"
    try:
        message = jsonrpc.read(strict_json.decode(body))
    except ProtocolError as error:
        return OUTCOMES[error.rpc_code]
    if isinstance(message, jsonrpc.Reply):
        return "IR"
    return "OK" if message.method in methods else "MNF"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}-{case.name}")
def test_each_row_has_its_outcome_for_a_legacy_peer(case: Case) -> None:
    assert outcome(case.body, revisions.LEGACY_METHODS) in case.outcomes_in("2025-11-25")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}-{case.name}")
def test_each_row_has_its_outcome_for_a_modern_peer(case: Case) -> None:
    _, body = over_http(case)
    assert outcome(body, revisions.MODERN_METHODS) in case.outcomes_in(MODERN)


@pytest.mark.parametrize("case", [case for case in CASES if "PE" in case.outcomes], ids=lambda case: case.name)
def test_a_parse_error_names_no_request(case: Case) -> None:
    with pytest.raises(ProtocolError) as caught:
        strict_json.decode(case.body)
    assert caught.value.rpc_code != -32700 or caught.value.request_id is None


@pytest.mark.parametrize("number", [18, 23, 25, 26, 29, 34, 39, 40, 41, 42, 52, 63, 69, 70, 71, 72, 73, 74, 75])
def test_a_refusal_names_the_request_whose_id_is_readable(number: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        jsonrpc.read(strict_json.decode(BY_NUMBER[number].body))
    assert caught.value.request_id == 1


@pytest.mark.parametrize("number", [30, 54, 55, 56, 57, 58, 59, 61])
def test_a_refused_id_is_never_named(number: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        jsonrpc.read(strict_json.decode(BY_NUMBER[number].body))
    assert caught.value.request_id is None


def test_the_corpus_has_all_its_rows_under_their_numbers() -> None:
    assert [case.number for case in CASES] == list(range(1, 85))
    assert len({case.name for case in CASES}) == 84


def test_an_exact_integer_beyond_all_doubles_stays_exact() -> None:
    message = strict_json.decode(BY_NUMBER[24].body)
    assert message["params"]["arguments"]["a"] == 9007199254740993
    assert b"9007199254740993" in strict_json.encode(message)


@pytest.mark.parametrize("number", [79, 80, 81])
def test_odd_names_and_templates_travel_as_plain_data(number: int) -> None:
    message = strict_json.decode(BY_NUMBER[number].body)
    assert message == json.loads(BY_NUMBER[number].body)
    assert strict_json.decode(strict_json.encode(message)) == message


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.outcomes_in(MODERN) == {"OK"}], ids=lambda case: case.name
)
def test_accepted_rows_carry_good_headers_and_envelope_over_http(case: Case) -> None:
    sent, body = over_http(case)
    message = jsonrpc.read(strict_json.decode(body))
    assert isinstance(message, jsonrpc.Request)
    headers.check_request_headers(sent, frozenset(), message, lambda _: ())
    assert envelope.read_envelope(message.params).revision == MODERN


def test_the_corpus_calls_one_tool_and_knows_the_modern_envelope() -> None:
    assert f'"name":"{ECHO}"'.encode() in BY_NUMBER[24].body
    assert set(MODERN_META) == {revisions.META_PROTOCOL_VERSION, revisions.META_CLIENT_CAPABILITIES}

from __future__ import annotations

from typing import Any

import pytest

from toolyard.protocol.error_rules import error_from_upstream, error_to_client
from toolyard.protocol.revisions import LEGACY, MODERN


def shown(revision: str, code: int, data: Any = None) -> int:
    fault = {"code": code, "message": "m"} if data is None else {"code": code, "message": "m", "data": data}
    converted = error_to_client(revision, dict(fault))
    assert {**converted, "code": code} == fault
    return int(converted["code"])


def test_a_modern_client_never_sees_codes_of_other_eras_or_undefined_ones() -> None:
    seen = {shown(MODERN, code) for code in range(-32768, -31900)}
    assert -32002 not in seen
    assert seen & set(range(-32099, -32019)) == {-32020, -32021, -32022}


def test_a_missing_resource_has_the_code_of_the_clients_era() -> None:
    assert shown(MODERN, -32002, {"uri": "file:///x"}) == -32602
    for revision in LEGACY:
        assert shown(revision, -32002) == -32002
        assert shown(revision, -32602, {"uri": "file:///x"}) == -32002
        assert shown(revision, -32602, {"reason": "resource_unknown", "uri": "file:///x"}) == -32002
        assert shown(revision, -32602, {"reason": "cursor_invalid", "uri": "file:///x"}) == -32602
        assert shown(revision, -32602, "text") == -32602
        assert shown(revision, -32602) == -32602


def test_url_elicitation_is_required_only_in_the_revision_that_knows_it() -> None:
    assert shown("2025-11-25", -32042, {"elicitations": []}) == -32042
    assert {shown(revision, -32042) for revision in (MODERN, "2025-06-18", "2025-03-26", "2024-11-05")} == {-32603}


@pytest.mark.parametrize("revision", LEGACY)
def test_a_legacy_client_sees_standard_codes_for_modern_ones(revision: str) -> None:
    assert [shown(revision, code) for code in (-32020, -32021, -32022)] == [-32600, -32600, -32602]


@pytest.mark.parametrize("code", [-32700, -32600, -32601, -32602, -32603, -32000, -1, 0, 429])
@pytest.mark.parametrize("revision", [MODERN, *LEGACY])
def test_other_codes_travel_unchanged(revision: str, code: int) -> None:
    assert shown(revision, code) == code


def test_errors_about_the_gateways_own_request_are_internal_to_everyone_else() -> None:
    assert [error_from_upstream({"code": code, "message": "m"}).rpc_code for code in (-32020, -32022)] == [
        -32603,
        -32603,
    ]
    relayed = error_from_upstream({"code": -32021, "message": "m", "data": {"requiredCapabilities": {"roots": {}}}})
    assert (relayed.rpc_code, relayed.message, relayed.data) == (-32021, "m", {"requiredCapabilities": {"roots": {}}})

from __future__ import annotations

from typing import Any

import pytest

from toolyard.protocol.envelope import (
    Envelope,
    is_modern_request,
    read_envelope,
    read_legacy,
    stamp,
    stamp_legacy,
)
from toolyard.protocol.errors import InvalidParams, UnsupportedRevision
from toolyard.protocol.revisions import (
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_PROTOCOL_VERSION,
    MODERN,
    PROGRESS_TOKEN,
    SUPPORTED,
)

LEAST: dict[str, Any] = {META_PROTOCOL_VERSION: MODERN, META_CLIENT_CAPABILITIES: {}}


def test_the_least_envelope_is_revision_and_capabilities() -> None:
    assert read_envelope({"_meta": LEAST}) == Envelope(MODERN, {})


def test_a_full_envelope_is_read_and_the_rest_kept_apart() -> None:
    meta = {
        **LEAST,
        META_CLIENT_CAPABILITIES: {"elicitation": {}},
        META_CLIENT_INFO: {"name": "c", "version": "1"},
        META_LOG_LEVEL: "warning",
        PROGRESS_TOKEN: "t",
        "traceparent": "00-1",
        "com.example/key": [1],
    }
    assert read_envelope({"_meta": meta, "name": "x"}) == Envelope(
        MODERN,
        {"elicitation": {}},
        {"name": "c", "version": "1"},
        "warning",
        "t",
        {"traceparent": "00-1", "com.example/key": [1]},
    )


@pytest.mark.parametrize("key", [META_PROTOCOL_VERSION, META_CLIENT_CAPABILITIES])
def test_a_missing_required_key_is_invalid_parameters(key: str) -> None:
    with pytest.raises(InvalidParams):
        read_envelope({"_meta": {name: value for name, value in LEAST.items() if name != key}})


@pytest.mark.parametrize("params", [{}, {"_meta": None}, {"_meta": []}])
def test_a_missing_meta_is_invalid_parameters(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        read_envelope(params)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (META_PROTOCOL_VERSION, 20260728),
        (META_PROTOCOL_VERSION, None),
        (META_CLIENT_CAPABILITIES, None),
        (META_CLIENT_CAPABILITIES, []),
        (META_CLIENT_INFO, "name"),
        (META_LOG_LEVEL, "loud"),
        (META_LOG_LEVEL, 3),
        (META_LOG_LEVEL, ["debug"]),
        (PROGRESS_TOKEN, 1.5),
        (PROGRESS_TOKEN, True),
        (PROGRESS_TOKEN, "t" * 257),
        (PROGRESS_TOKEN, {}),
    ],
)
def test_malformed_values_are_invalid_parameters(key: str, value: object) -> None:
    with pytest.raises(InvalidParams):
        read_envelope({"_meta": {**LEAST, key: value}})


@pytest.mark.parametrize("revision", ["9999-99-99", "", "2026-07-28 ", *SUPPORTED[1:]])
def test_another_revision_is_unsupported_and_the_error_says_what_is(revision: str) -> None:
    with pytest.raises(UnsupportedRevision) as caught:
        read_envelope({"_meta": {META_PROTOCOL_VERSION: revision}})
    assert caught.value.data["requested"] == revision
    assert MODERN in caught.value.data["supported"]
    assert revision not in caught.value.data["supported"]


def test_only_modern_requests_name_a_revision_in_meta() -> None:
    assert is_modern_request({"_meta": {META_PROTOCOL_VERSION: "anything"}})
    assert not is_modern_request({"_meta": {PROGRESS_TOKEN: 1}})
    assert not is_modern_request({})


def test_a_legacy_envelope_takes_what_its_session_knows() -> None:
    capabilities, info = {"roots": {}}, {"name": "c", "version": "1"}
    meta = {PROGRESS_TOKEN: 3, "traceparent": "00-1", META_CLIENT_CAPABILITIES: {"sampling": {}}}
    read = read_legacy({"_meta": meta}, revision="2025-06-18", client_capabilities=capabilities, client_info=info)
    assert read == Envelope("2025-06-18", capabilities, info, None, 3, {"traceparent": "00-1"})
    bare = read_legacy({}, revision="2024-11-05", client_capabilities={}, client_info=None)
    assert bare == Envelope("2024-11-05", {})


@pytest.mark.parametrize("meta", [[], "x", {PROGRESS_TOKEN: []}])
def test_a_malformed_legacy_meta_is_invalid_parameters(meta: object) -> None:
    with pytest.raises(InvalidParams):
        read_legacy({"_meta": meta}, revision="2025-06-18", client_capabilities={}, client_info=None)


def test_what_is_stamped_is_read_again() -> None:
    params = {"name": "x", "_meta": {"stale": 1}}
    stamped = stamp(
        params,
        revision=MODERN,
        client_capabilities={"roots": {}},
        client_info={"name": "c"},
        log_level="error",
        progress_token=9,
        rest={"traceparent": "00-1"},
    )
    assert read_envelope(stamped) == Envelope(MODERN, {"roots": {}}, {"name": "c"}, "error", 9, {"traceparent": "00-1"})
    assert stamped["name"] == "x"
    assert params == {"name": "x", "_meta": {"stale": 1}}


def test_the_rest_never_overrides_what_is_stamped() -> None:
    rest = {META_CLIENT_CAPABILITIES: {"sampling": {}}, META_LOG_LEVEL: "debug", PROGRESS_TOKEN: 1, "a": 1}
    stamped = stamp({}, revision=MODERN, client_capabilities={}, client_info=None, rest=rest)
    assert stamped["_meta"] == {"a": 1, META_PROTOCOL_VERSION: MODERN, META_CLIENT_CAPABILITIES: {}}


def test_a_legacy_upstream_gets_meta_only_if_there_is_something_in_it() -> None:
    assert stamp_legacy({"name": "x", "_meta": {"stale": 1}}) == {"name": "x"}
    assert stamp_legacy({"name": "x"}, progress_token=0, rest={"a": 1, META_PROTOCOL_VERSION: MODERN}) == {
        "name": "x",
        "_meta": {"a": 1, PROGRESS_TOKEN: 0},
    }

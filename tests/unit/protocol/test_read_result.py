"""Large results travel in the bytes they came in; what comes out is what encoding anew would have meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.protocol.read_result import WORTH_BYTES, ReadResult, remembered
from toolyard.protocol.strict_json import decode, encode

META = b'{"server":"us"}'
FILL = "x" * WORTH_BYTES


def answer(result: dict[str, Any], **more: Any) -> bytes:
    return encode({"jsonrpc": "2.0", "id": 7, "result": result, **more})


def read(body: bytes) -> Any:
    message = decode(body)
    return remembered(message, message["result"], body)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    result=st.dictionaries(st.text(max_size=4).filter(lambda k: k not in ("_meta", "fill")), VALUES, max_size=4),
    request_id=st.integers(-5, 10**6) | st.text(max_size=9),
    ascii_only=st.booleans(),
)
def test_a_remembered_result_comes_out_as_it_went_in_with_id_and_meta_of_ours(
    result: dict[str, Any], request_id: int | str, ascii_only: bool
) -> None:
    whole = {"fill": FILL, **result}
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 7, "result": whole}, ensure_ascii=ascii_only, separators=(",", ":")
    ).encode()
    found = read(body)
    assert type(found) is ReadResult
    assert found == whole
    written = found.answer(request_id, META)
    assert decode(written) == {"jsonrpc": "2.0", "id": request_id, "result": {**whole, "_meta": {"server": "us"}}}


@pytest.mark.parametrize(
    "body",
    [
        answer({"fill": "small"}),
        answer({}),
        answer({"fill": FILL}, more=1),
        answer({"a": {}, "fill": FILL}).replace(b'"a":', b'"a":\n'),
        answer({"a": {}, "fill": FILL}).replace(b'"a":', b'"a":\r'),
        answer({"fill": FILL}, more={"a": {}}),
        answer({"fill": FILL}) + b" ",
        answer({"fill": FILL})[:-1] + b" }",
        b" " + answer({"fill": FILL}),
        json.dumps({"id": 7, "jsonrpc": "2.0", "result": {"fill": FILL}}).encode(),
        json.dumps({"result": {"fill": FILL}, "jsonrpc": "2.0", "id": 7}, separators=(",", ":")).encode(),
        json.dumps({"jsonrpc": "2.0", "result": {"fill": FILL}, "id": 7}, separators=(",", ":")).encode(),
        json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"fill": FILL}}).encode(),
    ],
)
def test_bytes_that_stand_elsewhere_are_not_remembered(body: bytes) -> None:
    assert type(read(body)) is dict


def test_a_changed_copy_remembers_nothing() -> None:
    found = read(answer({"fill": FILL}))
    assert type({**found, "more": 1}) is dict
    assert type(dict(found)) is dict

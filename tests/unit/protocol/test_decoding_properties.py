"""What holds for every body at all: accepted ones keep their exact value, refused ones say so in one known error."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_decode import SEEDS, TOKENS, check_decoding, mutated
from toolyard.protocol import strict_json
from toolyard.protocol.errors import ProtocolError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)
IDS = st.integers(-(2**53) + 1, 2**53 - 1) | TEXT


def messages() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "jsonrpc": st.just("2.0"),
            "id": IDS,
            "method": st.sampled_from(["tools/call", "tools/list", "ping", "initialize", "x"]),
            "params": st.dictionaries(TEXT, VALUES, max_size=4),
        }
    )


@given(VALUES, st.booleans(), st.booleans())
def test_every_value_within_the_limits_is_accepted_exactly(value: Any, spaced: bool, escaped: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    body = json.dumps(value, separators=separators, ensure_ascii=escaped).encode()
    assert check_decoding(body) == "accepted"
    assert strict_json.decode(body) == value


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


BRACKETS = st.text(st.sampled_from('[]{}",\\a'), max_size=6)
NESTED = st.recursive(
    BRACKETS | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BRACKETS, inner, max_size=3),
    max_leaves=12,
)


@given(NESTED, st.integers(1, 6))
def test_depth_is_counted_exactly_whatever_brackets_and_marks_are_in_strings(value: Any, limit: int) -> None:
    body = json.dumps(value).encode()
    if depth(value) <= limit:
        assert strict_json.decode(body, max_depth=limit) == value
    else:
        with pytest.raises(ProtocolError):
            strict_json.decode(body, max_depth=limit)


@given(messages(), st.integers(0, 2**32), st.booleans())
@settings(max_examples=200)
def test_mutations_of_valid_messages_break_no_promise(message: dict[str, Any], seed: int, spaced: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    body = json.dumps(message, separators=separators).encode()
    check_decoding(mutated(random.Random(seed), body))


@given(st.lists(st.sampled_from([*TOKENS, *SEEDS]) | st.binary(max_size=8), max_size=12))
@settings(max_examples=150)
def test_any_heap_of_tokens_breaks_no_promise(pieces: list[bytes]) -> None:
    check_decoding(b"".join(pieces))


@given(st.binary(max_size=200))
def test_any_bytes_break_no_promise(body: bytes) -> None:
    check_decoding(body)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True))
@settings(max_examples=200)
def test_any_number_travels_exactly_or_not_at_all(literal: str) -> None:
    verdicts = {check_decoding(f'{{"v":{blank}{literal}}}'.encode()) for blank in ("", " ")}
    assert len(verdicts) == 1
    assert verdicts <= {"accepted", "-32602"}


@given(st.text(alphabet='\\ud8cDC00fa"9e', max_size=30))
@settings(max_examples=200)
def test_any_escapes_are_readable_text_or_a_parse_error(text: str) -> None:
    assert check_decoding(f'["{text}"]'.encode()) in {"accepted", "-32700", "-32602"}


@given(messages(), st.sampled_from(["id", "method", "params", "jsonrpc"]))
def test_a_doubled_member_is_always_refused(message: dict[str, Any], doubled: str) -> None:
    body = json.dumps(message)
    member = f"{json.dumps(doubled)}: {json.dumps(message[doubled])}"
    assert check_decoding(f"{{{member}, {body[1:]}".encode()) == "-32600"


@given(messages(), messages(), st.sampled_from(SEEDS))
def test_two_documents_are_never_one_message(first: dict[str, Any], second: dict[str, Any], seed: bytes) -> None:
    assert check_decoding(json.dumps(first).encode() + json.dumps(second).encode()) == "-32700"
    assert check_decoding(seed + seed) == "-32700"


def test_the_fuzz_target_finds_nothing_in_a_short_run() -> None:
    chance = random.Random(20_260_728)
    verdicts = {check_decoding(mutated(chance, chance.choice(SEEDS))) for _ in range(3_000)}
    assert verdicts == {"accepted", "-32700", "-32600", "-32602"}

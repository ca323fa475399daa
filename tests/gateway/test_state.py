"""The seal around an upstream's state: it serves the caller and the call it was made for, for ten minutes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolyard.gateway.errors import StateRefused
from toolyard.gateway.state import LIFETIME_S, StateSeal, binding_of
from toolyard.kit.clock import ManualClock

CALL: tuple[str, str, str, dict[str, Any]] = ("key:1", "default", "tools/call", {"name": "x", "arguments": {"a": 1}})
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def a_seal(clock: ManualClock | None = None, key: bytes = b"k" * 32) -> StateSeal:
    return StateSeal(key, clock or ManualClock())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_state_comes_back_as_it_was(state):
    seal = a_seal()
    sealed = seal.seal(state, binding_of(*CALL))
    assert seal.open(sealed, binding_of(*CALL)) == state
    assert sealed.isascii()
    assert state not in sealed or len(state) < 5


def test_a_state_of_a_megabyte_comes_back():
    seal = a_seal()
    assert seal.open(seal.seal("x" * 2**20, b"b"), b"b") == "x" * 2**20


def test_the_same_state_is_never_sealed_the_same():
    seal = a_seal()
    assert len({seal.seal("state", b"b") for _ in range(100)}) == 100


@pytest.mark.parametrize("state", ["", "s", "st", "a longer state"])
def test_every_character_changed_or_removed_or_added_is_refused(state):
    seal = a_seal()
    sealed = seal.seal(state, b"b")
    for place, character in enumerate(sealed):
        for other in {"A", "B", "_", "-", "=", "+", "/", " ", "\n", chr(ord(character) ^ 1)} - {character}:
            with pytest.raises(StateRefused):
                seal.open(sealed[:place] + other + sealed[place + 1 :], b"b")
        with pytest.raises(StateRefused):
            seal.open(sealed[:place] + sealed[place + 1 :], b"b")
        with pytest.raises(StateRefused):
            seal.open(sealed[:place] + "A" + sealed[place:], b"b")


def test_every_bit_flipped_is_refused():
    seal = a_seal()
    raw = base64.urlsafe_b64decode(seal.seal("state", b"b"))
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateRefused):
            seal.open(base64.urlsafe_b64encode(changed).decode(), b"b")


@given(st.text(max_size=100) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_was_never_sealed_is_refused(text):
    with pytest.raises(StateRefused):
        a_seal().open(text, b"b")


@pytest.mark.parametrize(
    "other",
    [
        ("key:2", *CALL[1:]),
        (CALL[0], "other", *CALL[2:]),
        (*CALL[:2], "prompts/get", CALL[3]),
        (*CALL[:3], {"name": "y", "arguments": {"a": 1}}),
        (*CALL[:3], {"name": "x", "arguments": {"a": 2}}),
        (*CALL[:3], {"name": "x", "arguments": {"a": "1"}}),
        (*CALL[:3], {"name": "x", "arguments": {"a": True}}),
        (*CALL[:3], {"name": "x", "arguments": {"a": 1, "b": None}}),
        (*CALL[:3], {"name": "x"}),
    ],
    ids=["principal", "server", "method", "name", "value", "text", "boolean", "more", "less"],
)
def test_a_state_of_another_principal_server_method_or_call_is_refused(other):
    seal = a_seal()
    sealed = seal.seal("state", binding_of(*CALL))
    with pytest.raises(StateRefused):
        seal.open(sealed, binding_of(*other))


@settings(max_examples=40)
@given(
    st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    st.dictionaries(st.text(max_size=5), json_values, max_size=3),
)
def test_calls_have_the_same_binding_only_if_their_parameters_are_the_same(one, two):
    def typed(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: typed(v) for k, v in value.items()}
        return [typed(v) for v in value] if isinstance(value, list) else (type(value), value)

    same = binding_of(*CALL[:3], {"arguments": one}) == binding_of(*CALL[:3], {"arguments": two})
    assert same == (typed(one) == typed(two))


def test_the_order_of_members_and_the_envelope_do_not_matter():
    params = {"arguments": {"a": 1, "b": {"c": 2, "d": 3}}, "name": "x"}
    again = {
        "name": "x",
        "requestState": "s",
        "_meta": {"progressToken": 7},
        "arguments": {"b": {"d": 3, "c": 2}, "a": 1},
        "inputResponses": {"k": {"action": "accept"}},
    }
    assert binding_of(*CALL[:3], params) == binding_of(*CALL[:3], again)


@pytest.mark.parametrize(("age_s", "opens"), [(LIFETIME_S - 1, True), (LIFETIME_S, True), (LIFETIME_S + 1, False)])
def test_a_state_serves_ten_minutes_and_no_longer(age_s, opens):
    clock = ManualClock()
    seal = a_seal(clock)
    sealed = seal.seal("state", b"b")
    clock.advance(age_s)
    if opens:
        assert seal.open(sealed, b"b") == "state"
    else:
        with pytest.raises(StateRefused):
            seal.open(sealed, b"b")


def test_a_state_of_another_key_is_refused():
    with pytest.raises(StateRefused):
        a_seal().open(a_seal(key=b"o" * 32).seal("state", b"b"), b"b")

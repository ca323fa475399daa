"""API keys: AUTH-01 to 03 and 05 to 07 of the attack book, as far as they are decided here."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.policy.keys import Pepper, Refused, issue, parse, rotate, verify

PEPPER = Pepper(1, b"p" * 32)
NOW = 1_800_000_000.0
PLAIN, RECORD = issue("alpha", "ci", PEPPER, now=NOW)


def check(text, *, now=NOW, peppers=None, **changes):
    record = dataclasses.replace(RECORD, **changes)
    outcome = verify(text, {record.id: record}, {1: PEPPER.value} if peppers is None else peppers, now)
    return outcome.reason if isinstance(outcome, Refused) else outcome.server


def test_an_issued_key_has_the_documented_form_and_verifies():
    assert re.fullmatch(r"mcp_key_[a-z2-7]{12}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}", PLAIN)
    assert check(PLAIN) == "alpha"
    assert RECORD.last4 == PLAIN[-4:]


def test_nothing_of_a_key_that_would_let_one_use_it_is_in_its_record():
    secret = PLAIN.split("_")[3]
    assert secret not in repr(RECORD)
    assert secret not in repr(parse(PLAIN))
    assert PEPPER.value.decode() not in repr(PEPPER)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "Bearer", PLAIN + "a", PLAIN[:-1], PLAIN.swapcase(), PLAIN + "\u00a0", " " + PLAIN, PLAIN + "\n",
        PLAIN.replace("mcp_key", "mcp-key"), PLAIN.upper(), PLAIN * 2,
        "mcp_key_" + "a" * 12 + "_" + "A" * 43 + "_000000",
    ],
    ids=range(13),
)  # fmt: skip
def test_a_text_that_is_not_exactly_a_key_costs_no_lookup(text):
    class Untouched(dict):
        def get(self, *_):
            raise AssertionError("looked up")

    assert verify(text, Untouched(), {1: PEPPER.value}, NOW) == Refused("malformed")


@given(st.integers(0, len(PLAIN) - 1), st.characters(codec="ascii"))
def test_any_key_with_one_character_changed_is_malformed(place, character):
    changed = PLAIN[:place] + character + PLAIN[place + 1 :]
    assert check(changed) == ("alpha" if changed == PLAIN else "malformed")


def test_a_well_formed_key_that_was_never_issued_is_unknown():
    stranger, _ = issue("alpha", "", PEPPER, now=NOW)
    assert check(stranger) == "unknown"


def test_a_key_with_a_known_id_and_another_secret_is_wrong_whatever_the_state_of_the_record():
    other, record = issue("alpha", "", PEPPER, now=NOW)
    outcome = verify(
        other, {record.id: dataclasses.replace(RECORD, id=record.id, disabled=True)}, {1: PEPPER.value}, NOW
    )
    assert outcome == Refused("wrong", record.id)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"disabled": True}, "disabled"),
        ({"not_before": NOW}, "alpha"),
        ({"not_before": NOW + 1}, "not_yet_valid"),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": NOW + 1}, "alpha"),
        ({"retires_at": NOW + 1}, "alpha"),
        ({"retires_at": NOW}, "retired"),
        ({"pepper_version": 2}, "wrong"),
    ],
)
def test_the_fields_of_a_record_decide_at_their_exact_second(changes, outcome):
    assert check(PLAIN, **changes) == outcome


def test_keys_of_two_pepper_versions_verify_side_by_side():
    newer, record = issue("beta", "", Pepper(2, b"q" * 32), now=NOW)
    records, peppers = {RECORD.id: RECORD, record.id: record}, {1: PEPPER.value, 2: b"q" * 32}
    assert verify(PLAIN, records, peppers, NOW) == RECORD
    assert verify(newer, records, peppers, NOW) == record


def test_a_rotated_key_is_accepted_during_its_grace_and_not_after():
    plain, fresh, old = rotate(RECORD, PEPPER, now=NOW, grace_s=60)
    records = {fresh.id: fresh, old.id: old}
    assert verify(plain, records, {1: PEPPER.value}, NOW) == fresh
    assert verify(PLAIN, records, {1: PEPPER.value}, NOW + 59) == old
    assert verify(PLAIN, records, {1: PEPPER.value}, NOW + 60) == Refused("retired", RECORD.id)


def test_the_key_in_the_place_of_another_may_do_what_that_one_may_and_no_more():
    limits = {"scopes": ("tools:list",), "tools": ("docs/*",), "networks": ("10.0.0.0/8",), "organization": "acme"}
    _, fresh, _ = rotate(dataclasses.replace(RECORD, **limits, expires_at=NOW + 9), PEPPER, now=NOW, grace_s=60)
    assert {name: getattr(fresh, name) for name in limits} == limits
    assert (fresh.expires_at, fresh.retires_at, fresh.name) == (NOW + 9, None, "ci")


def test_rotating_again_never_makes_the_grace_longer():
    _, _, old = rotate(RECORD, PEPPER, now=NOW, grace_s=60)
    _, _, older = rotate(old, PEPPER, now=NOW + 30, grace_s=600)
    assert older.retires_at == NOW + 60

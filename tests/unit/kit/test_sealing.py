"""Sealed secrets open in their own place, with their own key, and nowhere else (attack book SEC-08)."""

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.kit.sealing import DataKey, Place, SealBroken, data_key_version, seal, unseal
from toolyard.kit.secret import Secret

PLACE = Place("credentials", "c1", "acme", "token", 3)
KEY = DataKey("acme", 1, bytes(range(32)))
VALUE = "s3cret-value-of-the-test"
TEXTS = st.text(st.characters(), max_size=40)  # lone surrogates too


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, st.integers(1, 2**40), st.integers(1, 999_999_999))
def test_whatever_is_sealed_opens_in_its_place(value, table, row, organization, field, version, key_version):
    place = Place(*(text.encode("utf-8", "replace").decode() for text in (table, row, organization, field)), version)
    key = DataKey(place.organization, key_version, bytes(32))
    text = seal(Secret(value), place, key)
    assert unseal(text, place, key).reveal() == value
    assert data_key_version(text, place) == key_version


def test_the_text_says_its_version_and_key_and_is_never_the_same():
    first, second = seal(Secret(VALUE), PLACE, KEY), seal(Secret(VALUE), PLACE, KEY)
    assert first.startswith("sealed:v1:1:")
    assert first != second
    assert VALUE not in first


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, table="users"),
        replace(PLACE, row="c2"),
        replace(PLACE, field="password"),
        replace(PLACE, version=2),
        replace(PLACE, version=4),
        replace(PLACE, row="c1token", field=""),
    ],
)
def test_a_secret_moved_to_another_place_or_put_back_after_a_change_does_not_open(elsewhere):
    with pytest.raises(SealBroken) as broken:
        unseal(seal(Secret(VALUE), PLACE, KEY), elsewhere, KEY)
    assert str(elsewhere) in broken.value.message
    assert VALUE not in broken.value.message


def test_a_secret_moved_to_another_organization_does_not_open_there_whatever_its_key():
    text = seal(Secret(VALUE), PLACE, KEY)
    there = replace(PLACE, organization="rival")
    for key in (KEY, DataKey("rival", 1, bytes(range(32))), DataKey.make("rival")):
        with pytest.raises(SealBroken):
            unseal(text, there, key)


def test_a_secret_is_never_sealed_with_another_organizations_key():
    with pytest.raises(ValueError, match=r"is not for credentials\.token of 'c1'"):
        seal(Secret(VALUE), replace(PLACE, organization="rival"), KEY)


def test_another_key_or_another_version_of_it_does_not_open():
    text = seal(Secret(VALUE), PLACE, KEY)
    for key in (DataKey.make("acme"), DataKey("acme", 2, bytes(range(32)))):
        with pytest.raises(SealBroken):
            unseal(text, PLACE, key)
    with pytest.raises(SealBroken):
        unseal(text.replace(":v1:1:", ":v1:2:"), PLACE, DataKey("acme", 2, bytes(range(32))))


def test_a_text_cut_anywhere_or_with_any_character_changed_does_not_open():
    text = seal(Secret("x"), PLACE, KEY)
    spoilt = [text[:n] for n in range(len(text))]
    spoilt += [text[:n] + ("A" if text[n] != "A" else "B") + text[n + 1 :] for n in range(len(text))]
    spoilt += [text + more for more in ("A", "=", "\n", " ", "é", ":")]
    for one in spoilt:
        with pytest.raises(SealBroken):
            unseal(one, PLACE, KEY)


@given(st.text())
def test_any_other_text_does_not_open(text):
    with pytest.raises(SealBroken):
        unseal(text, PLACE, KEY)


def test_keys_are_not_printed_and_not_pickled():
    assert "****" in repr(KEY)
    assert bytes(range(32)).hex() not in repr(KEY)
    with pytest.raises(TypeError):
        pickle.dumps(KEY)


@pytest.mark.parametrize(("value", "version"), [(b"", 1), (bytes(31), 1), (bytes(33), 1), (bytes(32), 0)])
def test_a_data_key_has_32_bytes_and_a_version(value, version):
    with pytest.raises(ValueError, match="32 bytes"):
        DataKey("acme", version, value)

"""Vault keys: what they wrap, how a wrong one is found, and how they are changed (attack book SEC-07)."""

import pickle

import pytest

from toolyard.kit.key_encryption import KeyEncryptionKey, KeyEncryptionKeyWrong, KeyRing
from toolyard.kit.sealing import DataKey, Place, SealBroken, seal, unseal
from toolyard.kit.secret import Secret

OLD, NEW = KeyEncryptionKey(b"o" * 32), KeyEncryptionKey(b"n" * 32)
PLACE = Place("credentials", "c1", "acme", "token")


def test_a_wrapped_data_key_opens_what_it_sealed():
    ring, key = KeyRing([OLD]), DataKey.make("acme", 4)
    text = seal(Secret("x"), PLACE, key)
    assert unseal(text, PLACE, ring.unwrap(ring.wrap(key), "acme", 4)).reveal() == "x"


def test_a_wrapped_key_moved_to_another_organization_or_version_or_changed_does_not_open():
    ring = KeyRing([OLD])
    wrapped = ring.wrap(DataKey.make("acme", 4))
    for text, organization, version in (
        (wrapped, "rival", 4),
        (wrapped, "acme", 5),
        (wrapped[:-1], "acme", 4),
        (wrapped[:-4] + "AAAA", "acme", 4),
        ("", "acme", 4),
        ("wrapped:v1:", "acme", 4),
    ):
        with pytest.raises(SealBroken, match=f"organization '{organization}', version {version}"):
            ring.unwrap(text, organization, version)


def test_a_wrong_vault_key_is_told_from_a_broken_secret_by_the_ids_of_both():
    wrapped, check = KeyRing([OLD]).wrap(DataKey.make("acme")), KeyRing([OLD]).check_value()
    for attempt in (lambda: KeyRing([NEW]).unwrap(wrapped, "acme", 1), lambda: KeyRing([NEW]).verify(check)):
        with pytest.raises(KeyEncryptionKeyWrong, match=f"needs the vault key {OLD.id}, and what is here is {NEW.id}"):
            attempt()


def test_a_check_value_is_accepted_by_the_key_that_made_it_and_refused_when_changed():
    check = KeyRing([OLD]).check_value()
    KeyRing([OLD]).verify(check)
    KeyRing([NEW, OLD]).verify(check)
    wrapped = KeyRing([OLD]).wrap(DataKey.make("acme"))
    for text in ("", check[:-1], check[:-4] + "AAAA", wrapped, wrapped.replace("wrapped", "check")):
        with pytest.raises(SealBroken):
            KeyRing([OLD]).verify(text)


def test_after_a_change_of_the_vault_key_both_generations_open_until_each_data_key_is_wrapped_anew():
    key = DataKey.make("acme")
    text, before = seal(Secret("x"), PLACE, key), KeyRing([OLD]).wrap(key)
    both = KeyRing([NEW, OLD])
    assert (both.is_current(before), both.current) == (False, NEW)
    after = both.wrap(both.unwrap(before, "acme", 1))
    assert both.is_current(after)
    for ring, wrapped in ((both, before), (both, after), (KeyRing([NEW]), after)):
        assert unseal(text, PLACE, ring.unwrap(wrapped, "acme", 1)).reveal() == "x"
    with pytest.raises(KeyEncryptionKeyWrong):
        KeyRing([NEW]).unwrap(before, "acme", 1)


def test_an_id_is_that_of_the_key_and_does_not_contain_it():
    assert KeyEncryptionKey(b"o" * 32).id == OLD.id != NEW.id
    assert repr(OLD) == f"KeyEncryptionKey({OLD.id})"
    assert OLD.id not in (b"o" * 32).hex()
    with pytest.raises(TypeError):
        pickle.dumps(OLD)


def test_a_vault_key_has_32_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        KeyEncryptionKey(b"short")

"""Secrets between the planes: open for who has the vault key, at the place they were sealed for."""

from __future__ import annotations

import pytest

from toolyard.kit.key_encryption import KeyEncryptionKey, KeyEncryptionKeyWrong, KeyRing
from toolyard.kit.sealing import SealBroken
from toolyard.kit.secret import Secret
from toolyard.kit.transit import Transit

OLD, NEW = KeyEncryptionKey(b"o" * 32), KeyEncryptionKey(b"n" * 32)
PLACE = "upstream/docs/headers/authorization"


def test_what_was_sealed_for_a_place_opens_there_with_the_same_vault_key() -> None:
    text = Transit(KeyRing([OLD])).seal(PLACE, Secret("SEKRET"))
    assert "SEKRET" not in text
    assert Transit(KeyRing([NEW, OLD])).unseal(PLACE, text) == Secret("SEKRET")


def test_it_opens_at_no_other_place() -> None:
    transit = Transit(KeyRing([OLD]))
    with pytest.raises(SealBroken):
        transit.unseal("upstream/other/headers/authorization", transit.seal(PLACE, Secret("SEKRET")))


def test_a_gateway_without_the_vault_key_says_which_one_it_needs() -> None:
    text = Transit(KeyRing([NEW])).seal(PLACE, Secret("SEKRET"))
    with pytest.raises(KeyEncryptionKeyWrong, match=NEW.id):
        Transit(KeyRing([OLD])).unseal(PLACE, text)


def test_what_is_not_sealed_is_refused() -> None:
    with pytest.raises(SealBroken):
        Transit(KeyRing([OLD])).unseal(PLACE, "SEKRET")

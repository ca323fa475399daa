"""What gateways open: with the vault key that is there, and with a newer one as soon as it is."""

from __future__ import annotations

import pytest

from toolyard.gateway.feed.seals import Seals
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyEncryptionKeyWrong, KeyRing
from toolyard.kit.sealing import SealBroken
from toolyard.kit.secret import Secret
from toolyard.kit.transit import Transit

OLD, NEW = KeyEncryptionKey(b"o" * 32), KeyEncryptionKey(b"n" * 32)
PLACE = "upstream/docs/headers/Authorization"


def test_keys_are_read_when_the_first_secret_is_opened_and_again_for_a_new_key() -> None:
    read: list[KeyRing] = []
    there = [OLD]

    def keys() -> KeyRing:
        read.append(KeyRing(tuple(there)))
        return read[-1]

    seals = Seals(keys)
    assert read == []
    for _ in range(3):
        assert seals(PLACE, Transit(KeyRing((OLD,))).seal(PLACE, Secret("x"))) == Secret("x")
    assert len(read) == 1
    there.insert(0, NEW)
    assert seals(PLACE, Transit(KeyRing((NEW,))).seal(PLACE, Secret("y"))) == Secret("y")
    assert len(read) == 2


def test_what_was_sealed_for_another_place_or_with_another_key_does_not_open() -> None:
    seals = Seals(lambda: KeyRing((OLD,)))
    with pytest.raises(SealBroken):
        seals("upstream/other/headers/Authorization", Transit(KeyRing((OLD,))).seal(PLACE, Secret("x")))
    with pytest.raises(KeyEncryptionKeyWrong):
        seals(PLACE, Transit(KeyRing((NEW,))).seal(PLACE, Secret("x")))

"""Passwords: which are accepted, and that verifying one tells nothing but whether it is right."""

import asyncio
import threading

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from toolyard.kit.passwords import COMMON, PasswordRejected, Passwords, PasswordsBusy, argon2, check_rules
from toolyard.kit.secret import Secret

GOOD = Secret("four lazy yaks sing")


class Counting(PasswordHash):
    """Counts what it verifies; while `held`, it waits."""

    def __init__(self):
        super().__init__((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))
        self.verified = 0
        self.running = threading.Semaphore(0)
        self.held = threading.Event()
        self.held.set()

    def verify_and_update(self, password, hash):  # noqa: A002  # the library's name
        self.verified += 1
        self.running.release()
        self.held.wait(60)
        return super().verify_and_update(password, hash)


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def passwords(counting):
    made = Passwords(hasher=counting, max_waiting=3)
    yield made
    made.close()


def test_what_is_kept_is_argon2id_with_19_mebibytes_two_passes_and_one_lane_and_a_salt():
    first, second = argon2().hash("x"), argon2().hash("x")
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second


def test_the_right_password_fits_and_no_other(passwords):
    async def scenario():
        kept = await passwords.hash(GOOD)
        assert "yaks" not in kept
        given = [GOOD, Secret("four lazy yaks sang"), Secret(""), Secret("x" * 100_000), Secret("\udc80\x00")]
        return [await passwords.verify(one, kept) for one in given]

    assert asyncio.run(scenario()) == [True, False, False, False, False]


def test_the_same_password_from_another_keyboard_fits(passwords):
    async def scenario():
        return await passwords.verify(Secret("café au lait ①"), await passwords.hash(Secret("cafe\u0301 au lait 1")))

    assert asyncio.run(scenario()) is True


@pytest.mark.parametrize("kept", [None, "", "not a hash", "$argon2id$nonsense"])
def test_a_user_who_is_unknown_or_has_no_password_costs_one_hash_like_any_other(passwords, counting, kept):
    async def scenario():
        return [await passwords.verify(Secret(text), kept) for text in ("nobody's", "", "x" * 1000)]

    assert asyncio.run(scenario()) == [False, False, False]
    assert counting.verified >= 3


def test_a_hash_made_in_an_older_manner_is_renewed_when_the_password_proved_right(passwords):
    stronger = Passwords()

    async def scenario():
        old = await passwords.hash(GOOD)
        assert await stronger.verify_and_renew(Secret("wrong"), old) == (False, None)
        fits, renewed = await stronger.verify_and_renew(GOOD, old)
        assert fits
        assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await stronger.verify_and_renew(GOOD, renewed) == (True, None)

    asyncio.run(scenario())
    stronger.close()


def test_two_are_verified_at_once_some_wait_and_more_are_refused(passwords, counting):
    async def scenario():
        kept = await passwords.hash(GOOD)
        counting.held.clear()
        tasks = [asyncio.create_task(passwords.verify(GOOD, kept)) for _ in range(3)]
        for _ in range(2):
            assert await asyncio.to_thread(counting.running.acquire, timeout=60)
        with pytest.raises(PasswordsBusy):
            await passwords.verify(GOOD, kept)
        assert counting.verified == 2
        counting.held.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert await passwords.verify(GOOD, kept)

    asyncio.run(scenario())


def test_whoever_gives_up_waiting_leaves_the_place(passwords, counting):
    async def scenario():
        kept = await passwords.hash(GOOD)
        counting.held.clear()
        tasks = [asyncio.create_task(passwords.verify(GOOD, kept)) for _ in range(3)]
        for _ in range(2):
            assert await asyncio.to_thread(counting.running.acquire, timeout=60)
        tasks[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[2]
        counting.held.set()
        assert await asyncio.gather(*tasks[:2]) == [True, True]
        assert await passwords.verify(GOOD, kept)

    asyncio.run(scenario())
    assert counting.verified == 3


@pytest.mark.parametrize("text", ["twelve chars", "四个懒惰的牦牛在山上唱歌", "x" * 250 + " y z", "🦙 llama llama"])
def test_a_long_password_of_any_characters_is_accepted(text):
    check_rules(Secret(text), "alice")


@pytest.mark.parametrize("text", ["", "eleven char", "x" * 257, "x" * 10_000_000, "e\u0301" * 11])
def test_a_password_that_is_too_short_or_too_long_is_refused_with_the_rule(text):
    with pytest.raises(PasswordRejected, match="from 12 to 256 characters"):
        check_rules(Secret(text), "alice")


@pytest.mark.parametrize("name", ["alice@example.com", "ALICE@example.COM", "ａlice@example.com"])
def test_a_password_is_not_the_users_name(name):
    with pytest.raises(PasswordRejected, match="user's name"):
        check_rules(Secret("Alice@Example.com"), name)


@pytest.mark.parametrize("text", ["password1234", "PassWord1234", "123456789012", "qwertyuiop123"])
def test_the_most_common_passwords_are_refused(text):
    with pytest.raises(PasswordRejected, match="most common"):
        check_rules(Secret(text), "alice")


def test_the_list_of_common_passwords_has_none_that_is_too_short_anyway():
    assert [one for one in COMMON if len(one) < 12 or one != one.casefold()] == []

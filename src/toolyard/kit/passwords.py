"""Passwords of people: which are accepted, and how they are kept and verified.

Kept as Argon2id (19 MiB, 2 passes, 1 lane: OWASP's minimum, and what two processors bear). One hash takes some 20 ms,
so it is made in two threads of its own, and no more wait for them than can be served within about a second. A user who
does not exist costs the same hash as a wrong password, so that answers do not tell who has an account.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from toolyard.kit.errors import PlatformError
from toolyard.kit.secret import Secret

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256
SLOTS = 2
MAX_WAITING = 100
_COMMON = """
123456789012 1234567890123 12345678901234 123456789012345 1234567890123456 098765432109 012345678901 112233445566
111111111111 000000000000 123123123123 121212121212 123456123456 aaaaaaaaaaaa abcabcabcabc abcdefghijkl abcdefghijklm
abcdefghijklmnop abcd12345678 abc123456789 a123456789012 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz2wsx3edc 1qaz2wsx3edc4rfv
qwertyuiopas qwertyuiop[] qwertyuiop12 qwertyuiop123 qwerty123456 qwerty1234567 qwerty12345678 qwertyqwerty
qwertyuiopasdf qwertyuiopasdfghjkl asdfghjkl123 asdfghjklzxc asdfasdfasdf zxcvbnm12345 q1w2e3r4t5y6 password1234
password12345 password123456 password1234! password123! passwordpassword passw0rd1234 p@ssw0rd1234 p@ssword1234
mypassword123 newpassword1 newpassword123 changeme1234 changemenow1 changeme12345 letmein12345 letmeinletmein
welcome12345 welcome123456 welcome2024! welcome2025! welcome2026! administrator administrator1 admin1234567
admin12345678 adminadminadmin admin@123456 administrator123 rootrootroot root12345678 iloveyou1234 iloveyouiloveyou
iloveyouforever superman1234 batman123456 football1234 baseball1234 princess1234 sunshine1234 dragon123456
monkey123456 master123456 trustno1trustno1 secret123456 secretsecret test12345678 testtesttest testpassword
user12345678 username1234 login1234567 default12345 temporary123 temppassword computer1234 internet1234
correcthorsebatterystaple toolyard1234 toolyardtoolyard woaini123456 woaini1314520 5201314520131
"""
COMMON = frozenset(_COMMON.split())
"""The most common that are long enough to pass the first rule, in lower case."""

T = TypeVar("T")


class PasswordRejected(PlatformError):
    """This password is not accepted."""

    code = "password_rejected"
    status = 422


class PasswordsBusy(PlatformError):
    """Too many passwords are being verified; try again in a moment."""

    code = "passwords_busy"
    status = 503
    retry_after_s = 1.0


def check_rules(password: Secret, user_name: str) -> None:
    """Nothing, if this user may have this password. Raises PasswordRejected with the rule."""
    text = "" if _is_too_long(password) else _normal(password)
    if len(text) < MIN_CHARACTERS:
        raise PasswordRejected(f"a password has from {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    if text.casefold() == unicodedata.normalize("NFKC", user_name).casefold():
        raise PasswordRejected("a password is not the user's name")
    if text.casefold() in COMMON:
        raise PasswordRejected("this is one of the most common passwords")


def argon2() -> PasswordHash:
    """How passwords are kept today."""
    return PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))


class Passwords:
    """Hashes and verifies. Its owner closes it."""

    def __init__(self, *, max_waiting: int = MAX_WAITING, hasher: PasswordHash | None = None) -> None:
        self._hasher = hasher or argon2()
        self._threads = ThreadPoolExecutor(SLOTS, "passwords")
        self._max_waiting = max_waiting
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_bytes(16))

    async def hash(self, password: Secret) -> str:
        """What to keep of a password. The rules are `check_rules`'. Raises PasswordsBusy."""
        return await self._in_a_thread(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, password: Secret, kept: str | None) -> bool:
        """Whether this is the password of which `kept` was made; None for a user who does not exist or has no password,
        which takes as long. Raises PasswordsBusy."""
        fits, _ = await self.verify_and_renew(password, kept)
        return fits

    async def verify_and_renew(self, password: Secret, kept: str | None) -> tuple[bool, str | None]:
        """As `verify`, with what is to be kept from now on where `kept` was made in an older manner, else None."""
        return await self._in_a_thread(lambda: self._compare(password, kept))

    def close(self) -> None:
        """What is being hashed ends; what waits is given up."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _compare(self, password: Secret, kept: str | None) -> tuple[bool, str | None]:
        acceptable = bool(kept) and not _is_too_long(password)
        given = _bytes(password) if acceptable else b""
        try:
            fits, renewed = self._hasher.verify_and_update(given, kept if acceptable and kept else self._nobodys)
        except UnknownHashError:
            self._hasher.verify_and_update(given, self._nobodys)
            return False, None
        return (True, renewed) if acceptable and fits else (False, None)

    async def _in_a_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._max_waiting:
            raise PasswordsBusy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _is_too_long(password: Secret) -> bool:
    """Looked at before anything is done with it, since that could take long."""
    return len(password.reveal()) > MAX_CHARACTERS


def _normal(password: Secret) -> str:
    """The same password typed on another keyboard is the same text."""
    return unicodedata.normalize("NFKC", password.reveal())


def _bytes(password: Secret) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")

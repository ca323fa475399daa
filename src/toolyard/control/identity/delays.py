"""How long somebody has to wait after failed logins: for each account and address apart, twice as long each time.

Nobody can lock others out: from another address the account is open, and the longest wait is some minutes. Accounts
that do not exist are treated as those that do.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from toolyard.control.identity.errors import LoginDelayed

FREE: Final = 3
MAX_WAIT_S: Final = 300.0
FORGOTTEN_S: Final = 3600.0
MAX_KEPT: Final = 50_000


class Delays:
    """The failures of this process, the oldest forgotten first where there are too many."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def begin(self, account: str, address: str) -> str:
        """Count a try as failed until `forgive` says otherwise, so that many at once do not all get through; what to
        call it by. Raises LoginDelayed, with the time that is left."""
        key = hashlib.sha256(f"{account}\0{network_of(address)}".encode("utf-8", "surrogatepass")).hexdigest()
        now = self._now()
        failures, at = self._failed.pop(key, (0, now))
        if now - at > FORGOTTEN_S:
            failures = 0
        left = at + wait_s(failures) - now
        self._failed[key] = (failures, at) if left > 0 else (failures + 1, now)
        while len(self._failed) > MAX_KEPT:
            self._failed.popitem(last=False)
        if left > 0:
            error = LoginDelayed()
            error.retry_after_s = left
            raise error
        return key

    def forgive(self, key: str) -> None:
        """The try was good."""
        self._failed.pop(key, None)


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits that one household or machine has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def wait_s(failures: int) -> float:
    """How long to wait after so many failures."""
    return 0.0 if failures < FREE else min(MAX_WAIT_S, 2.0 ** min(failures - FREE, 20))

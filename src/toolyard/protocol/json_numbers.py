"""Which numbers of a JSON text may travel on: those that are written again with exactly the value they came with."""

from __future__ import annotations

import sys
from decimal import Decimal, InvalidOperation
from math import isinf

MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1

_SAFE_INTEGER_DIGITS = 18
_MAX_INTEGER_DIGITS = 20
_SAFE_REAL_LENGTH = 16
"""A literal of this length has at most 15 significant digits, which every normal double gives back."""

_LEAST_NORMAL = sys.float_info.min
_GREATEST = sys.float_info.max


class NumberRefused(ValueError):
    """The number would change on its way through the gateway."""


def integer(literal: str) -> int:
    """The integer of `literal`, which must be within [-2^63, 2^64-1]; raises NumberRefused."""
    if len(literal) <= _SAFE_INTEGER_DIGITS:
        return int(literal)
    if len(literal) > _MAX_INTEGER_DIGITS:
        raise NumberRefused
    value = int(literal)
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise NumberRefused
    return value


def real(literal: str) -> float:
    """The double of `literal`, which must be written again as the same decimal value; raises NumberRefused."""
    value = float(literal)
    if len(literal) <= _SAFE_REAL_LENGTH and _LEAST_NORMAL <= abs(value) <= _GREATEST:
        return value
    if isinf(value):
        raise NumberRefused
    written = repr(value)
    if written != literal and not _equal(literal, written):
        raise NumberRefused
    return value


def _equal(literal: str, written: str) -> bool:
    try:
        return Decimal(literal) == Decimal(written)
    except InvalidOperation:  # an exponent beyond what even Decimal can hold
        return False


def constant(literal: str) -> float:
    """NaN and Infinity are not JSON; raises ValueError."""
    raise ValueError(literal)

"""What holds for all tests: property tests are repeatable and judged by what they find, never by how long they take.

`make fuzz` looks for new examples at random; a test run gives the same result twice.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.postgres import postgres, postgres_url

__all__ = ["postgres", "postgres_url"]

os.environ["TOOLYARD_CONTROL"] = "off"
"""Gateways of tests run alone, unless a test wants a control plane beside its own."""

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

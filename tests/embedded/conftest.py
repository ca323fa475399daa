"""A host program that has configured no logs, whatever other tests have left behind in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _no_logs_configured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()

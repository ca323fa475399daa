from __future__ import annotations

import pytest

from toolyard.protocol import revisions
from toolyard.protocol.errors import InvalidParams
from toolyard.protocol.revisions import LEGACY, MODERN, SUPPORTED, negotiate


@pytest.mark.parametrize("revision", LEGACY)
def test_a_known_legacy_revision_is_answered_with_itself(revision: str) -> None:
    assert negotiate(revision) == revision


@pytest.mark.parametrize("requested", [MODERN, "9999-99-99", "", "2025-11-25 "])
def test_any_other_revision_is_answered_with_the_newest_legacy_one(requested: str) -> None:
    assert negotiate(requested) == "2025-11-25"


@pytest.mark.parametrize("requested", [None, 1, ["2025-11-25"]])
def test_a_revision_is_a_string(requested: object) -> None:
    with pytest.raises(InvalidParams):
        negotiate(requested)


def test_each_era_has_its_own_requests() -> None:
    modern_only = revisions.MODERN_METHODS - revisions.LEGACY_METHODS
    legacy_only = revisions.LEGACY_METHODS - revisions.MODERN_METHODS
    assert modern_only == {"server/discover", "subscriptions/listen"}
    assert legacy_only == {
        "initialize",
        "logging/setLevel",
        "ping",
        "resources/subscribe",
        "resources/unsubscribe",
    }
    assert revisions.methods(MODERN) is revisions.MODERN_METHODS
    assert all(revisions.methods(revision) is revisions.LEGACY_METHODS for revision in LEGACY)


def test_revisions_are_ordered_by_their_list() -> None:
    assert revisions.at_least(MODERN, "2024-11-05")
    assert revisions.at_least("2025-06-18", "2025-06-18")
    assert not revisions.at_least("2025-03-26", "2025-06-18")
    assert [revisions.is_modern(revision) for revision in SUPPORTED] == [True, False, False, False, False]


def test_the_error_for_an_unsupported_revision_never_offers_the_refused_one() -> None:
    assert revisions.unsupported("9999-99-99").data == {"supported": list(SUPPORTED), "requested": "9999-99-99"}
    assert revisions.unsupported("2025-11-25").data == {"supported": [MODERN], "requested": "2025-11-25"}


def test_the_methods_are_those_of_the_official_types() -> None:
    official = pytest.importorskip("mcp_types.methods").CLIENT_REQUESTS
    for revision in SUPPORTED:
        assert {method for method, known in official if known == revision} == revisions.methods(revision)

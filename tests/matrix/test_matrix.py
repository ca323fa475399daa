"""Every kind of message, between clients and upstreams of every era, over every pair of transports.

The page of the reference that says what becomes of what is made of what these tests saw. `COMPATIBILITY=write` in the
environment writes it; otherwise it is compared.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.matrix.kinds import KINDS, Kind
from tests.matrix.page import pages
from tests.matrix.world import OVER_WORKERS, PAIRS, Pair, World

pytestmark = pytest.mark.slow
SEEN: dict[tuple[str, Pair], str] = {}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("matrix"))
    yield made
    made.close()


def seen(world: World, kind: Kind, pair: Pair) -> str:
    """What becomes of a kind of message between the two of a pair; found out once."""

    async def play() -> str:
        return await kind.scene(await world.scene(pair))

    if (kind.name, pair) not in SEEN:
        SEEN[kind.name, pair] = world.play(play())
    return SEEN[kind.name, pair]


CASES = [
    pytest.param(pair, kind, id=f"{kind.name}: {pair}")
    for pair in PAIRS + OVER_WORKERS
    for kind in KINDS
    if pair.cell in kind.expected
]


@pytest.mark.parametrize(("pair", "kind"), CASES)
def test_a_message_becomes_what_it_should(world: World, pair: Pair, kind: Kind) -> None:
    assert seen(world, kind, pair) == kind.expected[pair.cell]


def test_the_reference_says_what_was_seen_whatever_the_transports(world: World) -> None:
    found: defaultdict[tuple[str, tuple[str, str]], set[str]] = defaultdict(set)
    for case in CASES:
        pair, kind = case.values
        found[kind.name, pair.cell].add(seen(world, kind, pair))
    assert {where: outcomes for where, outcomes in found.items() if len(outcomes) > 1} == {}
    made = pages({where: next(iter(outcomes)) for where, outcomes in found.items()})
    if os.environ.get("COMPATIBILITY") == "write":
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: COMPATIBILITY=write python -m pytest tests/matrix"

"""Named fault points: places in durable and network paths that a test can make fail.

`hit("journal.write")` costs one dictionary look-up while nothing is armed. A test arms a point with an exception (or a
callable) for its next `times` hits. Points are declared where they are hit; `seen` tells a test loop which exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Effect = BaseException | Callable[[], None]

_armed: dict[str, list[Effect]] = {}
_recording: set[str] | None = None


def hit(point: str) -> None:
    """Raise what a test armed for `point`; otherwise do nothing."""
    if _recording is not None:
        _recording.add(point)
    if not _armed:
        return
    effects = _armed.get(point)
    if not effects:
        return
    effect = effects.pop(0)
    if isinstance(effect, BaseException):
        raise effect
    effect()


@contextmanager
def armed(point: str, effect: Effect, *, times: int = 1) -> Iterator[None]:
    """Within the block, the next `times` hits of `point` have `effect`."""
    _armed[point] = [effect] * times
    try:
        yield
    finally:
        _armed.pop(point, None)


@contextmanager
def recording() -> Iterator[set[str]]:
    """Within the block, collect the names of all points that are hit."""
    global _recording
    _recording = set()
    try:
        yield _recording
    finally:
        _recording = None

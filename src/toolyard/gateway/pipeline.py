"""The pipeline: a literal list of interceptors `(call, proceed) → result` around the upstream call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call

Proceed = Callable[[Call], Awaitable[Json]]


class Interceptor(Protocol):
    """One concern of every call. It may refuse (raise), change what it passes on, or act on the result. One that only
    judges is a plain function that returns `proceed(call)`: it costs no coroutine of its own."""

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Json]: ...


def compose(interceptors: Sequence[Interceptor], final: Proceed) -> Proceed:
    """One function that runs the interceptors in order and then `final`; built once, not for each call."""
    proceed = final
    for interceptor in reversed(interceptors):
        proceed = _around(interceptor, proceed)
    return proceed


def _around(interceptor: Interceptor, proceed: Proceed) -> Proceed:
    def step(call: Call) -> Awaitable[Json]:
        return interceptor(call, proceed)

    return step

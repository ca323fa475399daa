"""The pipeline: a literal list of gates around the upstream call.

A gate has two ends. `enter` judges a call and notes what it takes part in; `leave` is told how the call came out, in
the opposite order, for every gate that was entered. Both are plain functions, so that a call which has nothing to wait
for passes all of them without a coroutine (`enter` of the pipeline); a gate that has to wait says so and is waited for
in `carry`. So there is one list and one meaning, however a call is carried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call

Proceed = Callable[[Call], Awaitable[Json]]
Outcome = Json | BaseException
"""What a call came to: its result, or what ended it."""


class Gate(Protocol):
    """One concern of every call. A gate with a true `repeats` is one whose say `express` knows for calls in the same
    words as one before: it depends on the words alone, or `express` asks it each time."""

    def enter(self, call: Call) -> bool:
        """Let the call in, or raise a refusal. False: this cannot be said at once, so nothing was done; `wait`."""
        ...

    async def wait(self, call: Call) -> None:
        """As `enter`, with whatever waiting it takes."""
        ...

    def leave(self, call: Call, outcome: Outcome) -> None:
        """The call that was let in has ended."""
        ...


class Judge:
    """A gate that judges at once and has nothing to do afterwards. Such gates define `enter`."""

    async def wait(self, call: Call) -> None:
        return None

    def leave(self, call: Call, outcome: Outcome) -> None:
        return None


def _only_judges(gate: Gate) -> bool:
    """Most do; they are not called at the end for nothing."""
    return isinstance(gate, Judge) and "leave" not in vars(type(gate))


class Watched(Protocol):
    """A call that is watched. `expire` is called when its time is up, and `expired` says so."""

    expire: Callable[[], object]
    expired: bool

    def end(self) -> None: ...


class Watch(Protocol):
    """Something that goes on beside a call while it runs. `applies` says for which calls. Whoever has no coroutine to
    put around the call calls `begin` before it is sent, and `end` of what that returns at last."""

    def applies(self, call: Call) -> bool: ...
    def begin(self, call: Call) -> Watched: ...
    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Json]: ...


class Pipeline:
    """The gates in their order, then the watch, then `final`."""

    def __init__(self, gates: Sequence[Gate], watch: Watch, final: Proceed) -> None:
        self.gates = tuple(gates)
        self.watch = watch
        self._final = final
        self._enters = tuple(gate.enter for gate in gates)
        self._leaves = tuple(gate.leave for gate in reversed(gates) if not _only_judges(gate))

    def enter(self, call: Call) -> int:
        """Take the call through the gates that need not wait; how many it passed. Whoever called this calls `carry`,
        or, if `all_entered`, carries the call out by itself, watched if that `applies`, and calls `leave`. Raises the
        first refusal."""
        entered = 0
        try:
            for enter in self._enters:
                if not enter(call):
                    break
                entered += 1
        except BaseException as error:
            self._leave_first(entered, call, error)
            raise
        return entered

    def all_entered(self, entered: int) -> bool:
        """No gate is left to wait at."""
        return entered == len(self._enters)

    async def carry(self, call: Call, entered: int = 0) -> Json:
        """Take the call through the gates from number `entered` on and carry it out. Raises the first refusal, and what
        carrying out raises."""
        try:
            for gate in self.gates[entered:]:
                if not gate.enter(call):
                    await gate.wait(call)
                entered += 1
            if self.watch.applies(call):
                result = await self.watch(call, self._final)
            else:
                result = await self._final(call)
        except BaseException as error:
            self._leave_first(entered, call, error)
            raise
        self.leave(call, result)
        return result

    def leave(self, call: Call, outcome: Outcome) -> None:
        """A call that passed all gates has ended."""
        for leave in self._leaves:
            leave(call, outcome)

    def _leave_first(self, entered: int, call: Call, error: BaseException) -> None:
        for gate in reversed(self.gates[:entered]):
            gate.leave(call, error)

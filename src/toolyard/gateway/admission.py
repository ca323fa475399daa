"""Which requests begin at once, which wait a moment, and which are refused, when more come than can be served.

Theory of operation. A gateway that begins everything it reads serves nothing in the end: all it can do goes into
beginnings (decision 0014 has the figures). So a request is begun only when the loop has room for it, which is decided
before a byte of it is parsed. While few requests run, nothing is decided at all: the connection compares two numbers.
Beyond that each turn of the loop begins at most `per_turn` requests, fewer if turns get long or a call finds no place
at its upstream; the rest wait on their connections, unread. So turns stay short, whatever comes, and the loop never
idles while something waits. Of those who wait the caller who was served longest ago is next, so that a caller who
sends much waits behind itself. A burst is worked off. In a crowd that stays, whoever has waited `wait_s` is refused
with what else has come on its connection meanwhile, and so is, sooner, what waits behind other requests of its
connection (`behind_s`). So a client is told soon, and a connection that sends without end has a few requests served
and the others refused in one piece, several times a second, instead of costing a wake-up for each.

Refusing has to be much cheaper than serving. The heads of refused requests are remembered with the length of their
bodies, learnt by the strict reader, so that the same head again is recognised and skipped without being read.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import struct
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

_HEAD_END: Final = b"\r\n\r\n"
_NO_HEAD: Final = b"\0"
_MAX_KNOWN: Final = 1024
_MAX_KNOWN_BYTES: Final = 2048


FORGET_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """`few`: so many requests may run before anything is decided. `per_turn`: so many more are begun in one turn of the
    loop, down to one when turns take longer than `turn_s`. `wait_s`: how long the others wait before they are refused,
    once somebody has been waiting for `burst_s` without a pause of that length: a burst is worked off, a crowd that
    stays is not. `behind_s` is for what waits behind a request of the same connection that was begun.

    Measured at ten times capacity on 64 connections, on a busy machine: with a `behind_s` of 15 ms a connection has
    four requests served for each time that it is read and refused, where it was one; with 30 ms the p99 of refusals
    rose from 41 to 59 ms. 4 or 8 in a turn made no difference there; where 1,500 clients wait for each answer 8 and
    more got a little more. The other values are judged, not measured."""

    few: int = 32
    per_turn: int = 8
    turn_s: float = 0.01
    wait_s: float = 0.03
    behind_s: float = 0.015
    burst_s: float = 0.2


_Ticket = tuple[int, str]
"""What somebody has who waits: a number of its own, and in whose queue."""


class Comer(Protocol):
    """A connection on which a request has come, as admission sees it. `caller` says whose it is, as far as is known."""

    @property
    def caller(self) -> str: ...
    def hold(self) -> None:
        """Read no more until the turn comes."""
        ...

    def read_on(self) -> None:
        """Read again, if reading was held."""
        ...

    def waits_since(self, time: float) -> float:
        """Since when what is here has waited, behind a request that was begun or refused; `time` if it only came."""
        ...

    def begin(self) -> None:
        """Read the request and serve it."""
        ...

    def refuse(self) -> int:
        """Refuse everything that has come; how many requests that was."""
        ...


class Admission:
    """The door of one server. `refused` is told how many requests were refused."""

    __slots__ = (
        "_behind",
        "_calm_since",
        "_count",
        "_crowd_since",
        "_in_order",
        "_known",
        "_left",
        "_limits",
        "_now",
        "_overdue",
        "_queues",
        "_refused",
        "_served",
        "_share",
        "_tickets",
        "_too_old",
        "_too_old_behind",
        "_turned_at",
        "_turns",
        "_waiting",
        "closed",
        "crowded",
        "few",
        "running",
        "time",
    )

    def __init__(self, limits: AdmissionLimits, now: Callable[[], float], refused: Callable[[int], None]) -> None:
        self.running = 0
        """Requests that have begun and not ended. A connection asks no more than whether these are few."""
        self.few = limits.few
        """None is few while somebody waits: nobody passes those who do."""
        self.closed = False
        self._limits = limits
        self._now = now
        self._refused = refused
        self._share = limits.per_turn
        """How many requests one turn begins now."""
        self._left = 0
        """How many more this turn may begin."""
        self._turned_at = -math.inf
        self.time = 0.0
        """The time that turns took, by which waiting is measured."""
        self._too_old = -math.inf
        """Who has waited since then, or longer, is refused."""
        self._too_old_behind = -math.inf
        """The same where something was begun on the connection meanwhile. A burst is no excuse there for long."""
        self._crowd_since = self._calm_since = -math.inf
        """When the crowd began that is here or was here last, and when it was gone."""
        self.crowded = False
        """Others came in this turn of the loop, or wait, while more than a few run."""
        self._waiting: dict[Comer, _Ticket] = {}
        self._tickets = 0
        self._in_order: deque[tuple[float, int, Comer]] = deque()
        """Since when, which ticket, and whose, of those who had only come; the oldest first. An entry whose ticket is
        not the comer's in `_waiting` is void."""
        self._behind: list[tuple[float, int, Comer]] = []
        """A heap of the same of those who wait behind a request of their own connection."""
        self._queues: dict[str, OrderedDict[Comer, None]] = {}
        self._turns: list[tuple[int, str]] = []
        """A heap: when a caller was served last, and who. An entry that says another time than `_served` is void."""
        self._served: dict[str, int] = {}
        """When callers were served last in this crowd, counted in requests; never is 0."""
        self._count = 0
        self._overdue: dict[Comer, None] = {}
        """To be refused in the next turn."""
        self._known: dict[bytes, int] = {}

    @property
    def waiting(self) -> int:
        """Connections that wait for their turn or their refusal."""
        return len(self._waiting) + len(self._overdue)

    def set_closed(self, closed: bool) -> None:  # noqa: FBT001  (said by an event)
        """Refuse everything from now on, or admit again."""
        self.closed = closed
        self._look_back()
        self._set_few()

    def _set_few(self) -> None:
        self.few = 0 if self.closed or self.crowded else self._limits.few

    def admits(self, comer: Comer) -> bool:
        """Whether a request may begin now, when more than a few run; otherwise it waits, or has been refused."""
        if comer in self._waiting:
            comer.hold()
            return False
        if comer in self._overdue:
            return False
        if not self.crowded:
            self.crowded = True
            self.few = 0
            self._turned_at = now = self._now()
            if now - self._calm_since > self._limits.burst_s:
                self._crowd_since = now
                self._served.clear()
            self._left = self._share
            self._look_back()
            asyncio.get_running_loop().call_soon(self._turn)
        since = comer.waits_since(self.time)
        if since <= self._too_old_behind:
            self._overdue[comer] = None
            comer.read_on()
            return False
        caller = comer.caller
        if self._left > 0 and not self._waiting:
            self._left -= 1
            self._count += 1
            self._served[caller] = self._count
            return True
        self._tickets += 1
        self._waiting[comer] = (self._tickets, caller)
        if since < self.time:
            heapq.heappush(self._behind, (since, self._tickets, comer))
        else:
            self._in_order.append((since, self._tickets, comer))
        queue = self._queues.get(caller)
        if queue is None:
            self._queues[caller] = OrderedDict.fromkeys((comer,))
            heapq.heappush(self._turns, (self._served.get(caller, 0), caller))
        else:
            queue[comer] = None
        return False

    def _look_back(self) -> None:
        """Say anew who has waited too long."""
        limits = self._limits
        self._too_old, self._too_old_behind = self.time - limits.wait_s, self.time - limits.behind_s
        if self.closed:
            self._too_old = self._too_old_behind = math.inf
        elif self._turned_at < self._crowd_since + limits.burst_s:
            self._too_old, self._too_old_behind = -math.inf, self.time - limits.wait_s

    def no_more(self) -> None:
        """Begin nothing more in this turn: a call found no place at its upstream, and waiting there costs more."""
        self._left = 0

    def forget(self, comer: Comer) -> None:
        """The connection has gone."""
        self._overdue.pop(comer, None)
        ticket = self._waiting.pop(comer, None)
        if ticket is not None:
            self._leave_queue(comer, ticket[1])

    def look(self, now: float) -> None:
        """Called now and then: forget the heads of refused requests, which have keys in them, once all is calm."""
        if self._known and not self.crowded and now - self._calm_since > FORGET_S:
            self._known.clear()

    def _turn(self) -> None:
        """Once in each turn of the loop while something waits: begin the next, refuse who waited long."""
        try:
            self._measure_turn()
            self._left = self._share
            while self._left and self._turns:
                comer = self._next()
                if comer is not None:
                    self._left -= 1
                    comer.begin()
            self._refuse_overdue()
        finally:
            self.crowded = bool(self._waiting or self._overdue)
            if self.crowded:
                asyncio.get_running_loop().call_soon(self._turn)
            else:
                self._calm_since = self._now()
                self._turns.clear()
                self._in_order.clear()
                self._behind.clear()
                self._set_few()

    def _next(self) -> Comer | None:
        """Whoever is next of the caller who was served longest ago. Were it whoever came first, those who are refused
        before their turn would be the same again and again."""
        when, caller = heapq.heappop(self._turns)
        queue = self._queues.get(caller)
        if queue is None or when != self._served.get(caller, 0):
            return None
        self._count += 1
        self._served[caller] = self._count
        comer, _ = queue.popitem(last=False)
        del self._waiting[comer]
        if queue:
            heapq.heappush(self._turns, (self._count, caller))
        else:
            del self._queues[caller]
        return comer

    def _measure_turn(self) -> None:
        """Nobody is refused because the whole process stood still: a turn counts as waiting for `turn_s` at most."""
        now, limits = self._now(), self._limits
        took = now - self._turned_at
        if took > limits.turn_s:
            self._share = max(min(1, limits.per_turn), self._share // 2)
        elif self._share < limits.per_turn:
            self._share += 1
        self.time += min(took, limits.turn_s)
        self._turned_at = now
        self._look_back()

    def _refuse_overdue(self) -> None:
        """Refuse those whose time was up in the last turn. Those whose time is up now are read once more until the
        next, so that all that has come on a connection is refused in one piece."""
        overdue, self._overdue = self._overdue, {}
        refused = sum([comer.refuse() for comer in overdue])
        if refused:
            self._refused(refused)
        while self._in_order and self._in_order[0][0] <= self._too_old:
            self._give_up(*self._in_order.popleft())
        while self._behind and self._behind[0][0] <= self._too_old_behind:
            self._give_up(*heapq.heappop(self._behind))

    def _give_up(self, _since: float, number: int, comer: Comer) -> None:
        ticket = self._waiting.get(comer)
        if ticket is not None and ticket[0] == number:
            del self._waiting[comer]
            self._leave_queue(comer, ticket[1])
            self._overdue[comer] = None
            comer.read_on()

    def _leave_queue(self, comer: Comer, caller: str) -> None:
        queue = self._queues[caller]
        del queue[comer]
        if not queue:
            del self._queues[caller]

    def learn(self, raw: bytes, length: int) -> None:
        """Remember a whole head, which may be refused unread when it comes again, and the length of its body."""
        if len(raw) > _MAX_KNOWN_BYTES:
            return
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[raw] = length

    def take_known(self, buffer: bytearray) -> tuple[int, bool]:
        """Take whole requests with known heads from the front of what was received: how many, and whether what is left
        is to be looked at; the beginning of one more such request is not."""
        taken, at, size = 0, 0, len(buffer)
        head, length, unknown = _NO_HEAD, 0, True
        while at < size:
            if not buffer.startswith(head, at):
                head = bytes(buffer[at : buffer.find(_HEAD_END, at) + 4])
                found = self._known.get(head)
                if found is None:
                    break
                length = found
            step = len(head) + length
            alike = _count_alike(buffer, at, head, step)
            if not alike:
                unknown = False
                break
            taken += alike
            at += alike * step
        if at:
            del buffer[:at]
        return taken, unknown and bool(buffer)


def _count_alike(buffer: bytearray, at: int, head: bytes, step: int) -> int:
    """How many whole requests of `step` bytes follow one another from there, where one with this head begins, that have
    the same head. Most clients repeat themselves, so they are compared many at once: it is what a refusal costs."""
    most, count, some = (len(buffer) - at) // step, 1, 1
    if most < 2:
        return most
    layout = struct.Struct(f"{len(head)}s{step - len(head)}x")
    with memoryview(buffer) as view:
        while count < most:
            some = min(4 * some, most - count)
            begin = at + count * step
            heads = [one for (one,) in layout.iter_unpack(view[begin : begin + some * step])]
            if heads.count(head) < some:
                return count + next(number for number, one in enumerate(heads) if one != head)
            count += some
    return count

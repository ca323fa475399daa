"""An upstream that another worker keeps, behind the port of all upstreams: every request goes there and comes back.

A request that never left this worker is `upstream_unreachable`, which may be tried again. When the worker ends while it
works on a request, nobody knows whether the upstream took it: `upstream_lost`, and nothing is repeated by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

from toolyard.contract.definitions import Era, Json, Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Begun, Call, Suspended
from toolyard.gateway.upstream.errors import (
    UpstreamError,
    UpstreamLost,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from toolyard.gateway.workers.calls import fingerprint, packed
from toolyard.gateway.workers.carried import carried
from toolyard.gateway.workers.errors import FrameTooLarge, WorkerAway, WorkerFailed, WorkerLost
from toolyard.gateway.workers.link import Talk
from toolyard.gateway.workers.peers import CONNECT_LIMIT_S, Peer
from toolyard.kit.errors import PlatformError
from toolyard.kit.tasks import TaskOwner

LATE_S: Final = 5.0
WATCHED: Final = "watched"
"""A resource is watched from now on: the only step that is no list."""


class RemoteUpstream:
    """One upstream kept at `peer`. `era` says what was found there last. `key` is for comparing configurations."""

    def __init__(self, spec: UpstreamSpec, peer: Peer, *, era: Callable[[], Era | None], key: bytes) -> None:
        self.spec = spec
        self._peer = peer
        self._era = era
        self._fingerprint = fingerprint(spec, key)
        self._watches: dict[tuple[str, str, str], Talk] = {}

    async def observe(self) -> Observation:
        """Nobody asks: the worker that keeps the upstream looks at it, and tells. Raises UpstreamUnreachable."""
        raise UpstreamUnreachable(f"Upstream {self.spec.id!r} is looked at by another process.")

    async def request(self, call: Call, method: str, params: Json) -> Json:
        """One request for `call`. Raises what the driver raises there, UpstreamUnreachable, UpstreamLost."""
        talk = await self._open("request", call, [method, params])
        questions = Questions(talk, call)
        try:
            async with asyncio.timeout_at(call.deadline + LATE_S):
                while (step := await talk.next()) is not None:
                    await _carry_out(step, call, questions)
                result: Json = await talk.reply()
                return result
        except TimeoutError:
            raise UpstreamTimedOut(f"Upstream {self.spec.id!r} did not answer in time.") from None
        except (WorkerLost, WorkerFailed, FrameTooLarge) as error:
            self._fail(error)
        finally:
            talk.cancel()
            await questions.aclose()

    def begin(self, call: Call, method: str, params: Json) -> Begun | None:
        """Never at once."""
        del call, method, params
        return None

    def repeater(self, call: Call, params: Json) -> None:
        """Each call is looked at."""
        del call, params

    def may_push(self, call: Call) -> bool:
        """What is not known to be modern asks while a request runs."""
        del call
        return self._era() != "modern"

    async def watch(self, call: Call, uri: str) -> None:
        """Have changes of a resource reported, until `unwatch`, `aclose`, or either worker's end."""
        key = (call.principal.id, call.isolation, uri)
        talk = await self._open("watch", call, [uri])
        questions = Questions(talk, call)
        try:
            while (step := await talk.next()) != WATCHED:
                if step is None:
                    await talk.reply()
                    raise WorkerLost
                await _carry_out(step, call, questions)
        except (WorkerLost, WorkerFailed) as error:
            talk.cancel()
            self._fail(error)
        except BaseException:
            talk.cancel()
            raise
        finally:
            await questions.aclose()
        before = self._watches.pop(key, None)
        self._watches[key] = talk
        if before is not None:
            before.cancel()

    async def unwatch(self, call: Call, uri: str) -> None:
        """The opposite of `watch`."""
        talk = self._watches.pop((call.principal.id, call.isolation, uri), None)
        if talk is not None:
            talk.cancel()

    async def roots_changed(self, call: Call) -> None:
        """Tell the caller's session there, if it has one. Raises UpstreamError."""
        talk = await self._open("roots", call, [])
        try:
            await talk.reply()
        except (WorkerLost, WorkerFailed) as error:
            self._fail(error)
        finally:
            talk.cancel()

    def forget(self, isolation: str) -> None:
        """Nobody will come with this isolation key any more."""
        self._note("forget", [self.spec.id, isolation])

    def refresh(self) -> None:
        """Ask for another look at the upstream."""
        self._note("refresh", self.spec.id)

    def status(self) -> dict[str, Any]:
        return {"worker": self._peer.index, "era": self._era()}

    async def aclose(self) -> None:
        """End what is watched there."""
        for talk in self._watches.values():
            talk.cancel()
        self._watches.clear()

    def _note(self, service: str, content: Any) -> None:
        """Say something that nobody waits for; a worker that is not there keeps nothing."""
        if self._peer.link is not None:
            with suppress(WorkerLost):
                self._peer.link.open(service, content)

    async def _open(self, service: str, call: Call, content: list[Any]) -> Talk:
        """Begin a talk about this upstream. Raises UpstreamUnreachable: nothing was sent."""
        left_s = call.deadline - asyncio.get_running_loop().time()
        try:
            link = await self._peer.connected(max(0.0, min(CONNECT_LIMIT_S, left_s)))
            return link.open(service, [self.spec.id, self._fingerprint, packed(call), *content])
        except (WorkerAway, WorkerLost):
            raise UpstreamUnreachable(
                f"The gateway's process that keeps upstream {self.spec.id!r} is being started again.",
                upstream=self.spec.id,
            ) from None
        except FrameTooLarge as error:
            self._fail(error)

    def _fail(self, error: WorkerLost | WorkerFailed | FrameTooLarge) -> NoReturn:
        upstream_id = self.spec.id
        if isinstance(error, WorkerLost):
            raise UpstreamLost(
                f"The gateway's process that keeps upstream {upstream_id!r} ended while it worked on the call. "
                "Whether the call took effect is not known.",
                upstream=upstream_id,
            ) from None
        if isinstance(error, FrameTooLarge):
            raise UpstreamTooLarge(upstream=upstream_id) from None
        raise UpstreamError(f"Upstream {upstream_id!r} could not be asked; the log says why.") from None


class Questions:
    """The questions that are open at the caller of one call, for a driver at another worker."""

    def __init__(self, talk: Talk, call: Call) -> None:
        self._talk = talk
        self._call = call
        self._tasks = TaskOwner("questions")
        self._open: dict[int, asyncio.Task[None]] = {}

    def ask(self, number: int, requests: dict[str, Json], *, state: str | None, held: bool) -> None:
        """Ask the caller's side, and send back what it says."""
        self._open[number] = self._tasks.start(self._ask(number, requests, state=state, held=held))

    def withdraw(self, number: int) -> None:
        """Nobody needs the answer any more."""
        task = self._open.pop(number, None)
        if task is not None:
            task.cancel()

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _ask(self, number: int, requests: dict[str, Json], *, state: str | None, held: bool) -> None:
        try:
            said: list[Any] = ["answer", number, await self._call.ask(requests, state=state, held=held)]
        except (PlatformError, Suspended) as error:
            said = ["refused", number, carried(error)]
        self._open.pop(number, None)
        if not self._talk.ended:
            self._talk.post(said)


async def _carry_out(step: Any, call: Call, questions: Questions) -> None:
    """What a driver does with its call at another worker is done with the call here."""
    match step:
        case ["emit", notification]:
            await call.emit(notification)
        case ["ask", number, requests, state, held]:
            questions.ask(number, requests, state=state, held=held)
        case ["withdraw", number]:
            questions.withdraw(number)
        case ["pause", retry_ms] if call.pause is not None:
            await call.pause(retry_ms)

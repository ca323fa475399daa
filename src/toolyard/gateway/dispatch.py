"""The end of the pipeline: lists from the catalog, everything else to the upstream that owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from toolyard import __version__
from toolyard.contract.absence import why_absent
from toolyard.contract.catalog import Catalog, ServerCatalog, ToolTasks
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.call import Begun, Call, Target
from toolyard.gateway.errors import (
    NotAllowed,
    OldTaskRequired,
    ServerDisabled,
    ServerUnknown,
    ToolDisabled,
    ToolNotInServer,
    ToolUnknown,
)
from toolyard.gateway.held import HeldCall, Work
from toolyard.gateway.isolation import isolation_of, isolation_of_session
from toolyard.gateway.lists import Lists
from toolyard.gateway.parking import Parking, Proceed, may_park, places_on
from toolyard.gateway.pool import Pool
from toolyard.gateway.pool_entry import Entry
from toolyard.gateway.routing import ROUTERS
from toolyard.gateway.tasks.following import Following
from toolyard.gateway.tasks.tasks import Tasks
from toolyard.gateway.tasks.upstream_tasks import taskless
from toolyard.gateway.upstream.asking import ask_for_urls
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.gateway.watching import Watching
from toolyard.kit.clock import LoopTime
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.policy.authorize import EVERYTHING, Allow
from toolyard.protocol.convert import error_from_upstream
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.tasks import TASK, TASK_METHODS, declares_tasks, tasks_not_declared

log = get_logger(__name__)


SERVER_NAME = "toolyard"
FIRST_LOOK_S = 5.0
LIST_METHODS = frozenset({"tools/list", "resources/list", "resources/templates/list", "prompts/list"})
WATCH_METHODS = frozenset({"resources/subscribe", "resources/unsubscribe"})
STALE_KEY = "toolyard/staleUpstreams"
_METHODS_OF = {
    "tools": ("tools/list", "tools/call"),
    "resources": ("resources/read",),
    "prompts": ("prompts/get",),
    "completions": ("completion/complete",),
}
"""What each capability is good for."""


class Dispatch:
    """Resolves what a call is about and carries it out."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        pool: Pool,
        lists: Lists,
        watching: Watching,
        parking: Parking,
        tasks: Tasks,
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._lists = lists
        self._watching = watching
        self._routed: Catalog | None = None
        self._parking = parking
        self._tasks = tasks
        self._loop_time = LoopTime()

    def server(self, code: str) -> ServerCatalog:
        """The server as it is in force. Raises ServerUnknown, ServerDisabled."""
        server = self._catalog().servers.get(code)
        if server is None:
            raise ServerUnknown
        if not server.spec.enabled:
            raise ServerDisabled
        return server

    def resolve(self, call: Call) -> bool:
        """Find the call's target. False: nobody knows the name, but there are upstreams that were never seen."""
        router = ROUTERS.get(call.method)
        if router is None:
            return True
        server = call.serving or self.server(call.server)
        try:
            self._aim(call, router(server, call.params))
        except PlatformError as error:
            if not server.unobserved:
                raise self._explained(error, call, server) from error
            return False
        return True

    def _explained(self, error: PlatformError, call: Call, server: ServerCatalog) -> PlatformError:
        """What a caller with a key of its own is told of a tool that is not in the server; everybody else, that it is
        not there."""
        if not isinstance(error, ToolUnknown) or call.principal.kind == "open":
            return error
        name = call.params["name"]
        why = why_absent(self._catalog(), server, name)
        if why is None:
            return error
        return ToolDisabled(tool=name) if why == "switched_off" else ToolNotInServer(tool=name)

    def _aim(self, call: Call, target: Target) -> None:
        call.target = target
        call.deadline = self._loop_time.now() + target.timeout_s

    async def resolve_later(self, call: Call) -> None:
        """As `resolve`, but waits a few seconds for the upstreams that were never seen."""
        give_up_at = asyncio.get_running_loop().time() + FIRST_LOOK_S
        while True:
            call.serving = server = self.server(call.server)
            try:
                self._aim(call, ROUTERS[call.method](server, call.params))
                return
            except PlatformError as error:
                if not await self._pool.looked(server.unobserved, give_up_at):
                    raise self._explained(error, call, server) from error

    def begin(self, call: Call) -> tuple[Entry, Begun] | None:
        """Send the call to its upstream at once, if it is a plain one and nothing has to be waited for; `concluded` and
        `carry_on` take it from there. The entry counts it in `in_flight` from now on. None: nothing was sent."""
        target = call.target
        if target is None or target.tasks is not None or call.ticket is not None or call.method in WATCH_METHODS:
            return None
        entry = self._pool.ready(target.upstream_id)
        if entry is None:
            return None
        call.isolation = isolation_of(entry.spec, call)
        if may_park(call) and entry.upstream.may_push(call):
            return None
        begun = entry.upstream.begin(call, call.method, target.params)
        if begun is None:
            return None
        entry.in_flight += 1
        return entry, begun

    def concluded(self, begun: Begun) -> Json | None:
        """The result of a call that was begun, if it got a plain one; None where there is more to do."""
        result = begun.take()
        if result is None or result.get("resultType") == TASK:
            return None
        return private(result)

    async def carry_on(self, call: Call, begun: Begun) -> Json:
        """The result of a call that was begun, whatever it takes. Raises what carrying out a call raises."""
        target = call.target
        assert target is not None
        try:
            result = await begun.go_on()
        except RelayedError as error:
            ask_for_urls(call, error)
            raise _relayed(error) from error
        return self._shown(call, target, result)

    async def __call__(self, call: Call) -> Json:
        """Carry the call out and return its result object."""
        if call.method in LIST_METHODS:
            return await self._list(call)
        target = call.target
        if target is None:
            return await self._without_target(call)
        if call.method in WATCH_METHODS:
            return await self._watch(call, target)
        resumed = call.ticket is not None
        entry = self._pool.kept(target.upstream_id) if resumed else self._pool.entry(target.upstream_id)
        call.isolation = isolation_of(entry.spec, call)
        try:
            if target.tasks is not None:
                result = await self._with_tasks(entry, call, target, target.tasks)
            elif call.ticket is not None:
                result = await self._parking.resume(call, places=places_on(entry.spec))
            elif may_park(call) and entry.upstream.may_push(call):
                result = await self._parking.begin(
                    call, lambda inner: _request(entry, inner, target), places=places_on(entry.spec)
                )
            else:
                result = await _request(entry, call, target)
        except RelayedError as error:
            ask_for_urls(call, error)
            raise _relayed(error) from error
        return self._shown(call, target, result)

    def _shown(self, call: Call, target: Target, result: Json) -> Json:
        """A result as it leaves: for this caller alone, a task under an id of ours."""
        result = private(result)
        if target.tasks is None and result.get("resultType") == TASK:
            return self._tasks.relayed.shown(call, target.upstream_id, result)
        return result

    async def _watch(self, call: Call, target: Target) -> Json:
        if call.method == "resources/subscribe":
            await self._watching.begin(call, target)
        else:
            await self._watching.end(call, target.params["uri"])
        return {}

    async def _with_tasks(self, entry: Entry, call: Call, target: Target, tasks: ToolTasks) -> Json:
        """A call of a tool that may become a task, here or at its upstream."""
        if tasks.old_only:
            raise OldTaskRequired(tool=target.name)
        rule, knows_tasks = tasks.rule, call.era == "modern" and declares_tasks(call.client_capabilities)
        if knows_tasks and call.allowed is not None and not call.allowed.permits("tasks/get"):
            knows_tasks = False  # it could never read the result
        if rule.required and not knows_tasks:
            raise tasks_not_declared()

        async def plain(inner: Call) -> Json:
            result = await _request(entry, inner, target)
            if result.get("resultType") == TASK:
                result = self._tasks.relayed.shown(inner, target.upstream_id, result)
            return result

        async def waited(inner: Call) -> Json:
            entry.in_flight += 1
            try:
                return await self._tasks.relayed.wait(inner, entry.upstream, target.params)
            finally:
                entry.in_flight -= 1

        after_s = rule.after_s if knows_tasks else None
        if after_s == 0 and call.ticket is None:
            to_do = waited if tasks.upstream_makes else taskless(plain)
            task = await self._tasks.begin(call, to_do, places_on(entry.spec))
            if task is not None:
                return task
            after_s = None
        work = waited if tasks.upstream_makes and (after_s is not None or call.era == "legacy") else plain
        return await self._in_time(entry, call, work, after_s)

    async def _in_time(self, entry: Entry, call: Call, work: Work, after_s: float | None) -> Json:
        """A call that becomes a task after `after_s`, if that is given and it has no result by then."""
        places = places_on(entry.spec)
        proceed: Proceed = HeldCall.proceed
        if after_s is not None:
            proceed = partial(self._tasks.proceed, call, after_s=after_s, places=places)
            call.wants_progress = True  # as the task's status; no notification reaches a caller that gave no token
        if call.ticket is not None:
            return await self._parking.resume(call, places=places, proceed=proceed)
        if after_s is not None or (may_park(call) and entry.upstream.may_push(call)):
            return await self._parking.begin(call, work, places=places, proceed=proceed)
        return await work(call)

    async def _without_target(self, call: Call) -> Json:
        if call.method not in TASK_METHODS:
            raise ToolUnknown(method=call.method)
        try:
            return await self._tasks.answer(call)
        except RelayedError as error:
            raise _relayed(error) from error

    async def watch(self, call: Call, uri: str) -> None:
        """Begin watching a resource. Raises ResourceUnknown and what the upstream raises."""
        await self._watching.begin(call, ROUTERS["resources/subscribe"](self.server(call.server), {"uri": uri}))

    def reroute(self) -> None:
        """Have every watched resource watched where it is read now, if the catalog is another one."""
        catalog = self._catalog()
        if catalog is not self._routed or self._watching.unmoved:
            self._routed = catalog
            self._watching.reroute(self._resource)

    def _resource(self, server: str, uri: str) -> Target | None:
        try:
            return ROUTERS["resources/subscribe"](self.server(server), {"uri": uri})
        except PlatformError:
            return None

    async def try_watch(self, call: Call, uri: str) -> bool:
        """Begin watching a resource; False where that cannot be had."""
        try:
            await self.watch(call, uri)
        except PlatformError as error:
            log.info("subscribe_failed", code=error.code, server=call.server)
            return False
        return True

    async def forget(self, call: Call, uris: Iterable[str]) -> None:
        """End watching these, whatever the upstreams make of it and whether or not they were watched."""
        await asyncio.gather(*(self._forget(call, uri) for uri in uris))

    async def _forget(self, call: Call, uri: str) -> None:
        try:
            await self._watching.end(call, uri)
        except PlatformError as error:
            log.info("unsubscribe_failed", code=error.code, server=call.server)

    async def follow_tasks(self, call: Call, task_ids: list[str], tell: Callable[[Json], None]) -> Following:
        """Tell how these tasks of the caller's stand, now and at every change."""
        return await self._tasks.follow(call, task_ids, tell)

    async def roots_changed(self, call: Call) -> None:
        """Tell every upstream of the call's server that keeps a session for the caller."""
        for upstream_id in self.server(call.server).upstream_ids:
            try:
                upstream = self._pool.get(upstream_id)
                call.isolation = isolation_of(upstream.spec, call)
                await upstream.roots_changed(call)
            except UpstreamError as error:
                log.info("roots_change_not_told", upstream=upstream_id, code=error.code)

    def session_ended(self, principal_id: str, session_id: str) -> None:
        """A legacy client's session is over, and with it what upstreams keep for it alone."""
        for upstream in self._pool.upstreams():
            if upstream.spec.isolation == "per-session":
                upstream.forget(isolation_of_session(principal_id, session_id))

    async def _list(self, call: Call) -> Json:
        if call.allowed is None:
            raise NotAllowed(why="not_judged")
        server = self.server(call.server)
        page = self._lists.page(server, call.allowed, call.method, call.params, call.revision, call.principal.id)
        stale = self._pool.stale(server.upstream_ids)
        if stale:
            page["_meta"] = {STALE_KEY: stale}
        page["ttlMs"] = server.ttl_ms
        page["cacheScope"] = "private"
        return page


def private(result: Json) -> Json:
    """A result that is for this caller alone, whatever its upstream says."""
    return {**result, "cacheScope": "private"} if "cacheScope" in result else result


def _relayed(error: RelayedError) -> RelayedError:
    return error_from_upstream({"code": error.rpc_code, "message": error.message, "data": error.data})


async def _request(entry: Entry, call: Call, target: Target) -> Json:
    entry.in_flight += 1
    try:
        return await entry.upstream.request(call, call.method, target.params)
    finally:
        entry.in_flight -= 1


def server_info(spec: ServerSpec) -> Json:
    """How a virtual server names itself to clients."""
    info: Json = {
        "name": SERVER_NAME if spec.code == "default" else f"{SERVER_NAME}/{spec.code}",
        "version": __version__,
    }
    if spec.title is not None:
        info["title"] = spec.title
    return info


def capabilities_of(server: ServerCatalog, granted: Allow = EVERYTHING) -> Json:
    """What a server declares to a caller: its upstreams' capabilities merged, as far as the caller may use them, and
    which Toolyard this is."""
    offered = server.capabilities
    if granted.scopes:
        offered = {name: value for name, value in offered.items() if _is_of_use(name, granted)}
        if "subscribe" in offered.get("resources", ()) and not granted.permits("resources/subscribe"):
            offered["resources"] = {k: v for k, v in offered["resources"].items() if k != "subscribe"}
    return {**offered, "experimental": {SERVER_NAME: {"version": __version__}}}


def _is_of_use(capability: str, granted: Allow) -> bool:
    methods = _METHODS_OF.get(capability)
    return methods is None or any(granted.permits(method) for method in methods)

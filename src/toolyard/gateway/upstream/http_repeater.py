"""Tool calls of 2026-07-28 over HTTP in the same words as one before (`call.Repeater`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Sent
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_modern import ModernDriver
from toolyard.gateway.upstream.http_post_repeater import PostRepeater
from toolyard.net.response import HttpResponse

GoOn = Callable[[BegunPost], Awaitable[Json]]


def http_repeater(
    driver: ModernDriver,
    go_on: GoOn,
    is_current: Callable[[ModernDriver], bool],
    count: Callable[[], None],
    call: Call,
    params: Json,
) -> HttpRepeater | None:
    """What sends calls in the words of `call`; None where arguments travel in headers."""
    opening = driver.opening(call, params)
    if opening is None:
        return None
    head, meta = opening
    return HttpRepeater(driver, go_on, is_current, count, name=params["name"], head=head, meta=meta)


class HttpRepeater(PostRepeater):
    """Sends calls of one tool through `driver`. `is_current` says whether the upstream still uses it. A head holds
    until the tools are read again: their arguments may travel in headers then."""

    __slots__ = ("_driver", "_go_on", "_heads", "_is_current")

    def __init__(
        self,
        driver: ModernDriver,
        go_on: GoOn,
        is_current: Callable[[ModernDriver], bool],
        count: Callable[[], None],
        *,
        name: str,
        head: bytes,
        meta: bytes,
    ) -> None:
        super().__init__(driver.endpoint, driver.next_id, count, name=name, head=head, meta=meta)
        self._driver = driver
        self._go_on = go_on
        self._is_current = is_current
        self._heads = driver.tools.heads

    def holds(self) -> bool:
        return self._heads is self._driver.tools.heads and self._is_current(self._driver)

    def _entered(self, _sent: Sent) -> None:
        self._driver.running += 1

    def _done(self, sent: Sent, result: Json) -> None:
        self._driver.running -= 1
        sent.done(result)

    def _begun(self, sent: Sent, response: HttpResponse | None) -> BegunPost:
        def begun(call: Call) -> BegunPost:
            params = {"name": self._name, "arguments": sent.arguments}
            post = BegunPost(
                self._endpoint, self._driver, self._go_on, call, params, sent.upstream_request_id, self._head, sent.body
            )
            post.response, post.connection = response, sent.connection
            return post

        return sent.not_plain(begun)

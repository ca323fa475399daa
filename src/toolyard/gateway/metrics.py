"""What the gateway counts, in a Prometheus registry of its own.

Every label value comes from a closed set or is bounded in number; what does not fit is counted as `other`, so that no
caller can make the registry grow. Children are looked up once and kept: `labels()` costs more than the count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest

OTHER = "other"
TRANSPORTS = frozenset(("http", "sse", "websocket", "stdio", "rest"))
OUTCOMES = frozenset(("ok", "tool_error", "error", "refused", "cancelled", "timed_out", "input_required"))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0)
_MAX_CODES = 200
_MAX_UPSTREAMS = 2000
_UP = "toolyard_upstream_up"
_LAG = "toolyard_loop_lag_seconds"
_OVERLOAD = "toolyard_overload_level"
Family = list[Any]
"""A metric as plain values: name, documentation, type and samples."""

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)


class _Children(Generic[_Metric]):
    """The children of one metric with one open label, at most `limit` of them besides `other`."""

    def __init__(self, metric: _Metric, limit: int) -> None:
        self._metric: _Metric = metric
        self._limit = limit
        self._children: dict[str, _Metric] = {}

    def get(self, value: str) -> _Metric:
        child = self._children.get(value)
        if child is None:
            if len(self._children) >= self._limit:
                value = OTHER
            child = self._children[value] = self._metric.labels(value)
        return child

    def remove(self, value: str) -> None:
        if self._children.pop(value, None) is not None:
            self._metric.remove(value)


class Metrics:
    """All metrics of one gateway. `methods` are the MCP method names that count under their own name."""

    def __init__(self, methods: Collection[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self.others: Callable[[], Awaitable[list[list[Family]]]] | None = None
        """The samples of the other processes of the gateway, if there are several."""
        self._methods = frozenset(methods)
        self._requests = Counter(
            "toolyard_requests", "Requests answered.", ("transport", "method", "outcome"), registry=self.registry
        )
        self._request_children: dict[tuple[str, str, str], Counter] = {}
        self._seconds = Histogram(
            "toolyard_request_seconds",
            "Seconds from request to answer.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._second_children: dict[str, Histogram] = {}
        refusals = Counter("toolyard_refusals", "Requests refused, by reason.", ("reason",), registry=self.registry)
        self._refusals = _Children(refusals, _MAX_CODES)
        wire = Counter("toolyard_wire_refusals", "Requests refused by the server.", ("code",), registry=self.registry)
        self._wire_refusals = _Children(wire, _MAX_CODES)
        up = Gauge(_UP, "1 while the upstream answers.", ("upstream",), registry=self.registry)
        self._upstreams = _Children(up, _MAX_UPSTREAMS)
        self._levels = Gauge("toolyard_in_use", "What is open or at work now.", ("what",), registry=self.registry)
        self._overload = Gauge(_OVERLOAD, "1 while nothing begins that stays, 2 while no call.", registry=self.registry)
        self._lag = Gauge(_LAG, "The longest that the event loop was kept busy lately.", registry=self.registry)

    def request(self, transport: str, method: str, outcome: str, seconds: float) -> None:
        """One request has been answered."""
        key = (transport, method, outcome)
        child = self._request_children.get(key)
        if child is None:
            child = self._add_request_child(key)
        child.inc()
        timing = self._second_children.get(method) or self._second_children[self._known(method)]
        timing.observe(seconds)

    def _add_request_child(self, key: tuple[str, str, str]) -> Counter:
        transport, method, outcome = key
        bounded = (
            transport if transport in TRANSPORTS else OTHER,
            self._known(method),
            outcome if outcome in OUTCOMES else OTHER,
        )
        if bounded not in self._request_children:
            self._request_children[bounded] = self._requests.labels(*bounded)
        if bounded[1] not in self._second_children:
            self._second_children[bounded[1]] = self._seconds.labels(bounded[1])
        return self._request_children[bounded]

    def _known(self, method: str) -> str:
        return method if method in self._methods else OTHER

    def refused(self, reason: str) -> None:
        """A request was refused by the gateway; `reason` is an error's code."""
        self._refusals.get(reason).inc()

    def wire_refused(self, code: str, count: int = 1, /) -> None:
        """Requests were refused before any handler ran."""
        self._wire_refusals.get(code).inc(count)

    def upstream_up(self, upstream_id: str, *, up: bool) -> None:
        """The upstream does or does not answer."""
        self._upstreams.get(upstream_id).set(1.0 if up else 0.0)

    def upstream_removed(self, upstream_id: str) -> None:
        """The upstream is not configured any more."""
        self._upstreams.remove(upstream_id)

    def watch(self, what: str, count: Callable[[], float]) -> None:
        """Show `count()` as `toolyard_in_use{what}` whenever the metrics are read."""
        self._levels.labels(what).set_function(count)

    def watch_overload(self, level: Callable[[], float]) -> None:
        """Show `level()` as the level of overload whenever the metrics are read."""
        self._overload.set_function(level)

    def watch_lag(self, worst_s: Callable[[], float]) -> None:
        """Show `worst_s()` as the event loop's lag whenever the metrics are read."""
        self._lag.set_function(worst_s)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)

    async def render_all(self) -> bytes:
        """The text format, of all processes of the gateway together."""
        if self.others is None:
            return self.render()
        return generate_latest(_Merged([self.samples(), *await self.others()]))

    def samples(self) -> list[Family]:
        """All that is counted, as plain values."""
        return [
            [family.name, family.documentation, family.type, [[s.name, s.labels, s.value] for s in family.samples]]
            for family in self.registry.collect()
        ]


class _Merged(CollectorRegistry):
    """The metrics of several processes as those of one: counts are added up, what began first began it all, an
    upstream is up if all processes that have it say so, lag and overload are those of the process that fares worst."""

    def __init__(self, processes: list[list[Family]]) -> None:
        super().__init__()
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
        for name, documentation, kind, samples in (family for one in self._processes for family in one):
            families.setdefault(name, Metric(name, documentation, kind))
            for sample, labels, value in samples:
                key = (name, sample, tuple(sorted(labels.items())))
                before = values.get(key)
                values[key] = value if before is None else _together(name, sample)((before, value))
        for (name, sample, labels), value in values.items():
            families[name].add_sample(sample, dict(labels), value)
        yield from families.values()


def _together(name: str, sample: str) -> Callable[[tuple[float, float]], float]:
    """What makes one value of those of two processes."""
    if name in (_LAG, _OVERLOAD):
        return max
    return min if sample.endswith("_created") or name == _UP else sum

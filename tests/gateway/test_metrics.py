"""The metrics as a whole: what Prometheus reads is what was counted, in one process and in several."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from toolyard.gateway.metrics import Metrics


def counted() -> Metrics:
    """One of everything, with labels that need care."""
    metrics = Metrics({"tools/call"})
    for seconds in (0.0005, 0.001, 0.0011, 0.3, 1000.0):
        metrics.request("http", "tools/call", "ok", seconds)
    metrics.request("gopher", "tools/call", "ok", 0.1)
    metrics.refused('odd "one"\\\n')
    metrics.wire_refused("body_too_large", 3)
    metrics.upstream_up("docs", up=True)
    metrics.watch("connections", lambda: 7)
    metrics.watch_lag(lambda: 0.25)
    metrics.watch_overload(lambda: 1)
    return metrics


def read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus's own parser makes of it."""
    families = list(text_string_to_metric_families(text.decode()))
    assert {one.type for one in families} == {"counter", "gauge", "histogram"}
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for one in families for s in one.samples}


def together(*processes: Metrics) -> dict[Any, float]:
    first, *rest = processes

    async def others() -> list[list[list[Any]]]:
        return [one.families() for one in rest]

    first.others = others
    return read(asyncio.run(first.render_all()))


def test_what_prometheus_reads_is_what_was_counted() -> None:
    found = read(counted().render())
    http = (("method", "tools/call"), ("outcome", "ok"), ("transport", "http"))
    assert found["toolyard_requests_total", http] == 5
    assert found["toolyard_requests_total", (*http[:2], ("transport", "other"))] == 1
    assert found["toolyard_refusals_total", (("reason", 'odd "one"\\\n'),)] == 1
    assert found["toolyard_wire_refusals_total", (("code", "body_too_large"),)] == 3
    assert found["toolyard_upstream_up", (("upstream", "docs"),)] == 1
    assert found["toolyard_in_use", (("what", "connections"),)] == 7
    assert found["toolyard_loop_lag_seconds", ()] == 0.25
    assert found["toolyard_overload_level", ()] == 1


def test_a_time_counts_in_every_bucket_that_reaches_it() -> None:
    found = read(counted().render())
    method = ("method", "tools/call")
    buckets = {bound: found["toolyard_request_seconds_bucket", (("le", bound), method)] for bound in
               ("0.001", "0.0025", "0.1", "0.5", "600.0", "+Inf")}  # fmt: skip
    assert buckets == {"0.001": 2, "0.0025": 3, "0.1": 4, "0.5": 5, "600.0": 5, "+Inf": 6}
    assert found["toolyard_request_seconds_count", (method,)] == 6
    assert round(found["toolyard_request_seconds_sum", (method,)], 4) == 1000.4026


def test_several_processes_are_added_up_and_what_fares_worst_is_told() -> None:
    one, other = counted(), counted()
    other.upstream_up("docs", up=False)
    other.upstream_up("only-here", up=True)
    other.watch_lag(lambda: 0.5)
    found = together(one, other)
    assert found["toolyard_wire_refusals_total", (("code", "body_too_large"),)] == 6
    assert found["toolyard_request_seconds_bucket", (("le", "0.001"), ("method", "tools/call"))] == 4
    assert found["toolyard_in_use", (("what", "connections"),)] == 14
    assert found["toolyard_upstream_up", (("upstream", "docs"),)] == 0
    assert found["toolyard_upstream_up", (("upstream", "only-here"),)] == 1
    assert found["toolyard_loop_lag_seconds", ()] == 0.5

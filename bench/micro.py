"""What single steps of the hot path cost, in µs: `python -m bench.micro`. The best of several batches of each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

from bench.client import CLIENT_INFO, META, MODERN
from bench.machine import choose_cores
from toolyard.contract.catalog import Catalog, ServerCatalog, build_catalog
from toolyard.contract.definitions import Observation
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.routing import route_tool
from toolyard.policy import keys
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import to_client
from toolyard.protocol.envelope import read_envelope, stamp
from toolyard.protocol.header_parameters import header_parameters
from toolyard.protocol.headers import check_request_headers, request_headers
from toolyard.protocol.strict_json import decode, encode

BATCHES = 7
BATCH_S = 0.05
UPSTREAMS, TOOLS_EACH = 20, 50
Step = tuple[str, Callable[[], object]]


def main() -> None:
    pin(choose_cores().gateway)
    print("| step | µs |\n|---|---|")
    for name, step in steps():
        print(f"| {name} | {cost_us(step):.2f} |", flush=True)


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def cost_us(step: Callable[[], object]) -> float:
    """µs for one `step`: the best of the batches, each of about 50 ms."""
    count, elapsed = 1, 0.0
    while elapsed < BATCH_S:
        count *= 2
        elapsed = _batch_s(step, count)
    count = max(1, int(count * BATCH_S / elapsed))
    return min(_batch_s(step, count) for _ in range(BATCHES)) / count * 1e6


def _batch_s(step: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - began


def steps() -> Iterator[Step]:
    """Every step that is measured, in the order of a call."""
    server = catalog().servers["default"]
    yield from _decoding()
    yield from _judging(server)
    yield from _verifying()
    yield from _forwarding(server)
    yield f"catalog of {UPSTREAMS * TOOLS_EACH} tools built", catalog


def _decoding() -> Iterator[Step]:
    small = encode(_message("up00__tool00"))
    spaced = json.dumps(_message("up00__tool00")).encode()
    result = encode({"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "text": "some words " * 930}]}})
    large = encode(
        {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"rows": [_row(n) for n in range(1200)]}}
    )
    yield f"strict decode, compact request, {len(small)} B", lambda: decode(small)
    yield f"strict decode, the same with blanks, {len(spaced)} B", lambda: decode(spaced)
    yield f"strict decode, answer of {len(result) // 1024} KiB", lambda: decode(result)
    yield f"strict decode, rows of {len(large) // 1024} KiB", lambda: decode(large)
    decoded = decode(small)
    yield "JSON-RPC shape", lambda: jsonrpc.read(decoded)


def _judging(server: ServerCatalog) -> Iterator[Step]:
    request = jsonrpc.read(_message("up00__tool00"))
    assert isinstance(request, jsonrpc.Request)
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "up00__tool00"}
    schema = server.tools["up00__tool00"].definition["inputSchema"]
    mirrored = header_parameters(schema)
    nothing: frozenset[str] = frozenset()
    yield "header check", lambda: check_request_headers(headers, nothing, request, lambda _: mirrored)
    yield "mirrored parameters found in a schema", lambda: header_parameters(schema)
    yield "envelope", lambda: read_envelope(request.params)


def _verifying() -> Iterator[Step]:
    pepper = keys.Pepper(1, bytes(range(32)))
    issued = [keys.issue("default", f"key {number}", pepper, now=0.0) for number in range(1000)]
    records = {record.id: record for _, record in issued}
    peppers = {pepper.version: pepper.value}
    good, typo = issued[500][0], issued[500][0][:-1] + "?"
    yield "key verified, among 1,000", lambda: keys.verify(good, records, peppers, 1.0)
    yield "key with a typo refused", lambda: keys.verify(typo, records, peppers, 1.0)


def _forwarding(server: ServerCatalog) -> Iterator[Step]:
    params = {"name": "up19__tool49", "arguments": {"message": "hello"}}
    sent = stamp(params, revision=MODERN, client_capabilities={}, client_info=CLIENT_INFO)
    result = {"content": [{"type": "text", "text": "hello"}], "isError": False, "resultType": "complete"}
    yield f"tool found among {UPSTREAMS * TOOLS_EACH}", lambda: route_tool(server, params)
    yield "envelope stamped", lambda: stamp(params, revision=MODERN, client_capabilities={}, client_info=CLIENT_INFO)
    yield "upstream headers", lambda: request_headers("tools/call", sent)
    yield "request encoded", lambda: encode(jsonrpc.request(7, "tools/call", sent))
    yield "result converted for a client", lambda: to_client(MODERN, "tools/call", result)
    yield "result encoded", lambda: encode(jsonrpc.result(7, result))


def catalog() -> Catalog:
    """A catalog of 20 upstreams with 50 tools each behind one server."""
    upstreams = {spec.id: spec for spec in (UpstreamSpec(f"up{n:02d}", "mcp-http") for n in range(UPSTREAMS))}
    snapshot = Snapshot(1, "bench", upstreams, {"default": ServerSpec("default")}, {})
    return build_catalog(snapshot, {upstream_id: _observation(upstream_id) for upstream_id in upstreams}, {})


def _observation(upstream_id: str) -> Observation:
    properties = {"message": {"type": "string"}, "limit": {"type": "integer", "minimum": 1, "maximum": 100}}
    schema = {"type": "object", "properties": properties, "required": ["message"]}
    tools = tuple(
        {"name": f"tool{number:02d}", "description": "Does a thing", "inputSchema": schema}
        for number in range(TOOLS_EACH)
    )
    return Observation(
        upstream_id, "modern", MODERN, {"name": upstream_id}, {"tools": {}}, None, tools, (), (), (), 0.0
    )


def _message(tool: str) -> dict[str, object]:
    params = {"name": tool, "arguments": {"message": "call 1001 of the bench"}, "_meta": META}
    return {"jsonrpc": "2.0", "id": 1001, "method": "tools/call", "params": params}


def _row(number: int) -> dict[str, object]:
    return {
        "id": number,
        "name": f"row {number}",
        "price": number / 4,
        "tags": ["a", "b"],
        "active": True,
        "note": None,
    }


if __name__ == "__main__":
    main()

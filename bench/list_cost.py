"""What a list costs when it is asked for the first time, and again."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from typing import Any

from bench.client import META, Endpoint, WrongAnswer, modern_headers
from bench.contestants.standing import Standing
from bench.contestants.toolyard import LISTS
from bench.stands import turn

AGAIN = 5


def list_cost(standing: Standing, tools: int) -> dict[str, Any]:
    """Milliseconds until the client has the whole list: of servers that nobody has asked for theirs yet, and again."""
    firsts, agains = [], []
    with turn(standing):
        connection = http.client.HTTPConnection("127.0.0.1", standing.endpoint.port, timeout=30)
        try:
            for number in range(1, LISTS + 1):
                firsts.append(
                    _listed_ms(connection, Endpoint(standing.endpoint.port, path=f"/mcp/list{number}"), tools)
                )
                agains += [
                    _listed_ms(connection, Endpoint(standing.endpoint.port, path=f"/mcp/list{number}"), tools)
                    for _ in range(AGAIN)
                ]
        finally:
            connection.close()
    # The very first has to open the connection and to build the indexes of everybody; it is kept apart.
    return {
        "first_ms": statistics.median(firsts[1:]),
        "first_ms_each": firsts,
        "again_ms": statistics.median(agains),
        "again_ms_lowest": min(agains),
    }


def _listed_ms(connection: http.client.HTTPConnection, endpoint: Endpoint, tools: int) -> float:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    content = json.dumps(message)
    headers = modern_headers(endpoint, "tools/list")
    began = time.perf_counter()
    connection.request("POST", endpoint.path, content, headers)
    response = connection.getresponse()
    body = response.read()
    took_ms = (time.perf_counter() - began) * 1000
    found = body.count(b'"inputSchema"')
    if response.status != 200 or found != tools:
        raise WrongAnswer(f"HTTP {response.status}, {found} tools: {body[:200]!r}")
    return took_ms

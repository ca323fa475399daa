"""The direct call of a stdio server: keeps `concurrency` numbered requests in flight on its pipes for `seconds`.

Arguments: concurrency, seconds, tool, then the server's command. Prints one JSON object in wrk's terms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


def encoded(number: int, tool: str) -> bytes:
    params = {"name": tool, "arguments": {"message": f"call {number} of the bench"}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Pipe:
    """The child's pipes, the requests in flight and what was measured of them."""

    def __init__(self, command: list[str], tool: str) -> None:
        self._tool = tool
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._to = self._child.stdin.fileno()
        self._from = self._child.stdout.fileno()
        self._rest = b""
        self._next = 0
        self._sent: dict[int, float] = {}
        self.latencies_us: list[float] = []
        self.bad = 0
        self.first_bad = ""

    def send(self, count: int) -> None:
        out = []
        for _ in range(count):
            self._next += 1
            self._sent[self._next] = time.perf_counter()
            out.append(encoded(self._next, self._tool))
        os.write(self._to, b"".join(out))

    def receive(self) -> int:
        """Take in what has come; returns how many answers that was."""
        chunk = os.read(self._from, 1 << 16)
        if not chunk:
            raise SystemExit("the stdio server ended")
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._take(line)
        return len(lines)

    def _take(self, line: bytes) -> None:
        message = json.loads(line)
        sent = self._sent.pop(message.get("id"), None)
        text = message.get("result", {}).get("content", [{}])[0].get("text", "")
        if sent is None or not text.startswith(f"call {message['id']} of the bench"):
            self.bad += 1
            self.first_bad = self.first_bad or line[:400].decode()
            return
        self.latencies_us.append((time.perf_counter() - sent) * 1e6)

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()


def main() -> None:
    concurrency, seconds, tool = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    pipe = Pipe(sys.argv[4:], tool)
    pipe.send(1)
    while not pipe.receive():
        pass
    pipe.latencies_us.clear()
    began = time.perf_counter()
    pipe.send(concurrency)
    while (elapsed := time.perf_counter() - began) < seconds:
        if answered := pipe.receive():
            pipe.send(answered)
    ordered = sorted(pipe.latencies_us) or [0.0]
    report = {
        "calls": len(pipe.latencies_us), "duration_us": elapsed * 1e6, "bad": pipe.bad, "errors": 0,
        "p50_us": ordered[len(ordered) // 2], "p99_us": ordered[int(len(ordered) * 0.99)], "max_us": ordered[-1],
        "first_bad": pipe.first_bad,
    }  # fmt: skip
    pipe.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main()

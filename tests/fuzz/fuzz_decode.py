"""Whatever bytes arrive, decoding them keeps its promises. `make fuzz` runs this; the property tests reuse its check.

With atheris installed the run is guided by coverage, otherwise valid messages are mutated at random, by a seed that is
printed so that a failure can be repeated: `fuzz_decode.py --runs N --seed S`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

try:
    import atheris
except ImportError:
    atheris = None

with atheris.instrument_imports(include=["toolyard.protocol"]) if atheris else nullcontext():
    from toolyard.protocol import convert, envelope, headers, jsonrpc, revisions, strict_json
    from toolyard.protocol.errors import ProtocolError
    from toolyard.protocol.request_ids import is_request_id

META = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}},'
    b'"io.modelcontextprotocol/logLevel":"info","progressToken":"t","traceparent":"00-0-0-00"}'
)
SEEDS = [
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":[1,2.5,-0.0,1e3,"x"]},'
    + META
    + b"}}",
    b'{"jsonrpc": "2.0", "id": "a-b", "method": "resources/read", "params": {"uri": "file:///\\u00e4\\ud83d\\ude00"}}',
    b'{"jsonrpc":"2.0","id":9007199254740991,"result":{"content":[{"type":"text","text":"\xc3\xa4"}],"isError":false}}',
    b'{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"no","data":{"uri":"x","n":18446744073709551615}}}',
    b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]',
    b'{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}',
    b'{"a":{"a":{"a":[[[[[[{}]]]]]]}},"b":[0.1,1E-7,123456789012345678,-9223372036854775808]}',
]
TOKENS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"a":1,', b'"id":1,', b'"method":"x",', b"null", b"true", b"NaN",
    b"-Infinity", b"1e999", b"1e-999", b"18446744073709551616", b"0.1000000000000000055511151231257827", b"1.0", b"-0",
    b"01", b"\\ud800", b"\\udc00", b"\\u0061", b"\\u0000", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\x00", b"\n", b" ", b"[" * 70, b"]" * 70, b'{"a":' * 70, b"1" * 400, b'"result":{},', b'"params":null,',
    b'"_meta":1,',
]  # fmt: skip
HOSTILE_HEADERS = {"mcp-protocol-version": revisions.MODERN, "mcp-method": "tools/call", "mcp-name": "=?base64?ZQ==?="}


def check_decoding(body: bytes) -> str:
    """Check every promise for one body; returns the verdict: "accepted" or the error's JSON-RPC code."""
    try:
        value = strict_json.decode(body)
    except ProtocolError as error:
        _check_refusal(error, body)
        return str(error.rpc_code)
    again = strict_json.encode(value)
    assert _same(strict_json.decode(again), value), "encoding changes the value"
    assert len(again) <= 8 * len(body), "encoding blows up the message"
    _check_reading(body, value)
    for judge in (jsonrpc.read, jsonrpc.read_batch):
        _check_message(judge, value)
    return "accepted"


def _check_refusal(error: ProtocolError, body: bytes) -> None:
    _check_error(error, -32700, -32600, -32602)
    assert error.rpc_code != -32700 or error.request_id is None
    if error.request_id is not None:
        assert json.loads(body)["id"] == error.request_id


def _check_error(error: ProtocolError, *codes: int) -> None:
    assert error.rpc_code in codes, error.rpc_code
    assert error.request_id is None or is_request_id(error.request_id)
    assert len(error.message) < 300, "an error repeats its input"


def _check_reading(body: bytes, value: Any) -> None:
    """An independent reading of the same text agrees: no member twice, every number with its exact decimal value."""
    exact = json.loads(body.decode("utf-8"), parse_int=Decimal, parse_float=Decimal, object_pairs_hook=_members_once)
    assert _same_numbers(exact, value), "a number or a text changed"
    assert _depth(value) <= strict_json.MAX_DEPTH


def _check_message(judge: Any, value: Any) -> None:
    try:
        message = judge(value)
    except ProtocolError as error:
        _check_error(error, -32600, -32602)
        return
    if isinstance(message, jsonrpc.Request):
        _check_request(message)
    if isinstance(message, jsonrpc.Reply) and message.result is not None:
        for revision in revisions.SUPPORTED:
            for method in ("tools/call", "tools/list", "prompts/get", "resources/read"):
                strict_json.encode(convert.to_client(revision, method, message.result))


def _check_request(message: jsonrpc.Request) -> None:
    try:
        headers.check_request_headers(HOSTILE_HEADERS, frozenset(), message, lambda _: ())
        read = envelope.read_envelope(message.params)
    except ProtocolError as error:
        _check_error(error, -32602, -32020, -32022)
        return
    stamped = envelope.stamp(
        message.params,
        revision=read.revision,
        client_capabilities=read.client_capabilities,
        client_info=read.client_info,
        log_level=read.log_level,
        progress_token=read.progress_token,
        rest=read.rest,
    )
    assert envelope.read_envelope(stamped) == read


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), "a member comes twice"
    return dict(pairs)


def _same(left: Any, right: Any) -> bool:
    """Equal in value and type, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _same_numbers(exact: Any, value: Any) -> bool:
    if isinstance(exact, Decimal):
        return type(value) in (int, float) and exact == Decimal(repr(value))
    if isinstance(exact, dict):
        return exact.keys() == value.keys() and all(_same_numbers(exact[name], value[name]) for name in exact)
    if isinstance(exact, list):
        return len(exact) == len(value) and all(map(_same_numbers, exact, value))
    return type(exact) is type(value) and bool(exact == value)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def mutated(chance: random.Random, body: bytes) -> bytes:
    """A few random changes to `body`: a token put in, a piece cut out, doubled or moved, a byte or a digit changed."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(body))
        end = min(len(body), start + chance.choice((0, 1, 1, 2, 5, 20)))
        piece = chance.choice(
            (
                chance.choice(TOKENS),
                b"",
                body[start:end] * 2,
                bytes([chance.randrange(256)]),
                str(chance.randrange(10)).encode(),
                body[chance.randint(0, len(body)) :][:20],
            )
        )
        body = body[:start] + piece + body[end:]
    return body


def _run_plain(runs: int, seed: int) -> None:
    chance = random.Random(seed)
    verdicts: dict[str, int] = {}
    for _ in range(runs):
        body = mutated(chance, chance.choice(SEEDS))
        try:
            verdict = check_decoding(body)
        except BaseException:
            print(f"failed on {body!r} (seed {seed})", file=sys.stderr)
            raise
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    print(f"{runs} mutations with seed {seed}: {verdicts}")


def _run_guided(runs: int, seed: int) -> None:
    arguments = [sys.argv[0], f"-runs={runs}", f"-seed={seed}", "-max_len=8192"]
    atheris.Setup(arguments, lambda body: check_decoding(body) and None, custom_mutator=_guided_mutation)
    atheris.Fuzz()


def _guided_mutation(body: bytes, max_size: int, seed: int) -> bytes:
    chance = random.Random(seed)
    start = chance.choice(SEEDS) if chance.random() < 0.1 else bytes(body)
    return mutated(chance, start)[:max_size]


def main() -> None:
    """Run the number of inputs that was asked for; ends with an error at the first broken promise."""
    options = argparse.ArgumentParser(description="Fuzz the decoding of messages.")
    options.add_argument("--runs", type=int, default=200_000)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    options.add_argument("--plain", action="store_true", help="random mutations even where atheris is installed")
    chosen = options.parse_args()
    for body in SEEDS:
        assert check_decoding(body) == "accepted", body
    (_run_plain if chosen.plain or atheris is None else _run_guided)(chosen.runs, chosen.seed)


if __name__ == "__main__":
    main()

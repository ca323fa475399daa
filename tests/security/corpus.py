"""Eighty-four JSON-RPC bodies that peers get wrong, each with the outcomes that are right: data for every way in.

Outcomes: PE parse error (-32700), IR invalid request (-32600), IP invalid parameters (-32602), MNF method not found
(-32601), OK accepted, 413 refused for its size before it is read. `over_http` makes the headers and the body with
which a row is sent to a 2026-07-28 endpoint; to everything else the body goes as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

MODERN: Final = "2026-07-28"
MODERN_METHODS: Final = frozenset({"tools/call", "tools/list"})
ECHO: Final = "echo"
"""The tool that the rows call; it takes any arguments."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row: its number and name, how its body is made, and the outcomes of which one must come."""

    number: int
    name: str
    make: Callable[[], bytes]
    outcomes: frozenset[str]

    @property
    def body(self) -> bytes:
        return self.make()

    def outcomes_in(self, revision: str) -> frozenset[str]:
        """The right outcomes in a revision: a method that is accepted in one may not exist in another."""
        if revision == MODERN and "OK" in self.outcomes and _method(self.body) not in MODERN_METHODS:
            return self.outcomes - {"OK"} | {"MNF"}
        return self.outcomes


CASES: Final[list[Case]] = []


def over_http(case: Case) -> tuple[dict[str, str], bytes]:
    """Headers and body for a modern endpoint. Rows that reach the method get the `_meta` and headers of a good request,
    their own text unchanged where it matters; the others go as they are, under the headers of a good `tools/call`."""
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": ECHO}
    if not case.outcomes & {"OK", "MNF"}:
        return headers, case.body
    message = json.loads(case.body)
    method = message["method"]
    headers["mcp-method"] = method if method.isascii() else "tools/call"
    if method == "tools/call":
        return headers, case.body.replace(
            b'"params":{', b'"params":{"_meta":' + json.dumps(MODERN_META).encode() + b","
        )
    del headers["mcp-name"]
    params = message.setdefault("params", {})
    params["_meta"] = {**params.get("_meta", {}), **MODERN_META}
    return headers, json.dumps(message).encode()


MODERN_META: Final[dict[str, Any]] = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def _method(body: bytes) -> str:
    return str(json.loads(body)["method"])


def _row(name: str, outcomes: str, body: bytes | str | Callable[[], bytes]) -> None:
    make = body if callable(body) else _constant(body if isinstance(body, bytes) else body.encode())
    CASES.append(Case(len(CASES) + 1, name, make, frozenset(outcomes.split())))


def _constant(body: bytes) -> Callable[[], bytes]:
    return lambda: body


def _listing(**members: Any) -> bytes:
    """A `tools/list` request with some members changed."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}, **members}).encode()


def _calling(arguments: str, tool: str = ECHO) -> bytes:
    """A `tools/call` request whose arguments are this JSON text, right or wrong."""
    head = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"' + tool
    return (head + '","arguments":' + arguments + "}}").encode()


def _pinging(rest: str) -> bytes:
    return ('{"jsonrpc":"2.0","id":1,"method":"ping"' + rest).encode()


def _raw_argument(content: bytes) -> bytes:
    return _calling('{"a":"X"}').replace(b"X", content)


# Syntax.
_row("an empty body", "PE", b"")
_row("nothing but blanks", "PE", b" \n\t")
_row("an object that breaks off", "PE", _pinging(""))
_row("a comma too many", "PE", _pinging(",}"))
_row("two documents", "PE", _pinging("}") + _pinging("}").replace(b'"id":1', b'"id":2'))
_row("something after the end", "PE", _pinging("} xx"))
_row("single quotes", "PE", _pinging("}").replace(b'"', b"'"))
_row("a comment", "PE", _pinging("}").replace(b"{", b"{/*c*/"))

# Encodings.
_row("UTF-8 with a byte-order mark", "PE", b"\xef\xbb\xbf" + _listing())
_row("UTF-16, little end first", "PE", _listing().decode().encode("utf-16-le"))
_row("UTF-16 with its mark", "PE", _listing().decode().encode("utf-16"))
_row("UTF-32", "PE", _listing().decode().encode("utf-32"))
_row("bytes that are no UTF-8", "PE", _raw_argument(b"\xff\xfe"))
_row("an overlong slash", "PE", _raw_argument(b"\xc0\xaf"))
_row("a surrogate encoded as UTF-8", "PE", _raw_argument(b"\xed\xa0\x80"))
_row("a lone surrogate by escape", "PE", _calling(r'{"a":"\ud800"}'))
_row("a surrogate pair the wrong way round", "PE", _calling(r'{"a":"\udc00\ud800"}'))
_row("NUL in the tool's name", "IP", _calling("{}", r"ec\u0000ho"))
_row("a bare control character in a string", "PE", _calling('{"a":"\x01"}'))
_row("a bare line end in a string", "PE", _calling('{"a":"l1\nl2"}'))

# Numbers.
_row("NaN", "PE", _calling('{"a":NaN}'))
_row("both infinities", "PE", _calling('{"a":[Infinity,-Infinity]}'))
_row("a float beyond all doubles", "PE IP", _calling('{"a":1e999}'))
_row("the integer 2^53+1", "OK", _calling('{"a":9007199254740993}'))
_row("the integer 2^64", "OK IP", _calling('{"a":18446744073709551616}'))
_row("an integer of 5,000 digits", "PE IP", _calling('{"a":' + "9" * 5_000 + "}"))
_row("an integer of 1,000,000 digits", "PE IP 413", lambda: _calling('{"a":' + "9" * 1_000_000 + "}"))
_row("a float of 100,000 digits", "OK IP", _calling('{"a":0.' + "1" * 100_000 + "}"))
_row("an exponent of 1,000,000,000", "PE IP", _calling('{"a":1e1000000000}'))
_row("minus zero as the id", "IR", _listing(id=-0.0))
_row("a leading zero", "PE", _calling('{"a":01}'))
_row("a plus sign", "PE", _calling('{"a":+1}'))
_row("a hexadecimal number", "PE", _calling('{"a":0x10}'))

# Depth.
_row("arrays 200 deep", "OK IP", _calling("[" * 200 + "]" * 200))
_row("arrays 2,000 deep", "PE IP", _calling("[" * 2_000 + "]" * 2_000))
_row("arrays 100,000 deep", "PE", _calling("[" * 100_000 + "]" * 100_000))
_row("objects 100,000 deep", "PE", _calling('{"a":' * 100_000 + "1" + "}" * 100_000))
_row("100,000 arrays that never end", "PE", b"[" * 100_000)

# Member names.
_row(
    "the method twice",
    "IR",
    _pinging(',"method":"tools/call","params":{"name":"echo","arguments":{}}}'),
)
_row("the tool's name twice", "IR", _calling("{}").replace(b'"name":"echo"', b'"name":"safe","name":"danger"'))
_row("an argument twice", "IR IP", _calling('{"a":1,"a":2}'))
_row("the method twice, once by escape", "IR", _pinging(r',"me\u0074hod":"tools/call"}'))
_row(
    "the method in another case beside it",
    "OK IR",
    _pinging("}").replace(b'"method"', b'"Method":"tools/call","method"'),
)
_row("the method in another case only", "IR", _pinging("}").replace(b'"method"', b'"METHOD"'))

# What the document is.
_row("a batch of two", "IR", b"[" + _pinging("}") + b"," + _pinging("}").replace(b'"id":1', b'"id":2') + b"]")
_row("an empty batch", "IR", b"[]")
_row(
    "a batch of 100,000 notifications",
    "IR 413",
    lambda: b"[" + b",".join([b'{"jsonrpc":"2.0","method":"x"}'] * 100_000) + b"]",
)
_row("a string", "IR", b'"hi"')
_row("null", "IR", b"null")
_row("a number", "IR", b"1")

# Version and id.
_row("no version", "IR", b'{"id":1,"method":"ping"}')
_row("version 1.0", "IR", _listing(jsonrpc="1.0"))
_row("the version as a number", "IR", b'{"jsonrpc":2.0,"id":1,"method":"ping"}')
_row("id null", "IR", _listing(id=None))
_row("id true", "IR", _listing(id=True))
_row("an object as the id", "IR", _listing(id={"a": 1}))
_row("an array as the id", "IR", _listing(id=[1]))
_row("id 1.5", "IR", _listing(id=1.5))
_row("an id of 1,000,000 characters", "IR", lambda: _listing(id="A" * 1_000_000))
_row("an id with line ends", "OK", _listing(id="a\r\nSet-Cookie: x=1"))
_row("the id 10^400", "IR", _pinging("}").replace(b'"id":1', b'"id":1' + b"0" * 400))

# Methods.
_row("an empty method", "IR MNF", _listing(method=""))
_row("a number as the method", "IR", _listing(method=1))
_row("a method of 1,000,000 characters", "IR", lambda: _listing(method="m" * 1_000_000))
_row("a method with rpc. and underscores", "MNF", _listing(method="rpc.__class__"))
_row("a method like a path", "MNF", _listing(method="tools/../admin"))
_row("a method that ends with a no-break space", "MNF", _listing(method="tools/call\u00a0"))
_row("a method with Cyrillic letters", "MNF", _listing(method="t\u043e\u043els/call"))

# Parameters.
_row("params as an array", "IP", _listing(params=[1]))
_row("params as a string", "IP", _listing(params="x"))
_row("params null", "IP", _listing(params=None))
_row("arguments as an array", "IP", _calling("[]"))
_row("arguments as a string of JSON", "IP", _calling(json.dumps('{"a":1}')))
_row("_meta as a string", "IP", _listing(params={"_meta": "x"}))
_row("a request with a result", "IR", _pinging(',"result":{}}'))
_row("a reply nobody asked for", "IR", b'{"jsonrpc":"2.0","id":1,"result":{}}')
_row("an error nobody asked for", "IR", b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}')
_row("a progress token that others use too", "OK", _listing(params={"_meta": {"progressToken": 1}}))
_row(
    "arguments named as JavaScript's prototypes",
    "OK",
    _calling('{"__proto__":{"admin":true},"constructor":{"prototype":{}}}'),
)
_row("arguments named as Python's attributes", "OK IP", _calling('{"__class__":"x","model_config":{}}'))
_row("arguments that look like templates", "OK", _calling(json.dumps({"a": "${DATABASE_URL} {{7*7}} %s%n"})))

# Size.
_row("10,000 arguments", "OK IP", _calling(json.dumps({f"k{i}": i for i in range(10_000)})))
_row("an array of 1,000,000 elements", "413 IP", lambda: _calling("[" + ",".join(["1"] * 1_000_000) + "]"))
_row("a string of 64 MiB", "413", lambda: _calling('"' + "A" * (64 * 1024 * 1024) + '"'))

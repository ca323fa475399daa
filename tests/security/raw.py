"""Raw HTTP attacks, each with the statuses that are right: data for tests of the server through a socket.

The first thirty-seven are those of the attack book (section 2); most servers answer some of them with 200. An attack
with status 200 is one that must be harmless. `waits_s` is how long the server's clock runs before the answer is due.
"""

from __future__ import annotations

from dataclasses import dataclass

_POST = b"POST /mcp HTTP/1.1\r\nHost: h\r\n"
_GET = b"GET /mcp HTTP/1.1\r\nHost: h\r\n"
_CODING = b"Transfer-Encoding: chunked\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(64)


@dataclass(frozen=True, slots=True)
class Attack:
    """`closes`: the connection must be closed after the answer. `reaches`: the handler may run."""

    name: str
    sent: bytes
    statuses: tuple[int, ...] = (400,)
    closes: bool = True
    waits_s: float = 0.0

    @property
    def reaches(self) -> bool:
        return 200 in self.statuses


BOOK = (
    Attack("length and coding", _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    Attack("two lengths, differing", _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    Attack("two lengths, the same", _POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    Attack("length +5", _POST + b"Content-Length: +5\r\n\r\nabcde"),
    Attack("length -1", _POST + b"Content-Length: -1\r\n\r\n"),
    Attack("length 1_0", _POST + b"Content-Length: 1_0\r\n\r\n0123456789"),
    Attack("length 0x5", _POST + b"Content-Length: 0x5\r\n\r\nabcde"),
    Attack("length of twenty digits", _POST + b"Content-Length: 99999999999999999999\r\n\r\n"),
    Attack("coding xchunked", _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    Attack("coding chunked, identity", _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", (400, 501)),
    Attack("blank before the colon", _POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    Attack("chunk size 0x5", _CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n"),
    Attack("chunk size -1", _CHUNKED + b"-1\r\nabcde\r\n0\r\n\r\n"),
    Attack("chunks with LF only", _CHUNKED + b"5\nabcde\n0\n\n"),
    Attack("chunk extension of 200 KB", _CHUNKED + b"5;" + b"a" * 200_000 + b"\r\nabcde\r\n0\r\n\r\n"),
    Attack("trailers of 300 KB", _CHUNKED + b"5\r\nabcde\r\n0\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", (431,)),
    Attack("ten thousand chunks of one byte", _CHUNKED + b"1\r\na\r\n" * 10_000 + b"0\r\n\r\n", (200,), closes=False),
    Attack("header of 1 MB", _POST + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n", (431,)),
    Attack("ten thousand headers", _POST + b"".join(b"X%d: a\r\n" % n for n in range(10_000)) + b"\r\n", (431,)),
    Attack("folded header", _POST + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    Attack("NUL in a header", _POST + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n"),
    Attack("bare CR in a header", _POST + b"X: a\rb\r\nContent-Length: 0\r\n\r\n"),
    Attack("bare LF line ends", b"POST /mcp HTTP/1.1\nHost: h\nContent-Length: 0\n\n"),
    Attack("no Host", b"POST /mcp HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    Attack("two Hosts", _POST + b"Host: evil\r\nContent-Length: 0\r\n\r\n"),
    Attack("Host a/?x=", b"POST /admin HTTP/1.1\r\nHost: a/?x=\r\nContent-Length: 0\r\n\r\n"),
    Attack("absolute form", b"POST http://evil/admin HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    Attack("path @evil.com", b"POST @evil.com HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    Attack("path //admin", b"POST //admin HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    Attack("path %2e%2e%2f", b"POST /mcp/%2e%2e%2fadmin HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    Attack("HTTP/0.9", b"GET /\r\n\r\n"),
    Attack("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    Attack("NUL in the method", b"GE\x00T / HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("headers that never end", b"POST /mcp HTTP/1.1\r\nHost: h\r\nX: ", (408,), waits_s=10.0),
    Attack("body that never comes", _POST + b"Content-Length: 100\r\n\r\nabc", (408,), waits_s=10.0),
    Attack(
        "expectation without a body", _POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", (100,), waits_s=30.0
    ),
    Attack(
        "upgrade to h2c",
        b"GET /mcp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        (200,),
        closes=False,
    ),
)

FURTHER = (
    Attack("smuggled request", _POST + _CODING + b"Content-Length: 3\r\n\r\n0\r\n\r\n" + _GET + b"\r\n"),
    Attack(
        "coding twice", _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, 501)
    ),
    Attack("coding gzip, chunked", _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    Attack("coding identity", _POST + b"Transfer-Encoding: identity\r\n\r\n", (400, 501)),
    Attack("coding with a vertical tab", _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    Attack("chunked in HTTP/1.0", _CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n"),
    Attack("length as a list", _POST + b"Content-Length: 5, 5\r\n\r\nabcde"),
    Attack("length empty", _POST + b"Content-Length: \r\n\r\n"),
    Attack("length with a blank inside", _POST + b"Content-Length: 1 0\r\n\r\n0123456789"),
    Attack("chunk size of seventeen digits", _CHUNKED + b"10000000000000005\r\nabcde\r\n0\r\n\r\n"),
    Attack("chunk size empty", _CHUNKED + b"\r\nabcde\r\n0\r\n\r\n"),
    Attack("chunk longer than said", _CHUNKED + b"2\r\nabcde\r\n0\r\n\r\n"),
    Attack("chunk size after a blank", _CHUNKED + b" 5\r\nabcde\r\n0\r\n\r\n"),
    Attack("chunk extension with a CR", _CHUNKED + b"5;a\rb\r\nabcde\r\n0\r\n\r\n"),
    Attack("trailers with a bare LF", _CHUNKED + b"0\r\nX: a\n\n"),
    Attack("chunk of 16 MB announced", _CHUNKED + b"1000000\r\n", (413,)),
    Attack("length of 10 GiB", _POST + b"Content-Length: 10737418240\r\n\r\n", (413,)),
    Attack("HTTP/2.0", b"GET /mcp HTTP/2.0\r\nHost: h\r\n\r\n", (400, 505)),
    Attack("HTTP/1.2", b"GET /mcp HTTP/1.2\r\nHost: h\r\n\r\n", (400, 505)),
    Attack("http/1.1", b"GET /mcp http/1.1\r\nHost: h\r\n\r\n"),
    Attack("TRACE", b"TRACE /mcp HTTP/1.1\r\nHost: h\r\n\r\n", (405,), closes=False),
    Attack("CONNECT", b"CONNECT evil:443 HTTP/1.1\r\nHost: h\r\n\r\n", (400, 405)),
    Attack("unknown method", b"FROB /mcp HTTP/1.1\r\nHost: h\r\n\r\n", (400, 405, 501)),
    Attack("method in lower case", b"post /mcp HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("method of 10 KB", b"A" * 10_000 + b" /mcp HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("method of 100 KB", b"A" * 100_000 + b" /mcp HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("two blanks in the request line", b"GET  /mcp HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("tab in the request line", b"GET\t/mcp HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("blank in the target", b"GET /mcp x HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("NUL in the target", b"GET /mcp\x00 HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("high byte in the target", b"GET /mcp\xe9 HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("line end in the target", b"GET /mcp%0d%0aX:%20y HTTP/1.1\r\nHost: h\r\n\r\n"),
    Attack("path parameter", b"POST /mcp;jsessionid=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", (400, 404)),
    Attack("encoded slash", b"POST /mcp/%2fadmin HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", (400, 404)),
    Attack(
        "encoded backslash", b"POST /mcp/%5c..%5cadmin HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", (400, 404)
    ),
    Attack("dots", b"POST /mcp/../admin HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", (400, 404)),
    Attack("target of 9 KB", b"GET /mcp?" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", (414,)),
    Attack("header without a colon", _GET + b"nonsense\r\n\r\n"),
    Attack("header without a name", _GET + b": x\r\n\r\n"),
    Attack("header name with a blank", _GET + b"X Y: x\r\n\r\n"),
    Attack("header name with a high byte", _GET + b"X\xe9: x\r\n\r\n"),
    Attack("first header after a blank", b"GET /mcp HTTP/1.1\r\n Host: h\r\n\r\n"),
    Attack("folded header with a tab", _GET + b"X: a\r\n\tb\r\n\r\n"),
    Attack("bare LF between headers", b"GET /mcp HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
    Attack("Host with user", b"GET /mcp HTTP/1.1\r\nHost: user@h\r\n\r\n"),
    Attack("Host with blank", b"GET /mcp HTTP/1.1\r\nHost: h h\r\n\r\n"),
    Attack("Host as a list", b"GET /mcp HTTP/1.1\r\nHost: h, evil\r\n\r\n"),
    Attack("Host empty", b"GET /mcp HTTP/1.1\r\nHost:\r\n\r\n"),
    Attack("Host unknown", b"GET /mcp HTTP/1.1\r\nHost: evil.test\r\n\r\n", (421,)),
    Attack("no Host in HTTP/1.0", b"GET /mcp HTTP/1.0\r\n\r\n", (400, 421)),
    Attack("Host in an underscore name only", b"GET /mcp HTTP/1.1\r\nHo_st: h\r\n\r\n"),
    Attack("Origin null", _GET + b"Origin: null\r\n\r\n", (403,)),
    Attack("Origin foreign", _GET + b"Origin: http://evil.test\r\n\r\n", (403,)),
    Attack("Origin twice", _GET + b"Origin: http://h\r\nOrigin: http://h\r\n\r\n", (403,)),
    Attack("expectation unknown", _POST + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", (417,)),
    Attack("body in gzip", _POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", (415,)),
    Attack("TLS on a plain port", _CLIENT_HELLO),
    Attack("SSH on a plain port", b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"),
    Attack(
        "upgrade to h2c with a body",
        _POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
        (200,),
        closes=False,
    ),
    Attack("nothing at all", b"", (), waits_s=10.0),
    Attack("line ends for ever", b"\r\n" * 5000),
)

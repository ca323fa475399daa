"""What an upstream may be called and may say. The same for the operator's file and the API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from toolyard.net.errors import EgressDenied, InvalidUrl
from toolyard.net.guard import check_literal, policy_for_operator_url
from toolyard.net.url import parse_url

BUILTINS: Final = ("demo",)
ID_GRAMMAR: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
LEAST_IDLE_S: Final = 1.0
MOST_IDLE_S: Final = 24 * 3600.0
MAX_CREDENTIAL_BYTES: Final = 64 * 1024

REFUSED_ENVIRONMENT: Final = re.compile(
    r"(?:LD|DYLD|BASH_FUNC)_.*|BASH_FUNC.*|BASH_ENV|ENV|BASHOPTS|SHELLOPTS|PS4|PROMPT_COMMAND|IFS|PATH|GCONV_PATH"
    r"|PYTHON(?:PATH|HOME|STARTUP|INSPECT|BREAKPOINT|EXECUTABLE|USERBASE|WARNINGS)|NODE_OPTIONS|NODE_PATH"
    r"|PERL5?(?:OPT|LIB|DB)|RUBY(?:OPT|LIB)|_?JAVA_(?:TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|GIT_SSH(?:_COMMAND)?",
    re.IGNORECASE,
)
"""What nobody may declare: it makes another program run, or the same program run something else. Authorities and
proxies (SSL_CERT_FILE, HTTPS_PROXY …) may be declared, though they are not inherited: whom a program trusts and how it
gets out is the operator's word, and behind a company's proxy there is no other way."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_HEADERS: Final = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive",
        "content-type", "accept", "last-event-id", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name",
    }
)  # fmt: skip


def upstream_id_problem(text: str) -> str | None:
    """Why `text` cannot be the id of an upstream, or None."""
    if not ID_GRAMMAR.fullmatch(text):
        return (
            f"'{text}' is not an upstream id: use a-z, 0-9, '-' and '_', at most 63, beginning with a letter or digit"
        )
    if "__" in text:
        return f"'{text}' is not an upstream id: '__' separates the upstream from the tool in prefixed names"
    return None


def checked_url(text: str) -> str:
    """An http, https, ws or wss URL without user, password or fragment. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname or re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(f"'{text}' is not a URL such as https://example.com/mcp")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not contain a user or password; put credentials into headers")
    if parts.fragment:
        raise ValueError("a URL must not contain a fragment ('#')")
    _ = parts.port  # raises ValueError when it is not a number that a port can be
    return text


def address_problem(url: str, allow_networks: Sequence[str]) -> str | None:
    """Why a URL would never be connected to, or None: it is not in the grammar of what leaves, or at an address that
    needs consent and has none."""
    try:
        check_literal(parse_url(url), policy_for_operator_url(url, allow_networks))
    except EgressDenied as denied:
        kind = denied.context.get("kind", "a special address")
        return f"leads to {kind}, which is refused unless `allow_networks` names that very address"
    except InvalidUrl as invalid:
        return invalid.message
    return None


def header_problem(name: str, value: str) -> str | None:
    """Why an upstream cannot be sent this header, or None. Never says the value."""
    if not _HEADER_NAME.fullmatch(name):
        return "is not a header name"
    if name.lower() in _OWN_HEADERS or name.lower().startswith("mcp-param-"):
        return "this header is set by the gateway itself"
    if not _HEADER_VALUE.fullmatch(value):
        return "the value contains a character that a header cannot carry (such as a line break)"
    return None


def variable_problem(name: str, value: str) -> str | None:
    """Why a program cannot be given this variable, or None. Never says the value."""
    if not _ENV_NAME.fullmatch(name):
        return "is not the name of an environment variable"
    if refused_names([name]):
        return "this variable may not be declared: it changes which program runs or what is loaded into it"
    return "the value contains a NUL character" if "\x00" in value else None


def refused_names(names: Iterable[str]) -> list[str]:
    """Those of `names` that a declared environment may not have."""
    return [name for name in names if not _ENV_NAME.fullmatch(name) or REFUSED_ENVIRONMENT.fullmatch(name)]

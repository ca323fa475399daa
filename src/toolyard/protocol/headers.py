"""The HTTP headers that mirror a modern request: checked on what clients send, made for what goes upstream.

2026-07-28 basic/transports/streamable-http, Request Metadata. A server that reads the body must refuse headers that say
something else than the body; a gateway makes its own headers from its own body and never copies a client's.
Header names are lower case in what is read; values have no outer blanks.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

from toolyard.protocol.errors import HeaderMismatch
from toolyard.protocol.header_parameters import HeaderParameter, header_parameters
from toolyard.protocol.jsonrpc import Request
from toolyard.protocol.revisions import META_PROTOCOL_VERSION, MODERN

__all__ = [
    "HeaderParameter",
    "check_request_headers",
    "decode_value",
    "encode_value",
    "header_parameters",
    "request_headers",
]

VERSION_HEADER: Final = "mcp-protocol-version"
METHOD_HEADER: Final = "mcp-method"
NAME_HEADER: Final = "mcp-name"

_NAMED_BY: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_ENCODABLE: Final = re.compile(r"[\x20-\x7e\t]*")
_PLAIN: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_DECIMAL: Final = re.compile(r"(-?[0-9]{1,40})(?:\.0{1,40})?")

ParametersOf = Callable[[str], Sequence[HeaderParameter] | None]


def check_request_headers(
    headers: Mapping[str, str], repeated: Container[str], request: Request, parameters_of: ParametersOf
) -> None:
    """Raise HeaderMismatch unless the headers of a modern request say what its body says.

    `parameters_of` gives the mirrored parameters of the tool of that (exposed) name, None for an unknown tool.
    A body without a revision in `_meta` passes here: that is InvalidParams, and `read_envelope` says so."""
    try:
        _check_revision(headers, repeated, request)
        if _single(headers, repeated, METHOD_HEADER) != request.method:
            raise HeaderMismatch("The Mcp-Method header does not name the method of the body.")
        if request.method in _NAMED_BY:
            _check_name(headers, repeated, request)
        if request.method == "tools/call":
            _check_parameters(headers, repeated, request, parameters_of)
    except HeaderMismatch as mismatch:
        mismatch.request_id = request.id
        raise


def request_headers(
    method: str, params: Mapping[str, Any], parameters: Sequence[HeaderParameter] = ()
) -> list[tuple[str, str]]:
    """The mirrored headers of a request that goes upstream; `params` already has its `_meta`."""
    revision = params.get("_meta", {}).get(META_PROTOCOL_VERSION, MODERN)
    headers = [("MCP-Protocol-Version", revision), ("Mcp-Method", method)]
    name = params.get(_NAMED_BY[method]) if method in _NAMED_BY else None
    if isinstance(name, str):
        headers.append(("Mcp-Name", encode_value(name)))
    arguments = params.get("arguments")
    for parameter in parameters:
        text = _rendered(parameter.value_in(arguments))
        if text is not None:
            headers.append((parameter.header, encode_value(text)))
    return headers


def encode_value(text: str) -> str:
    """`text` as a header value: itself where it is plain ASCII without outer blanks, else the base64 sentinel form."""
    if _PLAIN.fullmatch(text) and not _SENTINEL.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def decode_value(value: str) -> str:
    """The text a header value stands for. Raises HeaderMismatch for characters that no header may have, and for a
    sentinel whose content is not canonical base64 of UTF-8."""
    if not _ENCODABLE.fullmatch(value):
        raise HeaderMismatch("A header value has characters that are not visible ASCII.")
    sentinel = _SENTINEL.fullmatch(value)
    if sentinel is None:
        return value
    encoded = sentinel.group(1)
    try:
        content = base64.b64decode(encoded, validate=True)
        if base64.b64encode(content).decode() != encoded:
            raise HeaderMismatch("A header value is not canonical base64.")
        return content.decode()
    except (binascii.Error, UnicodeDecodeError):
        raise HeaderMismatch("A header value is not base64 of UTF-8 text.") from None


def _single(headers: Mapping[str, str], repeated: Container[str], name: str) -> str:
    if name in repeated:
        raise HeaderMismatch(f"The {name} header comes more than once.")
    value = headers.get(name)
    if value is None:
        raise HeaderMismatch(f"The {name} header is missing.")
    return value.strip(" \t")


def _check_revision(headers: Mapping[str, str], repeated: Container[str], request: Request) -> None:
    stated = _single(headers, repeated, VERSION_HEADER)
    meta = request.params.get("_meta")
    if type(meta) is dict and META_PROTOCOL_VERSION in meta and meta[META_PROTOCOL_VERSION] != stated:
        raise HeaderMismatch("The MCP-Protocol-Version header does not name the revision of the body.")


def _check_name(headers: Mapping[str, str], repeated: Container[str], request: Request) -> None:
    stated = decode_value(_single(headers, repeated, NAME_HEADER))
    if stated != request.params.get(_NAMED_BY[request.method]):
        raise HeaderMismatch(f"The Mcp-Name header does not say what `{_NAMED_BY[request.method]}` of the body says.")


def _check_parameters(
    headers: Mapping[str, str], repeated: Container[str], request: Request, parameters_of: ParametersOf
) -> None:
    for parameter in parameters_of(request.params["name"]) or ():
        value = parameter.value_in(request.params.get("arguments"))
        name = parameter.header.lower()
        if _rendered(value) is None:
            if name in headers or name in repeated:
                raise HeaderMismatch(f"The {parameter.header} header has no argument of the body behind it.")
        elif not _says(decode_value(_single(headers, repeated, name)), value):
            raise HeaderMismatch(f"The {parameter.header} header does not say what the body says.")


def _says(text: str, value: Any) -> bool:
    """True if the header's `text` is the body's `value`; integers are compared as numbers, so that 42.0 is 42."""
    whole = _whole(value)
    if whole is None:
        return text == _rendered(value)
    decimal = _DECIMAL.fullmatch(text)
    return decimal is not None and int(decimal.group(1)) == whole


def _whole(value: Any) -> int | None:
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def _rendered(value: Any) -> str | None:
    """The text of a mirrored value; None where there is none to send (absent, null, array or object). A fraction is no
    value of any mirrored type, but that is the schema's business."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is str:
        return value
    whole = _whole(value)
    if whole is not None:
        return str(whole)
    return repr(value) if type(value) is float else None

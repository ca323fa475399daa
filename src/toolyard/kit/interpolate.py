"""References to environment variables in the operator's own files: `${NAME}` and `${NAME:default}`.

Also understood, because clients' files have them: `${NAME:-default}` (the shell's: for unset or empty), `${env:NAME}`
and `${input:some-id}` (VS Code; an input is looked for as the variable SOME_ID, since nobody is there to be asked).
`$${` stands for `${` itself. What a variable contains is never expanded again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from toolyard.kit.errors import PlatformError

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ReferenceBroken(PlatformError):
    """A reference to an environment variable cannot be resolved."""

    code = "reference_broken"
    status = 400


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`text` with every reference replaced. Raises ReferenceBroken for a variable that is not set and has no default,
    and for a reference that is not closed or names nothing."""
    if "${" not in text:
        return text
    return _TOKEN.sub(lambda found: _resolve(found, environ), text)


def references(text: str) -> tuple[str, ...]:
    """The names of the variables that `text` refers to, in order; broken references are left out."""
    bodies = (found.group(1) for found in _TOKEN.finditer(text))
    return tuple(_split(body)[0] for body in bodies if body is not None and _NAME.fullmatch(_split(body)[0]))


def _resolve(found: re.Match[str], environ: Mapping[str, str]) -> str:
    if found.group() == "$${":
        return "${"
    body = found.group(1)
    if body is None:
        raise ReferenceBroken("'${' is not closed by '}' (write '$${' for the characters themselves)")
    name, default, also_if_empty = _split(body)
    if not _NAME.fullmatch(name):
        raise ReferenceBroken(f"'${{{body}}}' does not name an environment variable")
    value = environ.get(name)
    if value or (value is not None and not also_if_empty):
        return value
    if default is None:
        raise ReferenceBroken(_missing(body, name), variable=name)
    return default


def _split(body: str) -> tuple[str, str | None, bool]:
    """(variable's name, default or None, whether the default also stands in for an empty value)."""
    head, colon, rest = body.partition(":")
    if not colon:
        return head, None, False
    if head == "env":
        return _split(rest)
    if head == "input":
        return re.sub(r"[^A-Za-z0-9]", "_", rest).upper(), None, False
    if rest.startswith("-"):
        return head, rest[1:], True
    return head, rest, False


def _missing(body: str, name: str) -> str:
    if body.startswith("input:"):
        asked = body.removeprefix("input:")
        return f"the input '{asked}' cannot be asked for here; set the environment variable {name} instead"
    return f"the environment variable {name} is not set (set it, or give a default: '${{{name}:default}}')"

"""Values of headers and variables: text with `secret://name` in it, where the credential of that name goes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SCHEME: Final = "secret://"
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}"
_REFERENCE: Final = re.compile(rf"{_SCHEME}({_NAME})")
_CREDENTIAL: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_OWN: Final = "up_"
"""What the names of credentials begin with that belong to one upstream."""


def credential_name_problem(name: str) -> str | None:
    """Why people cannot call a credential `name`, or None."""
    if not _CREDENTIAL.fullmatch(name) or name.startswith(_OWN):
        return (
            f"'{name}' is not a name of a credential: use a-z, 0-9, '.', '-' and '_', at most 100, beginning with a "
            f"letter or digit and not with '{_OWN}'"
        )
    return None


def own_name(upstream_id: str, field: str, name: str) -> str:
    """What the credential is called that stands for a value given with the upstream itself."""
    return f"{upstream_id}.{field}.{name.lower() if field == 'headers' else name}"


def reference(name: str) -> str:
    """The text that stands for a credential."""
    return _SCHEME + name


def is_template(text: str) -> bool:
    """Whether a value refers to credentials; if not, it is taken for a secret itself."""
    return _SCHEME in text


def template_problem(text: str) -> str | None:
    """Why a value that refers to credentials cannot be, or None."""
    if len(_REFERENCE.findall(text)) != text.count(_SCHEME):
        return f"refers to a credential in a way that is not understood: write {_SCHEME}name"
    return None


def names_in(text: str) -> list[str]:
    """The credentials that a value refers to."""
    return _REFERENCE.findall(text)


def without_references(text: str) -> str:
    """What a value says by itself."""
    return _REFERENCE.sub("", text)


def filled(text: str, values: Mapping[str, str]) -> str:
    """A value with the credentials in their places. Raises KeyError for one that is not there."""
    return _REFERENCE.sub(lambda found: values[found[1]], text)


def used(*fields: Mapping[str, str]) -> list[str]:
    """All credentials that headers or variables refer to, each once."""
    return sorted({name for field in fields for text in field.values() for name in names_in(text)})

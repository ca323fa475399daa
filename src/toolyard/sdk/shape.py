"""What is known of an operation of the management API, in plain frozen values. The table itself is operations.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "integer", "number", "boolean", "strings", "any"]
"""What a value is. `strings`: a list of texts. `any`: what only JSON can say."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value that an operation takes. `secret`: not to be seen on a screen or in a list of processes."""

    name: str
    kind: Kind
    about: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What an operation takes as JSON. `fields` is empty unless it is an object with known fields."""

    fields: tuple[Field, ...]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    `group` and `verb` are its place in the client (`client.<group>.<verb>`). `paged`: its answer has `items` and
    `next_cursor`. `keyed`: it takes an idempotency key. `matched`: it takes the ETag of what was read. `upload`: it
    takes a file. `download`: it answers with bytes."""

    id: str
    tag: str
    group: str
    verb: str
    method: str
    path: str
    about: str
    path_fields: tuple[str, ...] = ()
    query: tuple[Field, ...] = ()
    body: Body | None = None
    paged: bool = False
    keyed: bool = False
    matched: bool = False
    upload: bool = False
    download: bool = False
    open: bool = False

"""The matrix of tenants: what each route answers to whom, about whose objects (tenant_matrix.yaml)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.control.tenants import ROLES, Tenants

TABLE: Final = Path(__file__).with_name("tenant_matrix.yaml")
OTHER: Final = {"A": "B", "B": "A"}
_UPLOAD: Final = {"file": ("text.txt", b"text", "text/plain")}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the matrix: somebody, about an object of organization `whose` (None: about none)."""

    case: str
    role: str
    whose: str | None
    expected: str
    send: Any = None
    names: tuple[tuple[str, str], ...] = ()

    @property
    def method(self) -> str:
        return self.case.split()[0]

    @property
    def route(self) -> str:
        return self.case.split()[1]

    @property
    def is_foreign(self) -> bool:
        """Whether only the walls between organizations stand before it: with an own object it would succeed."""
        return self.whose is not None and self.expected in ("404", "200 none")

    @property
    def is_personal(self) -> bool:
        """Whether it is about what belongs to a person, whatever the organization."""
        return "/auth/" in self.route

    def __str__(self) -> str:
        return f"{self.role}: {self.case}" + (f" of {self.whose}" if self.whose else "")


def cases() -> dict[str, Any]:
    """The table as it is written."""
    found: dict[str, Any] = yaml.safe_load(TABLE.read_text("utf-8"))
    return found


def asked() -> Iterator[Asked]:
    """Every request of the matrix."""
    for case, row in cases().items():
        names = tuple((row.get("with") or {}).items())
        for whose in ("A", "B") if "A" in row else (None,):
            answers = str(row[whose or "any"]).split(" | ")
            assert len(answers) == len(ROLES), f"{case}: one answer for each of {ROLES}"
            for role, expected in zip(ROLES, answers, strict=True):
                yield Asked(case, role, whose, expected, row.get("send"), names)


def routes_of(app: FastAPI) -> set[str]:
    """The routes of an application as the table calls them."""
    routes = [route for route in app.router.routes if isinstance(route, APIRoute)]
    return {f"{method} {route.path}" for route in routes for method in route.methods}


async def answer_to(tenants: Tenants, one: Asked, ids: dict[str, str] | None = None) -> Any:
    """What a request of the matrix is answered."""
    known = ids if ids is not None else tenants.ids[one.whose or "A"]
    known = known | {name: known.get(value, value) for name, value in one.names}
    path = one.route.replace(":path}", "}").format(**known)
    if one.send == "a file":
        return await tenants.ask(one.role, one.method, path, files=_UPLOAD)
    body = {} if one.send is None else {"json": _filled(one.send, known)}
    return await tenants.ask(one.role, one.method, path, **body)


def told(answer: Any) -> str:
    """An answer as the table has it: its status, and whether something was done to none of several."""
    is_json = "json" in answer.headers.get("content-type", "")
    content = answer.json() if is_json and answer.content else None
    none = isinstance(content, dict) and content.get("succeeded") == 0
    return f"{answer.status_code}" + (" none" if none else "")


def _filled(send: Any, known: dict[str, str]) -> Any:
    if isinstance(send, str):
        return known[send[1:]] if send.startswith("$") else send
    if isinstance(send, list):
        return [_filled(one, known) for one in send]
    if isinstance(send, dict):
        return {name: _filled(one, known) for name, one in send.items()}
    return send

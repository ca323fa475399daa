"""A management API that answers what it is told to and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

TOKENS = {"access_token": "at1", "refresh_token": "rt1", "expires_in": 600, "organization_id": "default"}


@dataclass(slots=True)
class FakeApi:
    """Answers by `METHOD path`; everything else with an empty object."""

    answers: dict[str, Callable[[httpx2.Request], httpx2.Response]] = field(default_factory=dict)
    asked: list[httpx2.Request] = field(default_factory=list)

    def on(self, what: str, *answers: httpx2.Response | Mapping[str, Any]) -> None:
        """Answer with these, one after the other, and with the last from then on."""
        left = [one if isinstance(one, httpx2.Response) else httpx2.Response(200, json=one) for one in answers]

        def answer(_request: httpx2.Request) -> httpx2.Response:
            return left.pop(0) if len(left) > 1 else left[0]

        self.answers[what] = answer

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.asked.append(request)
        found = self.answers.get(f"{request.method} {request.url.path.removeprefix('/api/v1')}")
        return found(request) if found else httpx2.Response(200, json={})

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self)

    def paths(self) -> list[str]:
        return [f"{one.method} {one.url.path.removeprefix('/api/v1')}" for one in self.asked]

    def bodies(self) -> list[Any]:
        return [json.loads(one.content) if one.content else None for one in self.asked]


def problem(status: int, code: str, **headers: str) -> httpx2.Response:
    """A refusal."""
    told = {"type": "about:blank", "title": "No.", "status": status, "code": code, "request_id": "r1"}
    told["errors"] = [{"at": "body.url", "message": "is no URL"}]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json=told, headers={"content-type": "application/problem+json", **named})

"""The management API as a program uses it: one person's login, JSON in and out."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A status and what came with it."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in, working in one organization."""

    url: str
    token: str = ""
    organization: str = ""

    @classmethod
    def logged_in(cls, url: str, username: str, password: str) -> Person:
        """Log in."""
        answered = cls(url).ask("POST", "/auth/login", {"username": username, "password": password})
        assert answered.status == 200, answered.body
        return cls(url, answered.body["access_token"])

    def ask(self, method: str, path: str, body: Any = None) -> Answered:
        """One request; errors are answers."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if self.organization:
            headers["toolyard-organization"] = self.organization
        content = None if body is None and method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return Answered(answer.status, json.loads(answer.read() or b"null"))
        except urllib.error.HTTPError as error:
            return Answered(error.code, json.loads(error.read() or b"null"))

    def make(self, path: str, body: Any) -> Any:
        """Create something; what it is now."""
        answered = self.ask("POST", path, body)
        assert answered.status in {200, 201}, answered.body
        return answered.body

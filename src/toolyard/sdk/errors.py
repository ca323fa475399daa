"""What goes wrong when the management API is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolyard.kit.errors import PlatformError


@dataclass(frozen=True, slots=True)
class FieldError:
    """One value that was not taken: where it is, and why."""

    at: str
    message: str


class ApiError(PlatformError):
    """The management API refused the request."""

    code = "api_error"
    status = 500

    def __init__(
        self, status: int, code: str, title: str, *, errors: Sequence[FieldError] = (), request_id: str | None = None
    ) -> None:
        super().__init__(title)
        self.title = title
        self.errors = tuple(errors)
        self.request_id = request_id
        # The API's own code and status, in the place of this class's.
        self.__dict__["code"] = code
        self.__dict__["status"] = status


class ApiUnreachable(PlatformError):
    """The management API cannot be reached, or did not answer in time."""

    code = "api_unreachable"
    status = 503


class AnswerUnreadable(PlatformError):
    """What answered is not the management API."""

    code = "api_answer_unreadable"
    status = 502


def error_of(status: int, told: Any) -> ApiError:
    """The error that a problem document tells of."""
    problem = told if isinstance(told, dict) else {}
    errors = [
        FieldError(str(one.get("at", "")), str(one.get("message", "")))
        for one in problem.get("errors") or ()
        if isinstance(one, dict)
    ]
    title = str(problem.get("title") or f"the management API answered with HTTP {status}")
    request_id = problem.get("request_id")
    code = str(problem.get("code") or _relayed(problem) or "api_error")
    return ApiError(status, code, title, errors=errors, request_id=str(request_id) if request_id else None)


def _relayed(problem: dict[str, Any]) -> str | None:
    """The code of a refusal by the gateway in front, which has another form."""
    error = problem.get("error")
    return str(error["code"]) if isinstance(error, dict) and "code" in error else None

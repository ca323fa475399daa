"""Errors as answers: problem details (RFC 9457) with our stable code, the same everywhere, with nothing internal in
them. The only place of the control plane that makes answers of errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from toolyard.control.base.errors import Invalid, NotFound
from toolyard.kit.errors import PlatformError
from toolyard.kit.ids import short_id
from toolyard.kit.logs import get_logger

log = get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
_INTERNAL = range(500, 501)


class FieldProblem(BaseModel):
    """One value that cannot be taken: where it is and what is wrong with it. Never the value."""

    at: str = Field(examples=["body.url"])
    message: str


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it. `code` is stable; `title` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str | None = None
    errors: list[FieldProblem] | None = None
    request_id: str | None = None


_TEXTS = {
    400: "The request is not what it should be",
    401: "No login, or one that does not hold",
    403: "Not allowed",
    404: "Nothing with that id here",
    409: "In conflict with what there is",
    412: "Changed meanwhile",
    422: "A value cannot be taken",
    429: "Too many requests",
    503: "Not possible at the moment",
}
PROBLEM_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in _TEXTS.items()
}
"""The answers that every route may give. The schema is put into the document once (`problem_schemas`), since naming the
model here makes the framework build it anew for every answer of every route: most of the time of a start."""


def problem_schemas() -> dict[str, Any]:
    """The schemas that the answers of `PROBLEM_ANSWERS` refer to."""
    schema = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), Problem.__name__: schema}


def problem(
    status: int,
    code: str,
    title: str,
    *,
    errors: Sequence[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> JSONResponse:
    """An answer with a problem in it."""
    body = Problem(title=title, status=status, code=code, errors=list(errors) if errors else None)
    content = {**(more or {}), **body.model_dump(exclude_none=True)}
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


def of_error(error: PlatformError) -> JSONResponse:
    """The answer for one of our own errors."""
    headers = {}
    if error.retry_after_s or error.status == 429:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    errors = error.context.get("errors")
    fields = errors if isinstance(errors, list) else None
    return problem(error.status, error.code, error.message, errors=fields, headers=headers)


def install(app: FastAPI) -> None:
    """Have an application answer every error as a problem."""

    async def ours(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, PlatformError)
        if error.status in _INTERNAL:
            log.error("request_failed", code=error.code, exc_info=error)
        return of_error(error)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = [_field_problem(one) for one in error.errors()]
        title = "; ".join(f"{one.at}: {one.message}" for one in found[:3])
        return problem(Invalid.status, Invalid.code, title, errors=found)

    async def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        title = HTTPStatus(error.status_code).phrase
        code = NotFound.code if error.status_code == 404 else title.lower().replace(" ", "_")
        return problem(error.status_code, code, str(error.detail or title), headers=error.headers)

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        request_id = short_id()
        log.error("request_failed", path=request.url.path, request=request_id, exc_info=error)
        return problem(500, "internal_error", "Something went wrong here.", more={"request_id": request_id})

    app.add_exception_handler(PlatformError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def _field_problem(one: Mapping[str, Any]) -> FieldProblem:
    if one["type"] == "json_invalid":
        return FieldProblem(at="body", message=str(one.get("ctx", {}).get("error", one["msg"])))
    return FieldProblem(at=_place(one["loc"]), message=one["msg"])


def _place(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location)

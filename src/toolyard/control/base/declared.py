"""Routes that say what they are, or the program does not start (declaration.py has the words)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from toolyard.control.base.declaration import DECLARED, Declared, LimitClass, declared_of
from toolyard.control.base.errors import RouteUndeclared
from toolyard.control.base.gate import GatedRoute
from toolyard.control.base.problems import PROBLEM_ANSWERS

Decorator = Callable[[Any], Any]


class Slice:
    """The routes of one slice of the control plane, under `/api/v1`. The gate enforces what each declares."""

    def __init__(self, tag: str, *, prefix: str = "/api/v1") -> None:
        self.router = APIRouter(prefix=prefix, tags=[tag], route_class=GatedRoute)

    @property
    def routes(self) -> list[APIRoute]:
        return [route for route in self.router.routes if isinstance(route, APIRoute)]

    def get(self, path: str, *, action: str, heavy: bool = False, limit: LimitClass = "read", **more: Any) -> Decorator:
        """A route that reads."""
        return self.route("GET", path, Declared("login", action, "none", limit, heavy=heavy), **more)

    def create(self, path: str, *, action: str, **more: Any) -> Decorator:
        """A route that creates something: 201, and it takes an idempotency key."""
        return self.route(
            "POST", path, Declared("login", action, "token", "write", idempotent=True), status_code=201, **more
        )

    def post(
        self, path: str, *, action: str, limit: LimitClass = "write", safe: bool = False, **more: Any
    ) -> Decorator:
        """A route that does something."""
        return self.route("POST", path, Declared("login", action, "token", limit, safe=safe), **more)

    def patch(self, path: str, *, action: str, **more: Any) -> Decorator:
        """A route that changes some fields."""
        return self.route("PATCH", path, Declared("login", action, "token", "write"), **more)

    def put(self, path: str, *, action: str, **more: Any) -> Decorator:
        """A route that replaces something."""
        return self.route("PUT", path, Declared("login", action, "token", "write"), **more)

    def delete(self, path: str, *, action: str, **more: Any) -> Decorator:
        """A route that deletes something: 204."""
        return self.route("DELETE", path, Declared("login", action, "token", "write"), status_code=204, **more)

    def route(self, method: str, path: str, declared: Declared, **more: Any) -> Decorator:
        """A route of any kind, with all that it declares."""
        extra = {**more.pop("openapi_extra", {}), DECLARED: asdict(declared)}
        answers = {**PROBLEM_ANSWERS, **more.pop("responses", {})}

        def declare(handler: Any) -> Any:
            summary = (handler.__doc__ or "").partition("\n")[0].rstrip(".") or None
            declared_as = {"summary": summary, **more}
            return self.router.api_route(path, methods=[method], openapi_extra=extra, responses=answers, **declared_as)(
                handler
            )

        return declare


def mount(app: FastAPI, slices: Iterable[Slice]) -> None:
    """Put the slices' routes into an application, as they are."""
    for one in slices:
        app.router.routes.extend(one.router.routes)


def check_declared(app: FastAPI, permissions: frozenset[str]) -> None:
    """Raises RouteUndeclared for an application with a route that declares nothing, or an action nobody can have."""
    for route in app.router.routes:
        if not isinstance(route, APIRoute):
            raise RouteUndeclared(f"{getattr(route, 'path', route)} is no declared route")
        declared = declared_of(route)
        if declared is None or not isinstance(route, GatedRoute):
            raise RouteUndeclared(f"{sorted(route.methods or ())} {route.path} declares nothing")
        if declared.action not in permissions | {"self", "none"}:
            raise RouteUndeclared(f"{sorted(route.methods or ())} {route.path}: '{declared.action}' is no permission")
        if declared.auth == "login" and declared.action == "none":
            raise RouteUndeclared(f"{sorted(route.methods or ())} {route.path} wants a login and allows it nothing")

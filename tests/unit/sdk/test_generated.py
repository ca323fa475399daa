"""What is made from the API's own document: nothing missing, nothing too much, nothing stale."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import ROOT
from toolyard.cli.api_rows import API_ROWS
from toolyard.sdk import AsyncClient, Client
from toolyard.sdk.operations import OPERATIONS


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate_sdk", ROOT / "docs" / "generate_sdk.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def document() -> Any:
    return generator().document()


def test_the_client_is_what_the_routes_say_now() -> None:
    stale = [path.name for path, text in generator().files().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python docs/generate.py"


def test_the_table_has_every_operation_of_the_document_and_no_other() -> None:
    said = {one["operationId"]: (method, path) for method, path, one in generator().described(document())}
    assert {one.id: (one.method, one.path) for one in OPERATIONS.values()} == said
    assert len(said) > 100


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_operation_is_a_method_of_the_client(kind: Any) -> None:
    asking = kind("https://toolyard.example", token="t")
    for one in OPERATIONS.values():
        method = getattr(getattr(asking, one.group), one.verb, None) or getattr(
            getattr(asking, one.group), f"{one.verb}_"
        )
        assert method.__doc__
        assert inspect.iscoroutinefunction(method) == (kind is AsyncClient)
        if one.paged:
            assert hasattr(getattr(asking, one.group), "all" if one.verb == "list" else f"all_{one.verb}")


def test_every_operation_is_one_command() -> None:
    told = [operation for rows in API_ROWS.values() for _, operation, _ in rows]
    assert sorted(told) == sorted(OPERATIONS)

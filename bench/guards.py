"""What was on in the measured gateway, read from its code: the interceptors of a call and the limits of the wire."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ASSEMBLY = "gateway/assembly.py"
FRAMING = "gateway/framing.py"
EDGE = "gateway/edge.py"


def guards(source: Path) -> dict[str, list[str]]:
    """The interceptors in their order, the wire limits with their defaults and what the edge guard checks, of the
    package at `source`. A list is empty where the code does not say it in the expected place."""
    return {
        "interceptors": _interceptors(_parsed(source / ASSEMBLY)),
        "wire_limits": _fields(_parsed(source / FRAMING), "WireLimits"),
        "edge": [
            node.name.removeprefix("check_").replace("_", " ")
            for node in _parsed(source / EDGE).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith(("check_", "read_"))
        ],
    }


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text() if path.exists() else "")


def _interceptors(module: ast.Module) -> list[str]:
    """The literal list that the pipeline is composed of, and what stands behind it."""
    for call in _calls(module, "Pipeline"):
        if call.args and isinstance(call.args[0], (ast.List, ast.Tuple)):
            return [_name(node) for node in (*call.args[0].elts, *call.args[1:])]
    return []


def _calls(module: ast.Module, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _name(node: ast.expr) -> str:
    """`RateLimit()` and `self.rate_limit` are rate limit, `dispatch.resolve` is resolve."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    last = ast.unparse(node).rpartition(".")[2]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower().replace("_", " ")


def _fields(module: ast.Module, name: str) -> list[str]:
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return [
                f"{field.target.id} {_value(field.value)}"
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value
            ]
    return []


def _value(node: ast.expr) -> str:
    """A number, also where it is written as a product."""
    text = ast.unparse(node)
    factors = text.split("*")
    try:
        product = 1.0
        for factor in factors:
            product *= float(factor.replace("_", ""))
    except ValueError:
        return text
    return f"{product:,.0f}" if product.is_integer() else str(product)

from __future__ import annotations

from typing import Any

import pytest

from toolyard.protocol.header_parameters import HeaderParameter, InvalidToolHeaders, header_parameters


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def mirrored(name: object = "Region", kind: object = "string") -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": name}


def test_a_schema_without_annotations_mirrors_nothing() -> None:
    assert header_parameters(schema(a={"type": "string"}, b={"enum": [{"x-mcp-header": "No"}]})) == ()
    assert header_parameters({}) == ()
    assert header_parameters(None) == ()


def test_annotated_properties_are_found_in_order_and_depth() -> None:
    found = header_parameters(
        schema(
            region=mirrored(),
            page={"type": "object", "properties": {"count": mirrored("Count", "integer")}},
            dry=mirrored("Dry-Run", "boolean"),
        )
    )
    assert found == (
        HeaderParameter("Mcp-Param-Region", ("region",), "string"),
        HeaderParameter("Mcp-Param-Count", ("page", "count"), "integer"),
        HeaderParameter("Mcp-Param-Dry-Run", ("dry",), "boolean"),
    )


@pytest.mark.parametrize(
    "name", ["", "a b", "a\r\nb", "a:b", "ü", "a\x00", None, 1, "x" * 129, "Authorization", "content-length"]
)
def test_a_name_that_is_no_fit_header_name_drops_the_tool(name: object) -> None:
    with pytest.raises(InvalidToolHeaders):
        header_parameters(schema(a=mirrored(name)))


@pytest.mark.parametrize("kind", ["number", "object", "array", "null", None, ["string"], ["integer", "null"]])
def test_only_strings_integers_and_booleans_are_mirrored(kind: object) -> None:
    with pytest.raises(InvalidToolHeaders):
        header_parameters(schema(a=mirrored(kind=kind)))


def test_two_names_that_differ_in_case_only_drop_the_tool() -> None:
    with pytest.raises(InvalidToolHeaders):
        header_parameters(schema(a=mirrored("Region"), b=mirrored("REGION")))


@pytest.mark.parametrize(
    "misplaced",
    [
        mirrored(),
        schema(a={"items": mirrored()}),
        schema(a={"items": [mirrored()]}),
        schema(a={"prefixItems": [mirrored()]}),
        schema(a={"anyOf": [mirrored()]}),
        schema(a={"oneOf": [{"type": "null"}, mirrored()]}),
        schema(a={"not": mirrored()}),
        {"if": schema(a=mirrored())},
        {"allOf": [schema(a=mirrored())]},
        {"$defs": {"r": mirrored()}},
        {"patternProperties": {"^a": mirrored()}},
        {"additionalProperties": mirrored()},
        {"dependentSchemas": {"a": schema(b=mirrored())}},
    ],
)
def test_an_annotation_where_no_chain_of_properties_leads_drops_the_tool(misplaced: dict[str, Any]) -> None:
    with pytest.raises(InvalidToolHeaders):
        header_parameters(misplaced)


def test_data_in_a_schema_is_no_annotation() -> None:
    data = {"x-mcp-header": "No"}
    inner = {"type": "object", "default": data, "examples": [data], "const": data, "enum": [data]}
    assert header_parameters(schema(a=inner)) == ()


def test_a_property_may_have_the_name_of_the_annotation() -> None:
    found = header_parameters({"type": "object", "properties": {"x-mcp-header": mirrored()}})
    assert found == (HeaderParameter("Mcp-Param-Region", ("x-mcp-header",), "string"),)


def test_a_schema_nested_beyond_any_stack_is_still_walked() -> None:
    deep: dict[str, Any] = mirrored()
    for _ in range(2_000):
        deep = schema(a=deep)
    (found,) = header_parameters(deep)
    assert len(found.path) == 2_000


def test_the_value_is_read_at_the_exact_path() -> None:
    parameter = HeaderParameter("Mcp-Param-Count", ("page", "count"), "integer")
    assert parameter.value_in({"page": {"count": 3}}) == 3
    for arguments in ({}, {"page": None}, {"page": [3]}, {"page": {}}, {"count": 3}, None, []):
        assert parameter.value_in(arguments) is None

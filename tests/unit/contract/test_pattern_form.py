"""How codes and patterns of virtual servers are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.contract.pattern_form import exactly, tool_pattern_problem
from toolyard.contract.patterns import compile_pattern
from toolyard.contract.server_codes import server_code_problem, server_path


@pytest.mark.parametrize("pattern", ["*", "docs/*", "docs/search", "!docs/secret", "tag:safe", "!docs/tag:old", "*/x"])
def test_what_chooses_tools_is_a_pattern(pattern: str) -> None:
    assert tool_pattern_problem(pattern) is None


@pytest.mark.parametrize("pattern", ["", "docs", "docs/", "tag:", "!", "docs/tag:", "docs/tag:a/b"])
def test_what_chooses_nothing_is_refused_with_what_to_write(pattern: str) -> None:
    assert "is not a tool pattern" in str(tool_pattern_problem(pattern))


@given(st.text(min_size=1), st.text(min_size=1))
def test_an_exact_choice_names_that_tool_and_no_other(name: str, other: str) -> None:
    pattern = compile_pattern(exactly("docs", name))
    assert pattern.names("docs", name, ())
    assert pattern.names("docs", other, (name, other)) == (other == name)


@pytest.mark.parametrize("code", ["server", "info", "health", "", "-a", "Über", "a" * 64, "a/b"])
def test_a_code_that_cannot_stand_in_a_url_is_refused(code: str) -> None:
    assert server_code_problem(code)


def test_the_default_server_is_at_mcp_itself() -> None:
    assert (server_path("default"), server_path("lab")) == ("/mcp", "/mcp/lab")

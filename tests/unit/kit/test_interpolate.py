"""References to environment variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.kit.interpolate import ReferenceBroken, expand, references


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("plain", {}, "plain"),
        ("${A}", {"A": "1"}, "1"),
        ("Bearer ${A}-${B}", {"A": "1", "B": "2"}, "Bearer 1-2"),
        ("${A:x}", {}, "x"),
        ("${A:x}", {"A": ""}, ""),
        ("${A:-x}", {"A": ""}, "x"),
        ("${A:}", {}, ""),
        ("${URL:sqlite:///./data/mcps.db}", {}, "sqlite:///./data/mcps.db"),
        ("${env:A}", {"A": "1"}, "1"),
        ("${env:A:x}", {}, "x"),
        ("${input:api-key}", {"API_KEY": "k"}, "k"),
        ("$${A}", {"A": "1"}, "${A}"),
        ("$A and $$ and {A}", {"A": "1"}, "$A and $$ and {A}"),
        ("${A}", {"A": "${B}", "B": "never"}, "${B}"),
    ],
)
def test_a_reference_becomes_its_value_or_its_default(text, environ, expected):
    assert expand(text, environ) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${A}", "A is not set"),
        ("${", "not closed"),
        ("x ${A", "not closed"),
        ("${}", "does not name"),
        ("${1A}", "does not name"),
        ("${A B}", "does not name"),
        ("${input:api-key}", "set the environment variable API_KEY instead"),
    ],
)
def test_a_reference_that_cannot_be_resolved_says_why(text, says):
    with pytest.raises(ReferenceBroken, match=says):
        expand(text, {})


def test_the_names_that_a_text_refers_to_can_be_listed():
    assert references("${A} ${env:B:x} ${input:c-d} $${E} ${}") == ("A", "B", "C_D")


@given(st.text())
def test_any_text_is_expanded_or_refused_with_a_reason(text):
    try:
        expanded = expand(text, {})
    except ReferenceBroken:
        assert "${" in text
    else:
        assert isinstance(expanded, str)


@given(st.text().filter(lambda text: "${" not in text))
def test_a_text_without_references_stays_as_it_is(text):
    assert expand(text, {"A": "1"}) == text


@given(st.text(), st.text(alphabet="ab:/-. ", max_size=20))
def test_a_value_is_put_in_exactly_and_wins_over_the_default(value, default):
    assert expand(f"<${{NAME:{default.lstrip('-')}}}>", {"NAME": value}) == f"<{value}>"

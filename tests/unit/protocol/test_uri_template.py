from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.protocol.uri_template import matcher


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("note://all", "note://all", {}),
        ("weather://{city}/now", "weather://wien/now", {"city": "wien"}),
        ("weather://{city}/now", "weather://s%C3%A3o%20paulo/now", {"city": "são paulo"}),
        ("weather://{city}/now", "weather://a@b:1,2/now", {"city": "a@b:1,2"}),
        ("{a}-{b}", "x-y-z", {"a": "x", "b": "y-z"}),
        ("p://{x,y}", "p://1,2", {"x": "1", "y": "2"}),
        ("file:///{+path}", "file:///a/b.txt", {"path": "a/b.txt"}),
        ("x{+p}/info/{id}", "xa/info/b/info/7", {"p": "a/info/b", "id": "7"}),
        ("docs://{path*}", "docs://a/b/c", {"path": "a/b/c"}),
        ("page{#part}", "page#two", {"part": "two"}),
        ("page{#part}", "page", {}),
        ("file{.kind}", "file.txt", {"kind": "txt"}),
        ("file{.a,b}", "file.tar.gz", {"a": "tar", "b": "gz"}),
        ("root{/a,b}", "root/1/2", {"a": "1", "b": "2"}),
        ("root{/a,b}", "root/1", {"a": "1"}),
        ("root{/a*}", "root/1/2/3", {"a": "1/2/3"}),
        ("m{;x,y}", "m;x=1;y", {"x": "1", "y": ""}),
        ("s://h/find{?q,lang}", "s://h/find?q=a%20b&lang=de", {"q": "a b", "lang": "de"}),
        ("s://h/find{?q,lang}", "s://h/find?lang=de", {"lang": "de"}),
        ("s://h/find{?q,lang}", "s://h/find", {}),
        ("s://h?fixed=1{&q}", "s://h?fixed=1&q=2", {"q": "2"}),
        ("t://{id:3}", "t://abc", {"id": "abc"}),
    ],
)
def test_a_uri_that_fits_gives_its_variables(template: str, uri: str, values: dict[str, str]) -> None:
    assert matcher(template)(uri) == values


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("note://all", "note://all/"),
        ("note://all", "note://al"),
        ("weather://{city}/now", "weather:///now"),
        ("weather://{city}/now", "weather://a/b/now"),
        ("weather://{city}/now", "weather://a?b/now"),
        ("weather://{city}", "WEATHER://a"),
        ("p://{x,y}", "p://1,2,3"),
        ("root{/a,b}", "root/1/2/3"),
        ("root{/a}", "root1"),
        ("s://h/find{?q}", "s://h/find?z=1"),
        ("s://h/find{?q}", "s://h/find?q=1&q=2"),
        ("docs://{path*}", "docs://"),
        ("t://{id}", "t://" + "x" * 9_000),
    ],
)
def test_a_uri_that_does_not_fit_gives_none(template: str, uri: str) -> None:
    assert matcher(template)(uri) is None


@pytest.mark.parametrize(
    "template", ["a{", "a}", "a{}", "a{b c}", "{=x}", "{x:0}", "{x,}", "{{x}}", "{x}" * 17, "x" * 3_000]
)
def test_a_malformed_or_oversized_template_matches_nothing(template: str) -> None:
    for uri in (template, "a", "x", "aa"):
        assert matcher(template)(uri) is None


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_expanding_and_matching_are_inverse(first: str, second: str) -> None:
    uri = f"t://{quote(first, safe='')}/x/{quote(second, safe='')}"
    assert matcher("t://{first}/x/{second}")(uri) == {"first": first, "second": second}


@given(st.text(alphabet="ab/{}?+*&,;.#x:1", max_size=40), st.text(alphabet="ab/?&;.#x=1", max_size=60))
def test_any_template_and_uri_give_an_answer(template: str, uri: str) -> None:
    found = matcher(template)(uri)
    assert found is None or all(isinstance(value, str) for value in found.values())


def test_a_hostile_template_costs_no_more_than_its_size() -> None:
    match = matcher("a" + "{+x}a" * 15)
    started = time.process_time()
    assert match("a" * 8_000) is not None
    assert match("a" * 7_000 + "b" + "a") is not None
    assert time.process_time() - started < 5.0  # backtracking would take years

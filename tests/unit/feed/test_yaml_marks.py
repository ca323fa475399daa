"""YAML and JSON with lines."""

import json

import pytest

from toolyard.gateway.feed.yaml_marks import Marked, read_marked


def read(text):
    problems = []
    return read_marked(text, "f", problems), [(problem.line, problem.key, problem.message) for problem in problems]


def plain(node):
    if isinstance(node.value, dict):
        return {name: plain(item) for name, item in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return node.value


def test_each_entry_has_the_line_of_its_key_and_the_text_that_was_written():
    root, problems = read("a:\n  b: 010\n\n  c: [x, 1.0, yes, ~]\n")
    assert problems == []
    assert plain(root) == {"a": {"b": "010", "c": ["x", "1.0", "yes", None]}}
    assert root.value["a"].value["c"].line == 4


def test_json_with_tabs_and_comments_is_read_as_it_stands():
    root, problems = read('{\n\t// a comment\n\t"a": "b // c",\t/* two\nlines */\n\t"d":[1,2,],\n}')
    assert problems == []
    assert plain(root) == {"a": "b // c", "d": ["1", "2"]}
    assert root.value["d"].line == 5


def test_characters_that_json_writes_as_two_escapes_are_read_as_one():
    text = json.dumps({"a": "\U0001f600 \\ud83d \u00e9", "b": "x"})
    assert plain(read(text)[0]) == json.loads(text)


def test_yaml_in_braces_may_have_urls_without_quotes():
    assert plain(read("{a: {url: https://h/x}, b: [http://i/]} # end\n")[0]) == {
        "a": {"url": "https://h/x"},
        "b": ["http://i/"],
    }


def test_merge_keys_are_followed_and_own_entries_win():
    root, problems = read("base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\n")
    assert problems == []
    assert plain(root)["a"] == {"x": "1", "y": "3"}


def test_a_key_written_twice_is_named_with_both_lines():
    _, problems = read("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert problems == [(4, "a.b", "written twice (the first time in line 2)")]


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("a:\n  - !!python/object/apply:os.system ['true']\n", 2, "not allowed"),
        ("a: !secret x\n", 1, "not allowed"),
        ("? [a]\n: b\n", 1, "plain text"),
        ("a: &a [*a]\n", 1, "contains itself"),
        (BOMB, None, "values once its aliases"),
        ("a: &x 1\nb: [" + ", ".join(["*x"] * 201) + "]\n", 2, "more than 200 aliases"),
        ("[" * 100_000, 1, "64 levels"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
        ("a: *nobody\n", 1, "not valid YAML"),
        ("a: \x01\n", None, "not valid YAML"),
    ],
)
def test_what_is_not_plain_data_is_one_problem_with_its_line(text, line, says):
    root, problems = read(text)
    assert root is None
    assert len(problems) == 1
    assert says in problems[0][2]
    assert line is None or problems[0][0] == line


def test_an_empty_file_is_nothing_and_no_problem():
    assert read("# only a comment\n") == (None, [])
    assert read("~\n") == (Marked(None, 1), [])

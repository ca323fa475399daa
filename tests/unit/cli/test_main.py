"""The commands as a whole: listed without being imported, complete for help, completion and programs."""

import importlib
import json
import os
import re
import subprocess
import sys

import pytest
import typer.main

from toolyard.cli.main import app
from toolyard.cli.output import Format, show

COMMANDS = (
    "up gateway add import discover connect servers upstreams tools call resources prompts upstream tool server key "
    "credential file user member account role grant access tier org settings auth platform login logout whoami status "
    "doctor stdio config db version"
)


def groups():
    root = typer.main.get_command(app)
    return [root, *(command for command in root.commands.values() if hasattr(command, "commands"))]


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.name)
def test_the_summary_of_every_command_is_the_first_paragraph_of_its_own_help(group):
    assert group.rows
    for row in group.rows:
        command = group.commands[row.name]
        assert command.name == row.name
        if row.function:
            assert command.help.split("\n\n")[0].replace("\n", " ") == row.summary


def test_help_lists_every_command_in_its_order(toolyard):
    assert toolyard("--help") == 0
    listed = re.findall(r"^  ([a-z]+) ", toolyard.out.partition("Commands:")[2], re.MULTILINE)
    assert listed == COMMANDS.split()
    assert toolyard("key", "--help") == 0
    assert "rotate" in toolyard.out
    assert toolyard("upp") == 2
    assert "Did you mean 'up'" in toolyard.err


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.name)
def test_help_shows_what_commands_and_options_say_of_themselves_and_nothing_is_cut_short(group, toolyard):
    words = () if group.name == "toolyard" else (group.name,)
    assert toolyard(*words, "--help") == 0
    listing = " ".join(toolyard.out.split())
    assert all(" ".join((row.name, row.summary)).strip() in listing for row in group.rows)
    for row in group.rows:
        if row.function:
            assert toolyard(*words, row.name, "--help") == 0
            shown = "".join(toolyard.out.split())  # lines are also broken within words, at hyphens
            said = [getattr(param, "help", None) or "" for param in group.commands[row.name].params]
            assert all("".join(one.split()) in shown for one in said), row.name


@pytest.mark.parametrize("words", [["--help"], ["key", "--help"], ["up", "--help"], ["nonsense"], ["version"]])
def test_help_and_wrong_use_do_without_the_libraries_that_draw(words):
    code = (
        f"import sys, toolyard.cli.main as main; main.execute({words!r});"
        "assert not {'rich', 'msgspec', 'asyncio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)


def test_help_and_completion_import_no_command():
    code = (
        "import sys, toolyard.cli.main as main; main.execute(['--help']);"
        "print([m for m in sys.modules if m.startswith('toolyard.') and m.split('.')[1] != 'kit'], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "['toolyard.cli', 'toolyard.cli.lazy', 'toolyard.cli.main']"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("toolyard up", ["up", "upstreams", "upstream"]),
        ("toolyard key r", ["revoke", "rotate", "reveal"]),
        ("toolyard up --po", ["--port"]),
    ],
)
def test_the_shell_completes_commands_and_options(words, wanted):
    asked = {"_TOOLYARD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    environ = {**os.environ, **asked}
    code = "from toolyard.cli.main import app; app(prog_name='toolyard')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == wanted, done.stderr


def test_every_function_of_the_table_is_there():
    for group in groups():
        for row in group.rows:
            if row.function:
                module, _, function = row.function.partition(":")
                assert callable(getattr(importlib.import_module(module), function))


def test_a_table_in_a_pipe_has_one_line_for_each_row_however_long(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    rows = [{"id": "a", "at": "x" * 300, "n": None}, {"id": "long-id", "at": "two words\tand\nmore", "n": True}]
    show(rows, Format.TABLE, columns=("id", "at", "n", "none"))
    assert capsys.readouterr().out.splitlines() == [
        "ID       AT" + " " * 300 + "N",
        "a        " + "x" * 300,
        "long-id  two words and" + " " * 289 + "yes",
    ]
    show({"some_name": "x" * 300, "b": [1, 2]}, Format.TABLE)
    assert capsys.readouterr().out.splitlines() == ["some name  " + "x" * 300, "b          1, 2"]


def test_what_a_field_counts_and_lists_is_shown_in_words(capsys):
    show({"upstreams": {"ready": 2}, "calls": {}, "workers": [{"index": 0, "pid": 7}, {"index": 1}]}, Format.TABLE)
    shown = ["upstreams  ready 2", "calls", "workers    index 0, pid 7", "           index 1"]
    assert capsys.readouterr().out.splitlines() == shown


def test_keys_are_listed_in_whole_lines_in_a_pipe(toolyard, here):
    (here / "toolyard.yaml").write_text("upstreams: {demo: {builtin: demo}}\n")
    toolyard("key", "create", "--name", "n" * 200)
    assert toolyard("key", "list") == 0
    assert len(toolyard.out.splitlines()) == 2
    assert "n" * 200 in toolyard.out
    toolyard("key", "list", "-o", "json")
    assert len(json.loads(toolyard.out)) == 1

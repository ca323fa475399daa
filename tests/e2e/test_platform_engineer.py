"""The journey of a new platform engineer. What the tutorial shows is typed; what it says comes of it has to come."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Snippet, snippets_of
from tests.e2e.management import Person
from tests.e2e.terminal import LIMIT_S, Terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="the page needs bash and curl"),
]

PAGE = ROOT / "docs" / "tutorial-two-teams.md"
CHINESE = ROOT / "docs" / "zh" / "tutorial-two-teams.md"
PASSWORD = "four lazy yaks sing"
ON_THE_PAGE = "http://127.0.0.1:8000"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A reader's environment: a home of its own, and `toolyard` to be found."""
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "toolyard"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m toolyard.cli.main "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (programs / "python3").symlink_to(sys.executable)
    own = {name: text for name, text in os.environ.items() if not name.startswith("TOOLYARD_")}
    path = f"{programs}{os.pathsep}{own['PATH']}"
    source = os.pathsep.join([str(ROOT / "src"), *filter(None, [own.get("PYTHONPATH")])])
    return {**own, "PATH": path, "PYTHONPATH": source, "HOME": str(tmp_path), "TOOLYARD_PORT": "0", "NO_COLOR": "1"}


@pytest.fixture
def terminals(tmp_path: Path, environ: dict[str, str]) -> Iterator[tuple[Terminal, Terminal]]:
    """The one with the gateway, which is asked to stop at the end, and the other one."""
    first, second = Terminal(tmp_path, environ), Terminal(tmp_path, environ)
    yield first, second
    second.close()
    facts = tmp_path / "two-teams" / ".toolyard" / "gateway.json"
    if facts.exists():
        os.kill(json.loads(facts.read_bytes())["pid"], signal.SIGTERM)
    first.close()


def test_the_tutorial_does_what_it_says(terminals: tuple[Terminal, Terminal], tmp_path: Path) -> None:
    first, second = terminals
    url = start(first)
    second.run("cd two-teams")
    follow(second, list(snippets_of(PAGE))[2:], url, tmp_path / "two-teams")
    again = urllib.request.Request(f"{url}/ui/setup?token=used")
    with pytest.raises(urllib.error.HTTPError, match="410"):
        urllib.request.urlopen(again, timeout=LIMIT_S)


def test_the_chinese_page_shows_the_same_commands() -> None:
    assert [(one.language, one.text) for one in snippets_of(CHINESE)] == [
        (one.language, one.text) for one in snippets_of(PAGE)
    ]


def test_two_organizations_have_people_servers_and_keys_of_their_own_and_never_meet(
    terminals: tuple[Terminal, Terminal], tmp_path: Path
) -> None:
    first, second = terminals
    url = start(first)
    program = tmp_path / "shop.py"
    program.write_text(next(one.text for one in snippets_of(PAGE) if one.language == "python"))
    ada = Person.logged_in(url, "ada", "correct horse battery")
    for slug in ("sales", "support"):
        ada.make("/organizations", {"slug": slug, "name": slug.title()})
        there = Person(url, ada.token, slug)
        there.make("/users", {"username": f"{slug}-admin", "password": PASSWORD, "roles": ["organization_admin"]})
        command = ["python3", str(program), "orders"]
        upstream = there.make("/upstreams", {"name": "shop", "kind": "mcp-stdio", "command": command})
        there.make(f"/upstreams/{upstream['id']}/approve", None)
    sales, support = (Person.logged_in(url, f"{slug}-admin", PASSWORD) for slug in ("sales", "support"))

    [upstream] = sales.ask("GET", "/upstreams").body["items"]
    assert sales.ask("POST", f"/upstreams/{upstream['id']}/approve").body["code"] == "forbidden"
    server = sales.make("/servers", {"code": "sales", "tools": ["shop/*"]})
    key = sales.make(f"/servers/{server['id']}/keys", {"name": "Assistant"})
    order = {"tool_name": "shop__find_order", "server": "sales"}
    until(lambda: sales.ask("POST", "/tools/call", order).status == 200)
    client = f"TOOLYARD_URL={url}/mcp/sales TOOLYARD_KEY={key['key']} toolyard call shop__find_order"
    until(lambda: second.run(client) == ["Order 42: two lamps, paid."])

    assert support.ask("GET", "/servers").body["items"] == []
    for path in (f"/upstreams/{upstream['id']}", f"/servers/{server['id']}", f"/keys/{key['id']}"):
        assert support.ask("GET", path).status == 404
    assert support.ask("POST", "/tools/call", order).body["code"] == "server_unknown"

    away = ada.ask("PATCH", f"/organizations/{organization_of(sales)}", {"enabled": False})
    assert away.status == 200, away.body
    until(lambda: "Order 42" not in " ".join(second.run(client)))
    until(lambda: sales.ask("POST", "/tools/call", order).status != 200)
    assert sales.ask("GET", "/upstreams").status in {401, 403}
    assert support.ask("GET", "/upstreams").status == 200


def organization_of(person: Person) -> str:
    """The organization that somebody works in."""
    found: str = person.ask("GET", "/auth/me").body["organization_id"]
    return found


def start(terminal: Terminal) -> str:
    """Do as the page says until the first administrator is there; the gateway's URL."""
    begin, link, *_ = snippets_of(PAGE)
    terminal.type(begin.text)
    url = terminal.until(r"Toolyard is running\.\s+(http://\S+)/mcp")[1]
    assert "ui/setup?token=" in link.text
    set_up(url, terminal.until(r"(/ui/setup\?token=\S+)")[1])
    return url


def until(holds: Callable[[], bool]) -> None:
    """Ask until it is so: a change is in force within a second, not at once."""
    give_up_at = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < give_up_at


def set_up(url: str, path: str) -> None:
    """Fill in the form behind the set-up link, as a browser does."""
    with urllib.request.urlopen(url + path, timeout=LIMIT_S) as page:
        form = page.read().decode()
    token = re.search(r'name="token" value="([^"]+)"', form)
    assert token is not None
    fields = {"token": token[1], "username": "ada", "password": "correct horse battery", "email": ""}
    with urllib.request.urlopen(f"{url}/ui/setup", urllib.parse.urlencode(fields).encode(), LIMIT_S) as answer:
        assert answer.status == 201


def follow(terminal: Terminal, page: list[Snippet], url: str, directory: Path) -> None:
    """Type every command of a page in its order; save what is to be saved; compare what is said to come of it."""
    for number, block in enumerate(page):
        if block.language == "python":
            (directory / "shop.py").write_text(block.text)
        elif block.language == "sh":
            expected = page[number + 1].text if page[number + 1 : number + 2] and is_output(page[number + 1]) else ""
            enter(terminal, block, block.text.replace(ON_THE_PAGE, url), expected)


def is_output(block: Snippet) -> bool:
    return block.language == "text"


def enter(terminal: Terminal, block: Snippet, text: str, expected: str) -> None:
    """Type a block. What only asks is asked again for a while: a change is in force within a second, not at once."""
    give_up_at = time.monotonic() + (LIMIT_S if only_asks(text) else 0.0)
    while True:
        said = terminal.run(text)
        if appears(expected, said):
            return
        assert time.monotonic() < give_up_at, f"{block.place}:\n{text}\nsaid:\n" + "\n".join(said)


def only_asks(text: str) -> bool:
    return not re.search(r" -d | -X |\(\)|=\$\(", text)


def appears(expected: str, said: list[str]) -> bool:
    """Whether the expected lines are among these, in their order; `…` is anything."""
    remaining = iter(said)
    patterns = [".*".join(map(re.escape, line.split("…"))) for line in expected.splitlines()]
    return all(any(re.fullmatch(pattern, line) for line in remaining) for pattern in patterns)

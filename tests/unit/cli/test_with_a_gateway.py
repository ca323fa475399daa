"""The command line as its users run it, against a gateway of its own."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from toolyard.cli.main import execute

pytestmark = pytest.mark.slow

TOOLYARD = [sys.executable, "-m", "toolyard.cli.main"]
WAIT_S = 60


class Yard:
    """A directory in which `toolyard up` was run with nothing configured."""

    def __init__(self, directory):
        self.directory = directory
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("TOOLYARD_", "MCP_"))}
        self.environ |= {"HOME": str(directory), "COLUMNS": "200"}
        self.log = (directory / "log").open("w+")
        self.process = subprocess.Popen(
            [*TOOLYARD, "up", "--port", "0"],
            cwd=directory,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.welcome = self._read_welcome()

    def _read_welcome(self):
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "Configuration:" in line:
                return "".join(lines)
        self.log.seek(0)
        raise AssertionError("".join(lines) + self.log.read())

    def run(self, *words, **environ):
        """A command in this process, as quick as tests should be."""
        out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
        os.environ.clear()
        os.environ.update({**self.environ, **environ})
        try:
            with contextlib.chdir(self.directory), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = execute(words)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def run_process(self, *words):
        """A command in a process of its own."""
        return subprocess.run(
            [*TOOLYARD, *words],
            cwd=self.directory,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def json(self, *words):
        done = self.run(*words, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def until(self, condition):
        give_up = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.log.close()


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    yard = Yard(tmp_path_factory.mktemp("yard"))
    yield yard
    assert yard.stop() == 0


def shown(yard):
    """(URL, key) as `toolyard up` printed them for pasting."""
    start, end = yard.welcome.index("{"), yard.welcome.rindex("}")
    entry = json.loads(yard.welcome[start : end + 1])["mcpServers"]["toolyard"]
    return entry["url"], entry["headers"]["Authorization"].removeprefix("Bearer ")


def test_the_first_start_writes_a_commented_file_and_shows_url_key_and_what_to_paste(yard):
    assert "# " in (yard.directory / "toolyard.yaml").read_text()
    url, key = shown(yard)
    assert url in yard.welcome.replace(json.dumps(url), "")
    done = yard.run("call", "demo__echo", "text=hello", TOOLYARD_URL=url, TOOLYARD_KEY=key)
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_a_key_that_was_changed_is_refused_with_what_to_do(yard):
    url, key = shown(yard)
    done = yard.run("tools", TOOLYARD_URL=url, TOOLYARD_KEY=key[:-1] + ("a" if key[-1] != "a" else "b"))
    assert done.returncode == 1
    assert "error [key_refused]" in done.stderr
    assert "toolyard key create" in done.stderr


def test_tools_are_printed_as_an_array_of_mcp_tool_objects(yard):
    tools = yard.json("tools")
    assert "demo__add" in [tool["name"] for tool in tools]
    assert all(tool["inputSchema"]["type"] == "object" for tool in tools)
    assert "demo__add" in yard.run("tools").stdout


def test_arguments_are_typed_by_the_tools_schema(yard):
    assert yard.run("call", "demo__add", "a=1", "b=2.5").stdout.strip() == "3.5"
    assert yard.run("call", "demo__echo", "text=1").stdout.strip() == "1"
    assert yard.run("call", "demo__echo", "--json", '{"text": "x"}').stdout.strip() == "x"
    assert yard.json("call", "demo__add", "a:=1", "b:=1")["content"][0]["text"] == "2"


def test_the_exit_code_tells_a_tools_error_from_wrong_use(yard):
    failed = yard.run_process("call", "demo__add", "--json", '{"a": 1}')
    assert failed.returncode == 1
    unknown = yard.run("call", "demo__ech", "text=x")
    assert unknown.returncode == 1
    assert "did you mean demo__echo" in unknown.stderr
    assert yard.run_process("nonsense").returncode == 2
    for words in (["call"], ["call", "demo__echo", "text"], ["call", "demo__add", "a=one"], ["nonsense"]):
        assert yard.run(*words).returncode == 2


def test_resources_and_prompts_are_listed_and_read(yard):
    assert [one["uri"] for one in yard.json("resources")] == ["demo://welcome"]
    assert "Welcome to Toolyard" in yard.run("resources", "demo://welcome").stdout
    assert [one["name"] for one in yard.json("prompts")] == ["demo__introduce"]


def test_status_servers_and_upstreams_tell_how_it_does(yard):
    assert yard.json("status")["upstreams"] == {"ready": 1}
    assert [(one["id"], one["state"]) for one in yard.json("upstreams")] == [("demo", "ready")]
    assert [one["code"] for one in yard.json("servers")] == ["default"]
    assert "ready" in yard.run("upstreams", "-o", "yaml").stdout


def test_status_asks_the_server_that_is_named(yard):
    url, key = shown(yard)
    assert "supportedVersions" in yard.run("status", "--server", "default", "-o", "json").stdout
    remote = {"TOOLYARD_URL": url, "TOOLYARD_KEY": key}
    assert "supportedVersions" in yard.run("status", **remote).stdout.replace("supported versions", "supportedVersions")
    for words in (["status", "--server", "nope"], ["tools", "--server", "nope"]):
        done = yard.run(*words)
        assert (done.returncode, "error [server_unknown]" in done.stderr) == (1, True), done.stderr
    assert yard.run("status", "--server", "nope", **remote).returncode == 1


def test_a_second_start_on_the_same_file_is_refused(yard):
    done = yard.run("up")
    assert done.returncode == 1
    assert "error [already_running]" in done.stderr


def test_an_upstream_added_and_a_key_made_are_in_force_without_a_restart(yard):
    assert yard.run("add", "--name", "other", "--", sys.executable, "-c", "raise SystemExit").returncode == 0
    yard.until(lambda: "other" in [one["id"] for one in yard.json("upstreams")])
    url, _ = shown(yard)
    key = yard.json("key", "create")["key"]
    yard.until(lambda: yard.run("tools", TOOLYARD_URL=url, TOOLYARD_KEY=key).returncode == 0)


def test_why_an_upstream_fails_is_told_under_the_table_with_its_last_words(yard):
    program = "import sys; sys.exit('line one\\nno such token')"
    assert yard.run("add", "--name", "dying", "--", sys.executable, "-c", program).returncode == 0
    yard.until(lambda: "no such token" in yard.run("upstreams").stdout)
    table, _, below = yard.run("upstreams").stdout.partition("\n\n")
    assert "failing" in next(line for line in table.splitlines() if line.startswith("dying"))
    part = below[below.index("dying: ") :]
    assert "  | line one\n  | no such token\n" in part
    row = next(one for one in yard.json("upstreams") if one["id"] == "dying")
    assert "no such token" in row["diagnosis"]


def test_an_upstream_is_checked_stopped_started_and_restarted(yard):
    assert yard.json("upstream", "check", "demo")["offers"]["tools"] > 0
    done = yard.run("upstream", "stop", "demo")
    assert (done.returncode, "stopped" in done.stdout) == (0, True)
    assert "toolyard upstream start demo" in done.stderr
    assert "enabled=false" in done.stderr
    assert {one["id"]: one["state"] for one in yard.json("upstreams")}["demo"] == "stopped"
    done = yard.run("call", "demo__echo", "text=hello")
    assert (done.returncode, "error [upstream_stopped]" in done.stderr) == (1, True)
    for operation in ("check", "wait"):
        done = yard.run("upstream", operation, "demo", "-o", "json")
        assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "stopped")
        assert "error [upstream_not_ready]: 'demo' is not ready: it was stopped" in done.stderr
    for operation in ("start", "restart", "wait"):
        assert yard.json("upstream", operation, "demo")["state"] == "ready"
    assert yard.run("call", "demo__echo", "text=hello").stdout == "hello\n"


def test_what_cannot_be_done_to_an_upstream_says_why(yard):
    for operation in ("start", "stop", "restart", "check", "wait"):
        done = yard.run("upstream", operation, "nobody")
        assert done.returncode == 1
        assert "error [upstream_unknown]: there is no upstream 'nobody'" in done.stderr
        assert "toolyard upstreams" in done.stderr
    assert yard.run("upstream", "wait", "demo", "--timeout", "soon").returncode == 2
    assert yard.run("upstream", "start").returncode == 2
    done = yard.run("upstream", "stop", "demo", TOOLYARD_URL="http://127.0.0.1:9/mcp")
    assert (done.returncode, "error [operator_only]" in done.stderr) == (1, True)


def test_an_upstream_is_changed_switched_off_and_removed_while_the_gateway_runs(yard):
    def ids():
        return [one["id"] for one in yard.json("upstreams")]

    assert yard.run("add", "--name", "mine", "--", "no-such-program-here").returncode == 0
    yard.until(lambda: "mine" in ids())
    for words in (["check", "mine"], ["wait", "mine", "--timeout", "200ms"]):
        done = yard.run("upstream", *words)
        assert (done.returncode, "was not found or cannot be run" in done.stderr) == (1, True)
    assert yard.run("upstream", "set", "mine", "enabled=false").returncode == 0
    yard.until(lambda: "mine" not in ids())
    done = yard.run("upstream", "start", "mine")
    assert (done.returncode, "error [upstream_disabled]" in done.stderr) == (1, True)
    assert yard.run("upstream", "set", "mine", "enabled=true", "builtin=demo", "-u", "command").returncode == 0
    yard.until(lambda: "mine" in ids())
    assert yard.json("upstream", "wait", "mine")["kind"] == "native"
    assert yard.run("upstream", "remove", "mine").returncode == 0
    yard.until(lambda: "mine" not in ids())


def test_a_wait_without_a_gateway_ends_in_its_time(yard, tmp_path):
    config = tmp_path / "toolyard.yaml"
    config.write_text("upstreams: {demo: {builtin: demo}}\n")
    done = yard.run("upstream", "wait", "demo", "-c", str(config), "--timeout", "300ms")
    assert (done.returncode, "error [gateway_absent]" in done.stderr) == (1, True)


def test_the_doctor_finds_the_running_gateway(yard):
    findings = yard.json("doctor")
    assert next(one for one in findings if one["check"] == "port")["finding"].startswith("a gateway is running")


def test_where_no_gateway_runs_the_file_is_told_and_calls_say_how_to_start_one(yard, tmp_path):
    (tmp_path / "toolyard.yaml").write_text("upstreams: {demo: {builtin: demo}}\n")
    config = ("--config", str(tmp_path / "toolyard.yaml"))
    assert yard.json("servers", *config)[0]["url"] == "http://127.0.0.1:8000/mcp"
    assert yard.json("upstreams", *config)[0]["state"] == "configured"
    for words in (["tools"], ["status"], ["call", "x"]):
        done = yard.run(*words, *config)
        assert done.returncode == 1
        assert "error [gateway_absent]" in done.stderr
        assert "toolyard up" in done.stderr


def test_help_and_version_answer_at_once(yard):
    assert yard.run_process("--version").stdout == yard.run("version").stdout
    for words in ([], ["key"], ["call"], ["connect"]):
        assert "Usage: toolyard" in yard.run(*words, "--help").stdout

"""Writes what is made from the code: the reference of settings, errors and command line, and `.env.example`.

`python docs/generate.py` writes them; a test fails while they differ from what this would write.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import runpy
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer.main

import toolyard
from toolyard.cli.main import app
from toolyard.cli.output import MENDS
from toolyard.contract.founding_paths import FOUNDING_PATHS
from toolyard.gateway.translate import error_answer, error_object
from toolyard.kit.errors import PlatformError
from toolyard.protocol.errors import ProtocolError, RelayedError
from toolyard.protocol.revisions import LEGACY, MODERN
from toolyard.settings import SETTINGS, Setting

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
SOURCE = Path(toolyard.__file__).resolve().parent
MADE = "<!-- Made by docs/generate.py from the code. Change the code, then run it again. -->\n"
CHECKED_SECTIONS = frozenset({"limits", "sessions", "tasks", "defaults", "app", "control", "database"})

SETTINGS_HEAD = """# Settings

Settings of the gateway itself. What it serves (`upstreams`, `servers`) is on the page
[configuration](configuration.md).

A setting is looked for in the environment (the variables of its row in their order; the first that is set wins), then
in `toolyard.yaml` under its key, then its default holds. In the file a key is a nested mapping: `gateway.port` is
`port` under `gateway`. The options `--host`, `--port`, `--public-url`, `--log-format` and `--workers` of `toolyard up`
win over all of these.

Every setting can come from the environment alone, without a file: one that has no variable with a name of its own has
`TOOLYARD_<SECTION>_<NAME>`, as `TOOLYARD_LIMITS_BODY` for `limits.body`. A variable that is empty counts as not set. All
of them with their defaults: [`.env.example`](../../.env.example). `ENVIRONMENT`, `DEBUG`, `DATABASE_URL` and the like,
which other programs read too, are the last to be looked at; a `DEBUG` that is neither true nor false is passed over.

Settings are read when the gateway starts. A change of them in the file is reported in the log and holds after a
restart; upstreams, servers and keys are taken up while it runs.

Durations are written `500ms`, `30s`, `2m`, `1h` or as plain seconds; sizes `64KiB`, `4MiB` or as plain bytes; lists as
YAML lists in the file and separated by commas in a variable; switches `true` or `false`; a command as a YAML list of
words, or in one line with quotes where a word has blanks. A secret may be in a file of its own, `file:PATH`.
"""

ENV_HEAD = """# Made by docs/generate.py from the code. Every setting with its default; uncomment what you change.
# A copy serves as the environment of a container or a service (`docker run --env-file .env`, `EnvironmentFile=`), or of a
# shell: set -a; . ./.env; set +a
"""

ERRORS_HEAD = """# Errors

Every error has a code that never changes. It is in `data.reason` of a JSON-RPC error, in `error.code` of a plain HTTP
refusal, in brackets on the command line (`error [gateway_absent]: …`), and in the label `reason` or `code` of the
[metrics](metrics.md).

Own JSON-RPC codes are HTTP's numbers (401, 429, 503 …), which lie outside the range that the specification reserves. A
client of 2026-07-28 gets the HTTP status of the second last column. Clients of older revisions take a status other than
200 for a fault of the transport, so that what concerns one request only comes to them with HTTP 200.
"""

COMMANDS_HEAD = """# Command line

`toolyard COMMAND --help` shows the same. Exit codes: 0 done, 1 failed (also when a tool reports an error), 2 wrongly
used, 130 interrupted. Errors go to standard error as `error [code]: …` with a line on what to do; see
[errors](errors.md).

Commands that ask a gateway take the one at `TOOLYARD_URL` (with the key in `TOOLYARD_KEY`), else the one that runs on
the configuration file: `--config`, else `TOOLYARD_CONFIG`, else `toolyard.yaml`, `toolyard.yml` or `config/app.yaml` in
the current directory. `--config` wins over `TOOLYARD_URL`.

Commands for the management API (`upstream create`, `server`, `user`, `settings` …) ask, in this order: the login that
`--profile` or TOOLYARD_PROFILE names (`toolyard login`); the one at `TOOLYARD_URL` with the access token in
`TOOLYARD_TOKEN`; the control plane that runs on the configuration file, as its operator; without such a file, the login
`default`. See [manage from the command line](../how-to/manage-from-the-command-line.md).
"""

FOUNDING_HEAD = """# The founding documents' own calls

Every call that the documents wrote down from which Toolyard was made works as it is written there. Some of these paths
are Toolyard's own. The others are other names for something that has a path of its own, which new programs should use;
the same login or key is needed, and the same permission. `control.aliases: false` ([settings](settings.md)) switches
them off. They are not in the document of the API.

Answers of the control plane on these paths have the shape that the documents give them,
`{"success": true, "data": …, "message": "…"}`, changes also `"effective_immediately": true`; what is refused is a
problem with a code, as elsewhere ([errors](errors.md)). A list that is longer than 200 goes on with `cursor`.

A *group* is a virtual server, a *service* an upstream. A group is made with a code (its part of the URL) that comes of
its name, and with a key, which that answer shows. `GET /groups/{server_id}/api-key` shows it again only where
`control.reveal_keys` is on and the password has just been proved; elsewhere it says `reveal_disabled`.
`PUT /tools/{tool_id}` takes `group_id`, `enabled`, `timeout_seconds`, `description` and `config_data`, and leaves as it
is what is not said; `group_id` puts the tool into that group and takes it out of no other, and `description` is how
that group shows it.
"""

EMBEDDED = "Inside your own program"
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Calls", "What the gateway itself says of a call.", ("toolyard.gateway",)),
    ("Upstreams", "A caller learns which upstream and why, never its address.", ("toolyard.gateway.upstream",)),
    ("Protocol", "Messages that are not what the protocol says.", ("toolyard.protocol",)),
    (
        "HTTP",
        'Refused before any handler runs; the answer is `{"error": {"code": …, "message": …}}`.',
        ("toolyard.gateway.refusals",),
    ),
    (
        "Management API",
        "The answers of `/api/v1`; the code is in `code` of the problem document.",
        ("toolyard.control", "toolyard.gateway.relay"),
    ),
    (
        "Command line and configuration",
        "Said on the command line or in the log.",
        (
            "toolyard.cli",
            "toolyard.control.base.migrate",
            "toolyard.supervisor",
            "toolyard.sources",
            "toolyard.contract",
            "toolyard.configuration",
            "toolyard.gateway.feed",
            "toolyard.gateway.routes",
            "toolyard.kit",
            "toolyard.policy",
            "toolyard.sdk",
        ),
    ),
    (
        "Connections to upstreams",
        "Inside the gateway; callers see the `upstream_…` error that comes of it.",
        ("toolyard.net",),
    ),
    (EMBEDDED, "Raised by [an embedded Toolyard](../how-to/embed.md), besides those of calls.", ("toolyard.embedded",)),
)


def pages() -> dict[Path, str]:
    """Every generated page with its text."""
    return {
        REFERENCE / "settings.md": settings_page(),
        REFERENCE / "errors.md": errors_page(),
        REFERENCE / "command-line.md": command_page(),
        REFERENCE / "founding-paths.md": founding_page(),
        REFERENCE / "api-routes.md": routes_page(),
        ROOT / ".env.example": env_example(),
    }


def routes_page() -> str:
    """The routes of the management API (generate_routes.py)."""
    made: str = runpy.run_path(str(ROOT / "docs" / "generate_routes.py"), run_name="generate_routes")["routes_page"]()
    return MADE + made


def founding_page() -> str:
    """The founding documents' calls."""
    told = {"own": "its own path here", "gateway": "another name", "control": "another name"}
    rows = [
        (f"`{row.pattern}`", ", ".join(row.methods), told[row.whose], row.means, ", ".join(row.lines))
        for row in FOUNDING_PATHS
    ]
    return "\n".join([MADE, FOUNDING_HEAD, _table(("path", "methods", "", "means", "requirements"), rows)])


def env_example() -> str:
    """All settings as variables of an environment, each in a comment."""
    parts = [ENV_HEAD]
    for section in dict.fromkeys(setting.section for setting in SETTINGS):
        parts.append(f"\n# --- {section} ---\n")
        parts += [_env_entry(one) for one in SETTINGS if one.section == section]
    return "".join(parts)


def _env_entry(setting: Setting) -> str:
    others = f" Also: {', '.join(setting.env[1:])}." if setting.env[1:] else ""
    told = textwrap.wrap(f"{setting.meaning}{others}", 116, initial_indent="# ", subsequent_indent="# ")
    return "\n".join(["", *told, f"#{setting.env[0]}={setting.default}", ""])


def settings_page() -> str:
    """All settings by section."""
    source = "\n".join(path.read_text() for path in sorted(SOURCE.rglob("*.py")) if path.name != "settings.py")
    parts = [MADE, SETTINGS_HEAD]
    for section in dict.fromkeys(setting.section for setting in SETTINGS):
        rows = [_setting_row(one, source) for one in SETTINGS if one.section == section]
        parts.append(f"## {section}\n\n" + _table(("key", "default", "environment", "meaning"), rows))
    return "\n".join(parts)


def _setting_row(setting: Setting, source: str) -> tuple[str, ...]:
    variables = ", ".join(f"`{name}`" for name in setting.env)
    meaning = setting.meaning
    if setting.section in CHECKED_SECTIONS and not re.search(rf"\b{setting.section}\.{setting.field}\b", source):
        meaning += " **Read and checked, but without effect yet.**"
    return f"`{setting.key}`", f"`{setting.default}`" if setting.default else "", variables, meaning


def errors_page() -> str:
    """All errors by group."""
    found = list(all_errors())
    parts = [MADE, ERRORS_HEAD]
    for title, about, _ in GROUPS:
        rows: list[tuple[str, ...]] = sorted({_error_row(cls) for cls in found if _group(cls) == title})
        columns: tuple[str, ...] = ("code", "JSON-RPC", "HTTP, modern", "HTTP, legacy", "meaning")
        if title in {"HTTP", "Management API", "Command line and configuration", "Connections to upstreams"}:
            rows = [(row[0], _status_of(row[0], title, found), row[4]) for row in rows]
            columns = ("code", "HTTP", "meaning")
        if title == EMBEDDED:
            rows, columns = [(row[0], row[4]) for row in rows], ("code", "meaning")
        if title == "Command line and configuration":
            rows = [(row[0], f"{row[2]} {MENDS.get(row[0].strip('`'), '')}".strip()) for row in rows]
            columns = ("code", "meaning")
        parts.append(f"## {title}\n\n{about}\n\n" + _table(columns, rows))
    return "\n".join(parts)


def all_errors() -> Iterator[type[PlatformError]]:
    """Every class of error that has a code of its own."""
    for module in pkgutil.walk_packages(toolyard.__path__, "toolyard."):
        if not module.name.startswith("toolyard.migrations"):  # Alembic alone can load those
            importlib.import_module(module.name)
    waiting: list[type[PlatformError]] = [PlatformError]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if "code" in cls.__dict__ and cls.__module__.startswith("toolyard."):
            yield cls


def _group(cls: type[PlatformError]) -> str:
    fitting = [
        (len(prefix), title)
        for title, _, prefixes in GROUPS
        for prefix in prefixes
        if f"{cls.__module__}.".startswith(f"{prefix}.")
    ]
    return max(fitting)[1]


def _error_row(cls: type[PlatformError]) -> tuple[str, str, str, str, str]:
    error = _instance(cls)
    rpc = "the upstream's own" if cls is RelayedError else f"`{error_object(error, MODERN)['code']}`"
    modern, legacy = (str(error_answer(error, 1, revision).status) for revision in (MODERN, LEGACY[0]))
    return f"`{cls.code}`", rpc, modern, legacy, " ".join((cls.__doc__ or "").split())


def _status_of(code: str, title: str, found: Iterable[type[PlatformError]]) -> str:
    return str(next(cls.status for cls in found if f"`{cls.code}`" == code and _group(cls) == title))


def _instance(cls: type[PlatformError]) -> PlatformError:
    """An error as its class makes it without particulars."""
    error = cls.__new__(cls)
    PlatformError.__init__(error)
    if isinstance(error, ProtocolError):
        error.request_id, error.data = None, None
    vars(error)["retry_after_s"] = 1.0  # only RateLimited is asked for it
    return error


def command_page() -> str:
    """All commands with their arguments and options."""
    parts = [MADE, COMMANDS_HEAD]
    parts += [_command_text(words, command) for words, command in all_commands() if not hasattr(command, "commands")]
    return "\n".join(parts)


def all_commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words, groups included."""
    waiting: list[tuple[str, Any]] = [("toolyard", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop(0)
        yield words, command
        waiting[:0] = [(f"{words} {name}", sub) for name, sub in getattr(command, "commands", {}).items()]


def _command_text(words: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    usage = " ".join([words, *(["[OPTIONS]"] if options else []), *map(_shown_argument, arguments)])
    text = f"## `{words}`\n\n{command.help}\n\n```text\n{usage}\n```\n"
    if arguments:
        text += "\n" + _table(("argument", "meaning"), [(f"`{_metavar(one)}`", one.help or "") for one in arguments])
    if options:
        text += "\n" + _table(("option", "meaning"), [(_option_names(one), _option_help(one)) for one in options])
    return text


def _metavar(argument: Any) -> str:
    return str(argument.name).upper().rstrip("_")


def _shown_argument(argument: Any) -> str:
    shown = _metavar(argument) + ("…" if argument.nargs == -1 else "")
    return shown if argument.required else f"[{shown}]"


def _option_names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))


def _option_help(option: Any) -> str:
    text = option.help or ""
    if isinstance(option.default, str) and option.default and "default" not in text:
        text += f" Default: `{option.default}`."
    return text


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = tuple(columns)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every page, and first of all what pages are made of: the client and its commands."""
    runpy.run_path(str(ROOT / "docs" / "generate_sdk.py"), run_name="generate_sdk")["main"]()
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

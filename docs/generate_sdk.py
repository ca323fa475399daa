"""Writes what is made from the management API's OpenAPI document: the table of operations, the types and the method
groups of `toolyard.sdk`, and the rows of the command line's groups.

`python docs/generate.py` runs it too; `--check` writes nothing and fails if something differs.
"""

from __future__ import annotations

import json
import keyword
import re
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolyard.control.base.database import Database, database_url
from toolyard.control.base.work import Works
from toolyard.control.documents import openapi_of
from toolyard.kit.clock import SystemClock
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing
from toolyard.platform_control import Ground, make_control, pieces_of
from toolyard.sdk.shape import Body, Field, Kind, Operation
from toolyard.settings import default_settings

ROOT = Path(__file__).resolve().parents[1]
SDK = ROOT / "src" / "toolyard" / "sdk"
ROWS = ROOT / "src" / "toolyard" / "cli" / "api_rows.py"
MADE = "Made by docs/generate_sdk.py from the OpenAPI document. Change the routes, then run it again."
TWO_WORDS = ("service_accounts", "service_secrets", "signing_keys", "platform_users", "platform_settings")
"""Groups whose name has an underscore; of all other operation ids the first word is the group."""

COMMANDS: Mapping[str, tuple[str, str]] = {
    "organizations": ("org", ""),
    "service_accounts": ("account", ""),
    "service_secrets": ("account", "secret-"),
    "platform_users": ("platform", "user-"),
    "platform_settings": ("platform", "settings-"),
    "signing_keys": ("platform", "signing-keys-"),
    "gateways": ("platform", "gateway-"),
    "permissions": ("role", "permission-"),
    "switches": ("settings", "switch-"),
    "settings": ("settings", ""),
    "access": ("access", ""),
    "imports": ("upstream", ""),
    "discovery": ("upstream", ""),
    "auth": ("auth", ""),
}
"""The command group, and what the verb begins with, where it is not just the group in the singular."""
VERBS = {
    "upstreams_check": "check-config",
    "upstreams_test": "try",
    "upstreams_test_result": "try-result",
    "imports_run": "import",
    "discovery_run": "discover",
}
"""Words for operations whose own is taken by a command that is something else."""
METHODS = ("get", "put", "post", "patch", "delete")
Json = dict[str, Any]


def document() -> Json:
    """The OpenAPI document of the control plane as it is composed for real."""
    with tempfile.TemporaryDirectory() as made:
        directory, clock = Path(made), SystemClock()
        works = Works(Database(database_url(f"sqlite:///{directory}/none.db")), clock)
        ring = KeyRing([KeyEncryptionKey(bytes(32))])
        ground = Ground(works, ring, default_settings(directory), directory, "http://127.0.0.1:8000", clock)
        return openapi_of(make_control(ground, pieces_of(ground)).app)


def described(found: Json) -> Iterator[tuple[str, str, Json]]:
    """Method, path and description of every operation."""
    for path, item in found["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


@dataclass(frozen=True, slots=True)
class Made:
    """An operation with what only the generated code needs: the types of what goes in and out."""

    operation: Operation
    query_types: tuple[str, ...]
    body_type: str
    answer_type: str
    item_type: str
    title: str


class Reader:
    """Reads operations and types out of one document."""

    def __init__(self, found: Json) -> None:
        self.document = found
        self.schemas: Json = found["components"]["schemas"]
        self.names = _type_names(self.schemas)

    def operations(self) -> list[Made]:
        """Every operation, by group and as the document has them."""
        made = [self._operation(*one) for one in described(self.document)]
        return sorted(made, key=lambda one: one.operation.group)

    def _operation(self, method: str, path: str, said: Json) -> Made:
        group, verb = place_of(said["operationId"])
        declared = said.get("x-toolyard", {})
        given = said.get("parameters", [])
        path_fields = tuple(re.findall(r"\{(\w+)\}", path))
        query = [one for one in given if one["in"] == "query" and one["name"] not in path_fields]
        answer = next(body for status, body in said["responses"].items() if status.startswith("2"))
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        item = self._item(schema)
        content = said.get("requestBody", {}).get("content", {})
        operation = Operation(
            id=said["operationId"],
            tag=said["tags"][0],
            group=group,
            verb=verb,
            method=method,
            path=path,
            about=_clean(said.get("description") or said.get("summary", "")),
            path_fields=path_fields,
            query=tuple(self._field(one["name"], one["schema"], one, bool(one.get("required"))) for one in query),
            body=self._body(said.get("requestBody")),
            paged=bool(item) and any(one["name"] == "cursor" for one in query),
            keyed=bool(declared.get("idempotent")),
            matched=any(one["in"] == "header" and one["name"] == "if-match" for one in given),
            upload="multipart/form-data" in content,
            download=not schema and "*/*" in answer.get("content", {}),
            open=declared.get("auth") == "open",
        )
        body = content.get("application/json", {}).get("schema")
        return Made(
            operation,
            tuple(self.type_of(_without_null(one["schema"])) for one in query),
            self.type_of(body) if body else "",
            self._answer_type(answer, schema),
            item,
            _clean(said.get("summary", "")),
        )

    def _answer_type(self, answer: Json, schema: Json | None) -> str:
        if schema is not None:
            return self.type_of(schema)
        content = answer.get("content", {})
        if not content:
            return "None"
        return "str" if any(kind.startswith("text/") for kind in content) else "bytes"

    def _item(self, schema: Json | None) -> str:
        """The type of the items of a list that comes in pages."""
        fields = self._resolved(schema or {}).get("properties", {})
        return self.type_of(fields["items"]["items"]) if {"items", "next_cursor"} <= set(fields) else ""

    def _body(self, said: Json | None) -> Body | None:
        if said is None:
            return None
        content = said["content"]
        schema = self._resolved(next(iter(content.values()))["schema"])
        needed = schema.get("required", ())
        fields = schema.get("properties", {})
        found = tuple(self._field(name, one, one, name in needed) for name, one in fields.items())
        return Body(found, bool(said.get("required")))

    def _field(self, name: str, schema: Json, said: Json, required: bool) -> Field:
        plain = self._resolved(_without_null(schema))
        choices = tuple(str(one) for one in plain.get("enum", ()))
        about = _clean(said.get("description") or schema.get("description") or "")
        return Field(name, _kind(self._resolved, plain), about, required, choices, plain.get("format") == "password")

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def type_of(self, schema: Json, prefix: str = "models.") -> str:
        """A schema as a type of Python."""
        if "$ref" in schema:
            return prefix + self.names[schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self.type_of(one, prefix) for one in schema["anyOf"]))
        if "enum" in schema or "const" in schema:
            said = schema.get("enum") or [schema["const"]]
            return f"Literal[{', '.join(_literal(one) for one in said)}]"
        return self._plain_type(schema, prefix)

    def _plain_type(self, schema: Json, prefix: str) -> str:
        names = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
        kind = schema.get("type")
        if kind in names:
            return "bytes" if schema.get("format") == "binary" else names[kind]
        if kind == "array":
            if "prefixItems" in schema:
                inner = " | ".join(dict.fromkeys(self.type_of(one, prefix) for one in schema["prefixItems"]))
            else:
                inner = self.type_of(schema.get("items", {}), prefix)
            return f"builtins.list[{inner}]"
        if kind == "object":
            more = schema.get("additionalProperties")
            return f"dict[str, {self.type_of(more, prefix) if isinstance(more, dict) else 'Any'}]"
        return "Any"


def place_of(operation_id: str) -> tuple[str, str]:
    """The group and the verb of an operation."""
    group = next((one for one in TWO_WORDS if operation_id.startswith(f"{one}_")), operation_id.partition("_")[0])
    verb = operation_id.removeprefix(f"{group}_")
    return group, {"change": "update"}.get(verb, verb)


def words_of(operation: Operation) -> tuple[str, str]:
    """The command group and the command of an operation."""
    group, prefix = COMMANDS.get(operation.group, (operation.group.removesuffix("s"), ""))
    verb = VERBS.get(operation.id, operation.verb.replace("_", "-"))
    return group, prefix + verb


def _kind(resolved: Any, schema: Json) -> Kind:
    kind = schema.get("type")
    if kind in ("string", "integer", "number", "boolean"):
        return kind  # type: ignore[no-any-return]
    items = resolved(schema.get("items", {})) if kind == "array" else {}
    return "strings" if items.get("type") == "string" and "prefixItems" not in schema else "any"


def _without_null(schema: Json) -> Json:
    others = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if not others:
        return schema
    return others[0] if len(others) == 1 else {"anyOf": others}


def _clean(text: str) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text.strip())


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _type_names(schemas: Json) -> dict[str, str]:
    short = {name: _camel(name.rpartition("__")[2] if "__schema" in name else name) for name in schemas}
    made: dict[str, str] = {}
    for name in schemas:
        parts = re.sub(r"_+\d*$", "", name).split("__")
        if len(parts) > 1 and parts[0] == "toolyard":
            made[name] = _camel(parts[2]) + _camel("_".join(parts[4:] if len(parts) > 4 else parts[-1:]))
        else:
            made[name] = short[name]
    twice = {one for one, times in Counter(made.values()).items() if times > 1}
    numbered: Counter[str] = Counter()
    for name in sorted(made):
        if made[name] in twice:
            numbered[made[name]] += 1
            made[name] += str(numbered[made[name]])
    return made


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", name) if part)


def operations_module(made: Sequence[Made]) -> str:
    """operations.py: the table."""
    rows = [f"    {_value(one.operation)}," for one in made]
    return "\n".join(
        [
            f'"""Every operation of the management API.\n\n{MADE}\n"""\n',
            "from __future__ import annotations\n",
            "from collections.abc import Mapping\n",
            "from toolyard.sdk.shape import Body, Field, Operation\n",
            "_ALL = (",
            *rows,
            ")",
            "OPERATIONS: Mapping[str, Operation] = {one.id: one for one in _ALL}",
            '"""By id."""\n',
        ]
    )


def _value(one: Any) -> str:
    if isinstance(one, (Operation, Body, Field)):
        fields = [(name, getattr(one, name)) for name in type(one).__slots__]
        told = [f"{name}={_value(value)}" for name, value in fields if value not in ("", (), None, False)]
        return f"{type(one).__name__}({', '.join(told if not isinstance(one, Body) else _body_args(one))})"
    if isinstance(one, tuple):
        return f"({''.join(f'{_value(part)}, ' for part in one)})"
    return _literal(one)


def _body_args(one: Body) -> list[str]:
    return [_value(one.fields), *([] if one.required else ["required=False"])]


def models_module(reader: Reader) -> str:
    """models.py: a TypedDict for each schema of the document."""
    parts = [
        f'"""What the management API takes and answers, as types.\n\n{MADE}\n"""\n',
        "from __future__ import annotations\n",
        "import builtins",
        "from typing import Any, Literal, NotRequired, TypedDict\n",
    ]
    for name in sorted(reader.schemas, key=lambda one: reader.names[one]):
        schema, shown = reader.schemas[name], reader.names[name]
        if "properties" in schema:
            parts.append(_typed_dict(reader, shown, schema))
        else:
            parts.append(f"{shown} = {reader.type_of(schema, '')}\n")
    return "\n".join(parts)


def _typed_dict(reader: Reader, name: str, schema: Json) -> str:
    needed = schema.get("required", ())
    fields = {
        key: kind if key in needed else f"NotRequired[{kind}]"
        for key, kind in ((key, reader.type_of(one, "")) for key, one in schema["properties"].items())
    }
    if not all(key.isidentifier() and not keyword.iskeyword(key) for key in fields):
        listed = ", ".join(f'{json.dumps(key)}: "{kind}"' for key, kind in fields.items())
        return f'{name} = TypedDict("{name}", {{{listed}}})\n'
    about = _docstring(_clean(schema.get("description", "")) or f"A {name}.", 4)
    return "\n".join(
        [f"class {name}(TypedDict):", about, "", *(f"    {key}: {kind}" for key, kind in fields.items()), ""]
    )


def groups_module(made: Sequence[Made], *, asynchronous: bool) -> str:
    """api_sync.py or api_async.py: a class for each group, and one that has them all."""
    manner, word = ("async", "Async") if asynchronous else ("sync", "")
    iterator = "AsyncIterator" if asynchronous else "Iterator"
    groups = list(dict.fromkeys(one.operation.group for one in made))
    parts = [
        f'"""The operations of the management API as methods that {"are awaited" if asynchronous else "wait"}.\n\n{MADE}\n"""\n',
        "from __future__ import annotations\n",
        "import builtins",
        f"from collections.abc import {iterator}",
        "from typing import Any, Literal\n",
        "from toolyard.sdk import models",
        f"from toolyard.sdk.group import {word}Caller, {word}Group",
        "from toolyard.sdk.requests import Upload\n",
    ]
    for group in groups:
        parts.append(f"class {_camel(group)}({word}Group):")
        parts.append(f'    """Operations of `{group}`."""\n')
        for one in made:
            if one.operation.group == group:
                parts += _methods(one, manner == "async")
    parts.append(f"class {word}Api:")
    parts.append('    """All groups of operations."""\n')
    parts.append(f"    def __init__(self, caller: {word}Caller) -> None:")
    parts += [f"        self.{group} = {_camel(group)}(caller)" for group in groups]
    return "\n".join([*parts, ""])


def _methods(one: Made, asynchronous: bool) -> list[str]:
    operation = one.operation
    name = f"{operation.verb}_" if keyword.iskeyword(operation.verb) else operation.verb
    before, wait = ("async ", "await ") if asynchronous else ("", "")
    answer = one.answer_type
    call = f"{wait}self._caller.value({', '.join([_literal(operation.id), *_passed(operation)])})"
    head = f"    {before}def {name}({', '.join(['self', *_signature(one)])}) -> {answer}:"
    lines = [head, _docstring(operation.about or one.title, 8)]
    lines += (
        [f"        {call}"] if answer == "None" else [f"        answer: {answer} = {call}", "        return answer"]
    )
    lines.append("")
    if operation.paged:
        lines += _all(one, name, asynchronous)
    return lines


def _all(one: Made, name: str, asynchronous: bool) -> list[str]:
    """The method that goes on from page to page."""
    operation = one.operation
    iterator = "AsyncIterator" if asynchronous else "Iterator"
    given = [part for part in _signature(one) if not part.startswith("cursor:")]
    passed = [part for part in _passed(operation, without="cursor")]
    every = "all" if name == "list" else f"all_{name}"
    return [
        f"    def {every}({', '.join(['self', *given])}) -> {iterator}[{one.item_type}]:",
        _docstring(f"Every item of `{name}`, page after page. `limit` is the size of a page.", 8),
        f"        return self._caller.items({', '.join([_literal(operation.id), *passed])})",
        "",
    ]


def _signature(one: Made) -> list[str]:
    operation = one.operation
    parts = [f"{name}: str" for name in operation.path_fields]
    if operation.upload:
        parts.append("file: Upload")
    elif one.body_type:
        parts.append(f"given: {one.body_type}")
    named = []
    for field, kind in zip(operation.query, one.query_types, strict=True):
        named.append(f"{_argument(field.name)}: {kind}" + ("" if field.required else " | None = None"))
    if operation.upload and operation.body is not None:
        named += [f"{field.name}: str | None = None" for field in operation.body.fields if field.name != "file"]
    if operation.matched:
        named.append("if_match: str | None = None")
    if operation.keyed:
        named.append("idempotency_key: str | None = None")
    return [*parts, "*", *named] if named else parts


def _passed(operation: Operation, *, without: str = "") -> list[str]:
    parts = []
    if operation.path_fields:
        parts.append("path={" + ", ".join(f'"{name}": {name}' for name in operation.path_fields) + "}")
    query = [field.name for field in operation.query if field.name != without]
    if query:
        parts.append("query={" + ", ".join(f'"{name}": {_argument(name)}' for name in query) + "}")
    if operation.upload and operation.body is not None:
        parts.append("file=file")
        more = [field.name for field in operation.body.fields if field.name != "file"]
        parts.append("body={" + ", ".join(f'"{name}": {name}' for name in more) + "}")
    elif operation.body is not None:
        parts.append("body=given")
    if operation.matched:
        parts.append("if_match=if_match")
    if operation.keyed:
        parts.append("idempotency_key=idempotency_key")
    return parts


def _argument(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _docstring(text: str, indent: int) -> str:
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    room = " " * indent
    paragraphs = ["\n".join(textwrap.wrap(one, 116 - indent)) for one in text.split("\n\n")]
    return textwrap.indent(f'"""{chr(10).join(chr(10).join([one, ""]) for one in paragraphs).strip()}"""', room)


def rows_module(made: Sequence[Made]) -> str:
    """cli/api_rows.py: what help lists, without the rest of the table."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for one in made:
        group, verb = words_of(one.operation)
        groups.setdefault(group, []).append((verb, one.operation.id, first_paragraph(one.operation.about)))
    for group, rows in groups.items():
        twice = [verb for verb, times in Counter(verb for verb, _, _ in rows).items() if times > 1]
        if twice:
            raise ValueError(f"two operations would be the command `toolyard {group} {twice[0]}`")
    lines = [
        f'"""The commands that are operations of the management API: group, command, operation, summary.\n\n{MADE}\n"""\n',
        "from __future__ import annotations\n",
        "from collections.abc import Mapping\n",
        "API_ROWS: Mapping[str, tuple[tuple[str, str, str], ...]] = {",
    ]
    for group in sorted(groups):
        lines.append(f"    {_literal(group)}: (")
        lines += [f"        ({', '.join(map(_literal, row))})," for row in groups[group]]
        lines.append("    ),")
    return "\n".join([*lines, "}", ""])


def first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    reader = Reader(document())
    made = reader.operations()
    found = {
        SDK / "operations.py": operations_module(made),
        SDK / "models.py": models_module(reader),
        SDK / "api_sync.py": groups_module(made, asynchronous=False),
        SDK / "api_async.py": groups_module(made, asynchronous=True),
        ROWS: rows_module(made),
    }
    return {path: formatted(path, text) for path, text in found.items()}


def formatted(path: Path, text: str) -> str:
    """A file as ruff would leave it."""
    ruff = [str(Path(sys.executable).parent / "ruff")]
    mend = [*ruff, "check", "--quiet", "--fix-only", "--select", "I,F401", "--stdin-filename", str(path), "-"]
    form = [*ruff, "format", "--quiet", "--stdin-filename", str(path), "-"]
    for command in (mend, form):
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def main() -> int:
    """Write the files, or with --check say which differ."""
    made = files()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not what the routes say now: python docs/generate.py\n")
        return int(bool(stale))
    for path in stale:
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Single fields of upstreams, changed in the text of the operator's file. Nothing else in it moves: comments, order,
quotes, line breaks. What comes out is read again and compared; a file whose form does not allow the change is left
alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml

from toolyard.cli.yaml_edit import FileNotEditable

Path = tuple[str, ...]
Node = Any
"""A node of PyYAML, whose types do not tell its fields."""
Pair = tuple[Node, Node]
ENTRY: Final = 2
"""How deep an entry of `upstreams` is."""

_OF_A_TOOL: Final = re.compile(r"(tools)\.(.+)\.(enabled|timeout|task|tags)")


def field_path(name: str) -> Path:
    """The keys that `name` leads through: "timeout", "headers.X-A", "tools.TOOL", "tools.TOOL.timeout"."""
    of_a_tool = _OF_A_TOOL.fullmatch(name)
    return of_a_tool.groups() if of_a_tool else tuple(name.split(".", 1))


def field_value(text: str) -> Any:
    """The text itself, or for `[…]` and `{…}` what they are in YAML. Raises ValueError."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  (makes strings, lists and mappings only)
    except yaml.YAMLError:
        raise ValueError(f"'{text}' is neither a list [a, b] nor a mapping {{a: b}}") from None


def with_fields(text: str, upstream_id: str, fields: Iterable[tuple[Path, Any]], absent: Iterable[Path] = ()) -> str:
    """The text of a configuration file with these fields of an upstream set, and those that are `absent` taken out.
    Raises FileNotEditable."""
    for path, value in fields:
        text = _edited(text, ("upstreams", upstream_id, *path), value)
    for path in absent:
        text = _edited(text, ("upstreams", upstream_id, *path), None)
    return text


def without_upstream(text: str, upstream_id: str) -> str:
    """The text of a configuration file without an upstream. Raises FileNotEditable."""
    return _edited(text, ("upstreams", upstream_id), None)


def _edited(text: str, path: Path, value: Any) -> str:
    """The text with `value` at `path`, or nothing there if it is None."""
    wanted = _read(text)
    _put(wanted, path, value)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    edited = _removed(text, root, path) if value is None else _replaced(text, root, path, value)
    if _read(edited) != wanted:
        raise FileNotEditable(
            f"{'.'.join(path)} cannot be changed by a command as the file is written; edit it by hand"
        )
    return edited


def _read(text: str) -> Any:
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  (makes strings, lists and mappings only)
    except (yaml.YAMLError, RecursionError) as error:
        raise FileNotEditable(f"the file cannot be changed by a command: {error}") from None


def _put(content: Any, path: Path, value: Any) -> None:
    """Do to the content what is to be done to the text. A mapping in an entry that gets empty goes too."""
    holders = []
    for key in path[:-1]:
        if not isinstance(content, dict) or (value is None and key not in content):
            raise FileNotEditable(f"{'.'.join(path)} is not in the file")
        holders.append(content)
        content[key] = content.get(key) or {}
        content = content[key]
    if not isinstance(content, dict) or (value is None and path[-1] not in content):
        raise FileNotEditable(f"{'.'.join(path)} is not in the file")
    if value is not None:
        content[path[-1]] = value
        return
    del content[path[-1]]
    while not content and len(holders) > ENTRY:
        content = holders.pop()
        del content[path[len(holders)]]


def _replaced(text: str, root: Node, path: Path, value: Any) -> str:
    mapping, depth = root, 0
    while True:
        pair = _pair(mapping, path[depth])
        if pair is None:
            break
        depth += 1
        if depth == len(path) or not isinstance(pair[1], yaml.MappingNode):
            return _with_value(text, pair, _nested(path[depth:], value))
        mapping = pair[1]
    return _with_pair(text, mapping, path[depth], _nested(path[depth + 1 :], value))


def _removed(text: str, root: Node, path: Path) -> str:
    mapping, pairs = root, []
    for name in path:
        pair = _pair(mapping, name)
        if pair is None:
            raise FileNotEditable(f"{'.'.join(path)} is not in the file")
        pairs.append((mapping, pair))
        mapping = pair[1]
    mapping, (key, value) = pairs.pop()
    while len(mapping.value) == 1 and len(pairs) > ENTRY:
        mapping, (key, value) = pairs.pop()
    if len(mapping.value) == 1:
        return _with_value(text, pairs[-1][1], {})
    if mapping.flow_style:
        kept = {one.value: _plain(node) for one, node in mapping.value if one is not key}
        return text[: mapping.start_mark.index] + _inline(kept) + text[mapping.end_mark.index :]
    begin = text.rfind("\n", 0, key.start_mark.index) + 1
    end = text.find("\n", _end(text, value))
    return text[:begin] + (text[end + 1 :] if end >= 0 else "")


def _with_value(text: str, pair: Pair, value: Any) -> str:
    """The text with another value behind a key."""
    key, old = pair
    if isinstance(old, yaml.ScalarNode) and old.style not in ("|", ">") and old.start_mark.index < old.end_mark.index:
        begin, lead = old.start_mark.index, ""
    else:
        begin, lead = text.index(":", key.end_mark.index) + 1, " "
    return text[:begin] + lead + _inline(value) + text[_end(text, old) :]


def _with_pair(text: str, mapping: Node, name: str, value: Any) -> str:
    """The text with one more key at the end of a mapping that has some."""
    line = f"{_inline(name)}: {_inline(value)}"
    if mapping.flow_style:
        end = mapping.end_mark.index - 1
        return text[:end].rstrip() + (", " if mapping.value else "") + line + text[end:]
    column = mapping.value[0][0].start_mark.column
    end = text.find("\n", _end(text, mapping))
    before, after = (text, "") if end < 0 else (text[:end], text[end:])
    return f"{before}\n{' ' * column}{line}{after}"


def _pair(mapping: Node, key: str) -> Pair | None:
    if not isinstance(mapping, yaml.MappingNode):
        raise FileNotEditable(f"what holds '{key}' is not a mapping")
    return next((pair for pair in mapping.value if pair[0].value == key), None)


def _end(text: str, node: Node) -> int:
    """The index behind the last character of a node, comments after it left out."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    index = int(node.end_mark.index)
    block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return len(text[:index].rstrip()) if block else index


def _nested(path: Path, value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _plain(node: Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    return [_plain(one) for one in node.value] if isinstance(node, yaml.SequenceNode) else node.value


def _inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_inline(one) for one in value) + "]"
    return value if _stands_alone(value) else json.dumps(value, ensure_ascii=False)


def _stands_alone(text: str) -> bool:
    """True if the text needs no quotes, wherever it is."""
    try:
        return bool(_read(f"[{text}]") == [text] and _read(f"a: {text}") == {"a": text})
    except FileNotEditable:
        return False

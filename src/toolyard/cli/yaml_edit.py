"""Changes to the operator's file that keep everything else in it: comments, order, quotes."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

from toolyard.kit.errors import PlatformError

_UNDER_A_KEY = r"^( *)[^ #\n-][^\n]*:[ ]*(?:#[^\n]*)?\n(?:[ ]*(?:#[^\n]*)?\n)*\1"


class FileNotEditable(PlatformError):
    """The configuration file cannot be changed by a command; edit it by hand."""

    code = "file_not_editable"
    status = 409


def with_upstreams(text: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a configuration file with further entries under `upstreams`, right after the last one there. Raises
    FileNotEditable."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    mapping, offset = _indents(text)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    try:
        content = yaml.load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise FileNotEditable(f"the file cannot be changed by a command: {error}") from None
    if content is None:
        return _joined(text, _dumped(yaml, {"upstreams": _plain(entries)}))
    if not isinstance(content, dict):
        raise FileNotEditable
    inserted = _with_lines(text, _dumped(yaml, _plain(entries)), mapping)
    if inserted is not None and upstream_ids(inserted) == [*upstream_ids(text), *entries]:
        return inserted
    if content.get("upstreams") is None:
        content["upstreams"] = {}
    content["upstreams"].update(_plain(entries))
    return _dumped(yaml, content)


def _with_lines(text: str, addition: str, step: int) -> str | None:
    """The text with the lines of `addition` put behind the last entry of `upstreams`; nothing else in it moves. None
    where that is not written in lines (`{…}`)."""
    place = _after_upstreams(text, step)
    if place is None:
        return None
    index, column = place
    end = text.find("\n", index)
    before, after = (text + "\n", "") if end < 0 else (text[: end + 1], text[end + 1 :])
    return before + indent(addition, " " * column) + after


def _after_upstreams(text: str, step: int) -> tuple[int, int] | None:
    """(index of the last character that belongs to an entry of `upstreams`, column of those entries)."""
    import yaml

    events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
    root = next(event for event in events if isinstance(event, yaml.NodeEvent))
    if not isinstance(root, yaml.MappingStartEvent) or root.flow_style:
        return None
    while isinstance(key := next(events), yaml.ScalarEvent):
        value: Any = next(events)
        if key.value != "upstreams":
            _last_mark(events, value)
        elif isinstance(value, yaml.ScalarEvent) and value.value == "":
            return _last_mark(events, value).index, step
        elif isinstance(value, yaml.MappingStartEvent) and not value.flow_style:
            column = first.column if (first := value.start_mark) else step
            last = _last_mark(events, value)
            # A block scalar ends where the next line with something on it begins.
            return (last.index if last.column else len(text[: last.index].rstrip())), column
        else:
            return None
    return None


def _last_mark(events: Iterator[Any], event: Any) -> Any:
    """Where the last token of the node that begins with `event` ends, comments after it left out."""
    import yaml

    last = event.end_mark
    if not isinstance(event, yaml.CollectionStartEvent):
        return last
    while not isinstance(inner := next(events), yaml.CollectionEndEvent):
        last = _last_mark(events, inner)
    return inner.end_mark if event.flow_style else last


def upstream_ids(text: str) -> list[str]:
    """The ids under `upstreams` in a configuration file, as far as it can be read."""
    from toolyard.gateway.feed.yaml_marks import read_marked

    root = read_marked(text, "", [])
    upstreams = root.value.get("upstreams") if root and isinstance(root.value, Mapping) else None
    return list(upstreams.value) if upstreams and isinstance(upstreams.value, Mapping) else []


def write_config(path: Path, text: str) -> None:
    """Put a text that is a valid configuration into `path`. Raises ConfigRejected and then changes nothing."""
    from toolyard.gateway.feed.file import load_text
    from toolyard.kit.files import write_atomically

    load_text(text, path, environ=os.environ, keys={}, revision=1)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    write_atomically(path, text.encode(), mode=mode, point="config")


def _indents(text: str) -> tuple[int, int]:
    """How far the file indents a mapping under its key, and the dash of a list under its key."""
    mapping = re.search(_UNDER_A_KEY + r"( +)[^ #\n-]", text, re.MULTILINE)
    dashes = re.search(_UNDER_A_KEY + r"( *)- ", text, re.MULTILINE)
    return (len(mapping[2]) if mapping else 2), (len(dashes[2]) if dashes else 2)


def _dumped(yaml: Any, content: Any) -> str:
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def _joined(text: str, addition: str) -> str:
    return (text.rstrip("\n") + "\n\n" if text.strip() else "") + addition


def _plain(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: dict(entry) for name, entry in entries.items()}

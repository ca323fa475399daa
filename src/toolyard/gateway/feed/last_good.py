"""The last good configuration, kept in the data directory, so that a gateway can start while its file is broken.

What is kept is the text of the file, not what was made of it: references to variables and credential files stay
references and are resolved again when the text is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from toolyard.contract.snapshot import KeyRecord
from toolyard.gateway.feed.file import Loaded, load_text
from toolyard.kit.files import write_atomically

FILE = "snapshot.json"


def save_last_good(data_dir: Path, config: Path, text: str, digest: str) -> None:
    """Keep `text`, the content of the file `config`, as the last good one. Raises OSError."""
    content = {"version": 1, "config": str(config.absolute()), "digest": digest, "text": text}
    write_atomically(data_dir / FILE, json.dumps(content).encode(), point="last_good")


def load_last_good(
    data_dir: Path, config: Path, *, environ: Mapping[str, str], keys: Mapping[str, KeyRecord], host: str | None = None
) -> Loaded | None:
    """The last good configuration of the file `config` at revision 1, or None if none is kept. Raises ConfigRejected if
    it no longer holds (a variable it refers to is gone)."""
    try:
        content = json.loads((data_dir / FILE).read_bytes())
        kept_for, text = content["config"], content["text"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if kept_for != str(config.absolute()) or not isinstance(text, str):
        return None
    return load_text(text, config, environ=environ, keys=keys, revision=1, host=host)

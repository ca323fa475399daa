"""Draft the next migration from how the tables differ: `python -m toolyard.migrations.draft "What it does"`.

What it writes is to be read and mended: titles are sentences, owned tables are isolated, data is moved by hand.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy.engine import make_url

from toolyard.control.base import migrate


def main(title: str) -> int:
    """Write the draft and say where it is."""
    with tempfile.TemporaryDirectory() as directory:
        url = make_url(f"sqlite:///{directory}/draft.db")
        newest = migrate.head()
        if newest != "None":
            migrate.upgrade(url)
        number = f"{int(newest) + 1:04d}" if newest != "None" else "0001"
        with migrate.connected(url) as connection:
            config = migrate.alembic_config()
            config.attributes["connection"] = connection
            command.revision(config, message=title, autogenerate=True, rev_id=number)
    for path in Path(__file__).parent.glob(f"versions/{number}_*.py"):
        text = re.sub(r"\n *# ###.*", "", path.read_text())
        path.write_text(text)
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

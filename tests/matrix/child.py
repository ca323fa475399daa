"""The matrix's upstream on standard input and output: `python child.py ERA DIRECTORY NOTES_PORT`."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.matrix.conversation import Conversation
from tests.matrix.offers import Json
from tests.matrix.program import Program


async def main(era: str, directory: Path, notes_port: int) -> None:
    """Serve one client until its messages end."""
    notes = socket.create_connection(("127.0.0.1", notes_port))

    def note(what: str, about: Any) -> None:
        notes.sendall(json.dumps([what, about]).encode() + b"\n")

    async def send(message: Json) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    conversation = Conversation(Program(era, directory, note), send)
    async for line in reader:
        conversation.take(json.loads(line))
    await conversation.end()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))

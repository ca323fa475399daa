"""A program that ends when the one that started it does, however that went: its end of a socket says so."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

LAST_S: Final = 15.0


def watch_parent(descriptor: int, on_gone: Callable[[], None], *, last_s: float = LAST_S) -> None:
    """Call `on_gone`, in another thread, when nobody holds the other end of the socket `descriptor` any more. Whoever
    has not ended `last_s` seconds later is ended. The socket is not handed on to programs that are started from now
    on."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003  (the system's own)

    def watch() -> None:
        try:
            while os.read(descriptor, 64):
                pass
        except OSError:
            pass
        on_gone()
        threading.Event().wait(last_s)
        os._exit(1)

    threading.Thread(target=watch, name="toolyard-parent", daemon=True).start()

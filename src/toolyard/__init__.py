"""Toolyard: one URL for every team or agent, tools from anywhere behind it.

`from toolyard import Toolyard` has a gateway inside your own program; see `toolyard.embedded`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolyard.embedded import AsyncToolyard, Toolyard

__all__ = ["AsyncToolyard", "Toolyard", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """What takes long to load is loaded when it is asked for: every command of `toolyard` goes through here."""
    if name not in {"AsyncToolyard", "Toolyard"}:
        raise AttributeError(f"module 'toolyard' has no attribute {name!r}")
    import toolyard.embedded  # noqa: PLC0415

    return getattr(toolyard.embedded, name)

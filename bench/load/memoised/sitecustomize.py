"""On a peer's PYTHONPATH: keeps the TLS contexts that it would make anew for every call, by what they are made of."""

import functools
import ssl

ssl.create_default_context = functools.lru_cache(maxsize=64)(ssl.create_default_context)  # type: ignore[assignment]  # a wrapper is no function to mypy

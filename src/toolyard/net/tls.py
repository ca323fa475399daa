"""TLS towards peers: one shared context for each policy, never one for a connection (making one takes about 20 ms)."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass

from toolyard.net.errors import TlsRefused


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """How a peer's certificate is judged. `ca_file` replaces the system's roots; `verify=False` accepts any."""

    verify: bool = True
    ca_file: str | None = None


@functools.lru_cache(maxsize=64)
def ssl_context(policy: TlsPolicy) -> ssl.SSLContext:
    """The context for `policy`, the same object each time. Raises TlsRefused when the CA file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=policy.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise TlsRefused("The CA file of this upstream cannot be read.", ca_file=policy.ca_file) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not policy.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

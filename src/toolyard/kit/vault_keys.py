"""Where the vault keys come from: the setting or environment, a command, or a file of the data directory.

In each of them they are written as `quantities.keys` reads them, the newest first. The file is made on first use; a key
that is lost cannot be made again, so it belongs into a backup, and not into the same one as the database.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolyard.kit.errors import PlatformError
from toolyard.kit.files import write_atomically
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyEncryptionKeyMissing, KeyRing
from toolyard.kit.quantities import keys
from toolyard.kit.secret import Secret
from toolyard.kit.secret_files import KEY_BYTES, locked, read_or_make, read_private

VAULT_KEY_FILE = "vault.key"
COMMAND_S = 30.0
MAX_OUTPUT_BYTES = 64 * 1024


class VaultKeyUnusable(PlatformError):
    """What should give the vault key gives something else."""

    code = "vault_key_unusable"


@dataclass(frozen=True, slots=True)
class VaultKeySource:
    """Where to look: what is `given` wins over the `command`, which wins over the file in `data_dir`."""

    data_dir: Path
    given: Secret | None = None
    command: tuple[str, ...] = ()


def load_vault_keys(source: VaultKeySource, *, check: str | None) -> KeyRing:
    """The vault keys. `check` is the database's check value, None while it has no sealed secret: only then a key may be
    made. Raises KeyEncryptionKeyMissing, KeyEncryptionKeyWrong, VaultKeyUnusable, SealBroken, SecretFileExposed,
    SecretFileUnusable, OSError; it blocks while the command runs."""
    ring = _read(source, may_make=check is None)
    if check is not None:
        ring.verify(check)
    return ring


def read_vault_keys(source: VaultKeySource) -> KeyRing:
    """As `load_vault_keys`, for whoever has no check value and makes no key: a gateway."""
    return _read(source, may_make=False)


def add_vault_key(data_dir: Path) -> None:
    """Put a new key before those of the file; the data keys are then to be wrapped anew. Raises
    KeyEncryptionKeyMissing, SecretFileExposed, SecretFileUnusable, OSError, and then the file is as it was."""
    path = data_dir / VAULT_KEY_FILE
    with locked(data_dir):
        content = read_private(path)
        if content is None:
            raise KeyEncryptionKeyMissing(f"{path} is missing")
        write_atomically(path, _new_line() + content, point="vault_key")


def _read(source: VaultKeySource, *, may_make: bool) -> KeyRing:
    if source.given is not None:
        return _ring(source.given.reveal(), "the vault key in the settings")
    if source.command:
        return _ring(_output(source.command), f"what the command '{source.command[0]}' writes")
    path = source.data_dir / VAULT_KEY_FILE
    return _ring(_content(path, may_make=may_make), str(path))


def _content(path: Path, *, may_make: bool) -> str:
    def make() -> bytes:
        if not may_make:
            raise KeyEncryptionKeyMissing(
                f"{path} is missing, without which no secret in the database opens; restore it from a backup"
            )
        return _new_line()

    return read_or_make(path, make, point="vault_key").decode("ascii", "replace")


def _new_line() -> bytes:
    return f"{secrets.token_hex(KEY_BYTES)}\n".encode()


def _output(command: Sequence[str]) -> str:
    """What the operator's command writes; no shell reads it, and what it says on standard error goes to ours."""
    try:
        done = subprocess.run(  # noqa: S603  # the operator's own settings name it
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_S, check=False
        )
    except OSError as error:
        raise VaultKeyUnusable(f"the command '{command[0]}' does not start: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise VaultKeyUnusable(f"the command '{command[0]}' took longer than {COMMAND_S:.0f} seconds") from None
    if done.returncode != 0:
        raise VaultKeyUnusable(f"the command '{command[0]}' ended with {done.returncode}")
    return done.stdout[:MAX_OUTPUT_BYTES].decode("ascii", "replace")


def _ring(text: str, source: str) -> KeyRing:
    try:
        return KeyRing([KeyEncryptionKey(key) for key in keys(text)])
    except ValueError as error:
        raise VaultKeyUnusable(f"{source}: {error}") from None

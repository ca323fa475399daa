"""Where vault keys come from, and that a wrong or lost one is found before anything is written (attack book SEC-07)."""

import base64
import stat
import sys

import pytest

from toolyard.kit import faults
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyEncryptionKeyMissing, KeyEncryptionKeyWrong
from toolyard.kit.secret import Secret
from toolyard.kit.secret_files import SecretFileExposed
from toolyard.kit.vault_keys import VaultKeySource, VaultKeyUnusable, add_vault_key, load_vault_keys

HEX = "ab" * 32
ID = KeyEncryptionKey(bytes.fromhex(HEX)).id


def writes(text, code=0):
    return (sys.executable, "-c", f"import sys; sys.stdout.write({text!r}); sys.exit({code})")


def test_without_anything_else_a_file_for_its_owner_only_is_made_and_read_again(tmp_path):
    source = VaultKeySource(tmp_path)
    made = load_vault_keys(source, check=None)
    assert stat.S_IMODE((tmp_path / "vault.key").stat().st_mode) == 0o600
    assert load_vault_keys(source, check=made.check_value()).current.id == made.current.id


@pytest.mark.parametrize(
    "text", [HEX, f"\n{HEX}\n", base64.b64encode(bytes.fromhex(HEX)).decode(), f"{HEX},{'00' * 32}"]
)
def test_a_key_that_is_given_or_that_a_command_writes_needs_no_file(tmp_path, text):
    for source in (VaultKeySource(tmp_path, Secret(text)), VaultKeySource(tmp_path, None, writes(text))):
        assert load_vault_keys(source, check=None).current.id == ID
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_wins_over_the_command_and_the_command_over_the_file(tmp_path):
    other = load_vault_keys(VaultKeySource(tmp_path), check=None).current.id
    both = VaultKeySource(tmp_path, Secret(HEX), writes("00" * 32))
    assert load_vault_keys(both, check=None).current.id == ID
    assert load_vault_keys(VaultKeySource(tmp_path, None, writes(HEX)), check=None).current.id == ID != other


def test_a_wrong_key_is_refused_at_the_start_and_nothing_is_written(tmp_path):
    check = load_vault_keys(VaultKeySource(tmp_path / "a"), check=None).check_value()
    elsewhere = load_vault_keys(VaultKeySource(tmp_path / "b"), check=None)
    before = sorted(tmp_path.rglob("*"))
    for source in (VaultKeySource(tmp_path / "b"), VaultKeySource(tmp_path / "c", Secret(HEX))):
        with pytest.raises(KeyEncryptionKeyWrong, match="this database needs the vault key"):
            load_vault_keys(source, check=check)
    assert sorted(tmp_path.rglob("*")) == before
    assert load_vault_keys(VaultKeySource(tmp_path / "b"), check=None).current.id == elsewhere.current.id


def test_a_lost_key_is_told_and_no_other_is_made_in_its_place(tmp_path):
    check = load_vault_keys(VaultKeySource(tmp_path), check=None).check_value()
    (tmp_path / "vault.key").unlink()
    with pytest.raises(KeyEncryptionKeyMissing, match=r"vault\.key is missing.*restore it from a backup"):
        load_vault_keys(VaultKeySource(tmp_path), check=check)
    assert not (tmp_path / "vault.key").exists()


@pytest.mark.parametrize("text", ["", " \n", "secret-in-plain", "zz" * 32, "ab" * 31, f"{HEX},x", "é" * 64])
def test_anything_that_is_no_key_is_refused_without_repeating_it(tmp_path, text):
    (tmp_path / "vault.key").write_text(text)
    (tmp_path / "vault.key").chmod(0o600)
    for source in (
        VaultKeySource(tmp_path, Secret(text)),
        VaultKeySource(tmp_path, None, writes(text)),
        VaultKeySource(tmp_path),
    ):
        with pytest.raises(VaultKeyUnusable) as refused:
            load_vault_keys(source, check=None)
        assert not text.strip() or text.strip() not in refused.value.message


def test_a_command_that_fails_or_does_not_start_is_named(tmp_path):
    with pytest.raises(VaultKeyUnusable, match=f"'{sys.executable}' ended with 3"):
        load_vault_keys(VaultKeySource(tmp_path, None, writes(HEX, 3)), check=None)
    with pytest.raises(VaultKeyUnusable, match="'no-such-program' does not start: No such file"):
        load_vault_keys(VaultKeySource(tmp_path, None, ("no-such-program", HEX)), check=None)


def test_no_shell_reads_the_command(tmp_path):
    argv = (sys.executable, "-c", "import sys; sys.stdout.write(sys.argv[1][-64:])", f"$(touch {tmp_path}/x);{HEX}")
    assert load_vault_keys(VaultKeySource(tmp_path, None, argv), check=None).current.id == ID
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_others_can_read_is_refused(tmp_path):
    load_vault_keys(VaultKeySource(tmp_path), check=None)
    (tmp_path / "vault.key").chmod(0o644)
    with pytest.raises(SecretFileExposed, match="chmod 600"):
        load_vault_keys(VaultKeySource(tmp_path), check=None)


def test_a_new_key_comes_before_the_old_one_which_still_verifies(tmp_path):
    source = VaultKeySource(tmp_path)
    old = load_vault_keys(source, check=None)
    add_vault_key(tmp_path)
    ring = load_vault_keys(source, check=old.check_value())
    assert ring.current.id != old.current.id
    ring.verify(ring.check_value())


def test_a_new_key_that_cannot_be_written_leaves_the_old_file(tmp_path):
    load_vault_keys(VaultKeySource(tmp_path), check=None)
    before = (tmp_path / "vault.key").read_bytes()
    with faults.recording() as points:
        load_vault_keys(VaultKeySource(tmp_path / "other"), check=None)
    assert points == {"vault_key.write", "vault_key.fsync", "vault_key.replace"}
    for point in sorted(points):
        with faults.armed(point, OSError(28, "No space left on device")), pytest.raises(OSError, match="No space"):
            add_vault_key(tmp_path)
        assert (tmp_path / "vault.key").read_bytes() == before


def test_no_key_is_added_where_there_is_none(tmp_path):
    with pytest.raises(KeyEncryptionKeyMissing):
        add_vault_key(tmp_path)
    assert not (tmp_path / "vault.key").exists()

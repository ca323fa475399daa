"""Secrets in files: one content for every process, and for nobody else."""

import multiprocessing
import stat

import pytest

from toolyard.gateway.errors import SealKeyUnusable
from toolyard.gateway.identity import load_seal_key
from toolyard.kit import faults
from toolyard.kit.secret_files import SecretFileExposed, SecretFileUnusable, load_key, read_or_make, read_private


def key_of(path):
    return load_key(path, point="key")


def test_a_key_is_made_once_for_its_owner_only_in_a_directory_for_its_owner_only(tmp_path):
    path = tmp_path / "data" / "some.key"
    key = key_of(path)
    assert (len(key), key_of(path)) == (32, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_keys_are_never_the_same(tmp_path):
    assert key_of(tmp_path / "a") != key_of(tmp_path / "b")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_open_is_refused_with_the_command_that_mends_it(tmp_path, mode):
    key_of(tmp_path / "k")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(SecretFileExposed, match="chmod 600"):
        key_of(tmp_path / "k")
    with pytest.raises(SecretFileExposed):
        read_private(tmp_path / "k")


@pytest.mark.parametrize("content", [b"", b"zz" * 32, b"ab" * 31, b"ab" * 33, b"\xff" * 32, "é".encode()])
def test_a_file_with_anything_else_is_refused_without_its_content_and_stays(tmp_path, content):
    path = tmp_path / "k"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretFileUnusable) as refused:
        key_of(path)
    assert refused.value.message == f"{path} holds no key of 32 bytes"
    assert path.read_bytes() == content


def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path):
    (tmp_path / "k").mkdir()
    with pytest.raises(SecretFileUnusable, match="cannot be read: Is a directory"):
        key_of(tmp_path / "k")


def test_a_maker_that_refuses_leaves_no_file_and_the_lock_free(tmp_path):
    def refuse():
        raise LookupError("no")

    with pytest.raises(LookupError):
        read_or_make(tmp_path / "k", refuse, point="key")
    assert not (tmp_path / "k").exists()
    assert read_or_make(tmp_path / "k", lambda: b"x", point="key") == b"x"


def test_a_write_that_fails_anywhere_leaves_no_file(tmp_path):
    with faults.recording() as points:
        key_of(tmp_path / "k")
    (tmp_path / "k").unlink()
    assert points == {"key.write", "key.fsync", "key.replace"}
    for point in sorted(points):
        with faults.armed(point, OSError(28, "No space left on device")), pytest.raises(OSError, match="No space"):
            key_of(tmp_path / "k")
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def tell_key_of(path, told):
    told.put(key_of(path))


def test_several_processes_that_want_a_key_at_once_get_the_same(tmp_path):
    spawn = multiprocessing.get_context("fork")
    told = spawn.SimpleQueue()
    workers = [spawn.Process(target=tell_key_of, args=(tmp_path / "k", told)) for _ in range(8)]
    for worker in workers:
        worker.start()
    keys = {told.get() for _ in workers}
    for worker in workers:
        worker.join(60)
    assert len(keys) == 1


@pytest.mark.parametrize(("content", "mode"), [(b"", 0o600), (b"00" * 32, 0o644)])
def test_a_sealing_key_that_is_none_or_is_exposed_has_its_own_error(tmp_path, content, mode):
    (tmp_path / "seal.key").write_bytes(content)
    (tmp_path / "seal.key").chmod(mode)
    with pytest.raises(SealKeyUnusable, match=str(tmp_path / "seal.key")):
        load_seal_key(tmp_path)


def test_the_sealing_key_is_read_as_it_was_always_written(tmp_path):
    (tmp_path / "seal.key").write_text("07" * 32)
    (tmp_path / "seal.key").chmod(0o600)
    assert load_seal_key(tmp_path) == b"\x07" * 32

"""The key store on disk."""

import json
import multiprocessing
import stat
from dataclasses import asdict, replace

import pytest

from toolyard.contract.snapshot import RateLimit
from toolyard.gateway.feed.keys import KeyStore, KeyUnknown
from toolyard.kit import faults
from toolyard.policy.keys import Refused, verify
from toolyard.policy.peppers import KeysExposed, KeysUnreadable

NOW = 1_800_000_000.0


def accepted(store, plain, *, now=NOW):
    outcome = verify(plain, store.records, store.peppers, now)
    return outcome.reason if isinstance(outcome, Refused) else True


def test_a_key_made_in_one_process_is_accepted_in_another(tmp_path):
    plain, record = KeyStore(tmp_path / "data").create("default", "ci", now=NOW)
    store = KeyStore(tmp_path / "data")
    assert accepted(store, plain) is True
    assert store.records[record.id] == record


def test_the_files_are_readable_by_their_owner_only_and_hold_no_key(tmp_path):
    plain, _ = KeyStore(tmp_path / "data").create("default", now=NOW)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for name in ("keys.json", "pepper"):
        path = tmp_path / "data" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert plain.split("_")[3] not in path.read_text()


def test_a_revoked_key_is_refused_after_a_refresh(tmp_path):
    store, other = KeyStore(tmp_path), KeyStore(tmp_path)
    plain, record = store.create("default", now=NOW)
    other.refresh()
    assert accepted(other, plain) is True
    store.revoke(record.id)
    other.refresh()
    assert accepted(other, plain) == "disabled"


def test_a_rotated_key_works_beside_the_old_one_until_its_grace_ends(tmp_path):
    store = KeyStore(tmp_path)
    old, record = store.create("default", "ci", now=NOW)
    fresh, _ = store.rotate(record.id, now=NOW, grace_s=60)
    assert [accepted(store, old), accepted(store, fresh)] == [True, True]
    assert [accepted(store, old, now=NOW + 60), accepted(store, fresh, now=NOW + 60)] == ["retired", True]


def test_an_unknown_id_is_said_to_be_unknown_and_nothing_is_written(tmp_path):
    store = KeyStore(tmp_path)
    for change in (store.revoke, lambda key_id: store.rotate(key_id, now=NOW, grace_s=0)):
        with pytest.raises(KeyUnknown, match="nobody"):
            change("nobody")
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize("name", ["keys.json", "pepper"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_files_that_others_can_read_are_refused_with_the_command_that_mends_it(tmp_path, name, mode):
    KeyStore(tmp_path).create("default", now=NOW)
    (tmp_path / name).chmod(mode)
    with pytest.raises(KeysExposed, match="chmod 600"):
        KeyStore(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"keys": [{}]}', '{"keys": [{"id": 1}]}', "[" * 100_000])
def test_a_broken_keys_file_is_refused_and_a_running_store_keeps_what_it_had(tmp_path, content):
    store = KeyStore(tmp_path)
    plain, _ = store.create("default", now=NOW)
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(KeysUnreadable):
        store.refresh()
    assert accepted(store, plain) is True
    with pytest.raises(KeysUnreadable):
        KeyStore(tmp_path)


def test_keys_without_their_pepper_are_refused_and_no_new_pepper_is_made(tmp_path):
    KeyStore(tmp_path).create("default", now=NOW)
    (tmp_path / "pepper").unlink()
    with pytest.raises(KeysUnreadable, match="pepper is missing"):
        KeyStore(tmp_path)
    assert not (tmp_path / "pepper").exists()


def test_a_field_of_a_later_version_is_passed_over(tmp_path):
    _, record = KeyStore(tmp_path).create("default", now=NOW)
    content = json.loads((tmp_path / "keys.json").read_text())
    content["keys"][0]["of_tomorrow"] = ["later"]
    (tmp_path / "keys.json").write_text(json.dumps(content))
    assert KeyStore(tmp_path).records == {record.id: record}


def test_a_write_that_fails_anywhere_leaves_the_old_keys_and_no_other_file(tmp_path):
    store = KeyStore(tmp_path)
    with faults.recording() as points:
        plain, _ = store.create("default", now=NOW)
    assert points == {"keys.write", "keys.fsync", "keys.replace"}
    before = sorted(path.name for path in tmp_path.iterdir())
    for point in sorted(points):
        with faults.armed(point, OSError(28, "No space left on device")), pytest.raises(OSError, match="No space"):
            store.create("default", now=NOW)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert len(KeyStore(tmp_path).records) == len(store.records) == 1
        assert accepted(KeyStore(tmp_path), plain) is True


def make_keys(data_dir, count):
    store = KeyStore(data_dir)
    for _ in range(count):
        store.create("default", now=NOW)


def test_keys_made_by_several_processes_at_once_are_all_kept(tmp_path):
    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=make_keys, args=(tmp_path, 10)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(KeyStore(tmp_path).records) == 40


def test_what_a_key_may_do_is_kept_with_it(tmp_path):
    store = KeyStore(tmp_path)
    _, record = store.create("default", now=NOW)
    limited = replace(record, scopes=("tools:list",), tools=("a/*",), networks=("::1",), per_minute=RateLimit(6, 1))
    entry = {**asdict(limited), "scopes": ["tools:list"]}
    store.path.write_text(json.dumps({"version": 1, "keys": [entry]}))
    assert KeyStore(tmp_path).records == {record.id: limited}

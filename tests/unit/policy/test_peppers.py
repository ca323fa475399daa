"""The file of peppers, which every plane on a machine reads."""

import pytest

from toolyard.gateway.feed.keys import KeyStore
from toolyard.policy.peppers import KeysUnreadable, load_peppers, newest


def test_whoever_comes_first_makes_the_pepper_and_all_others_read_it(tmp_path):
    peppers = load_peppers(tmp_path)
    assert KeyStore(tmp_path).peppers == peppers == load_peppers(tmp_path)
    assert newest(peppers).version == 1
    assert len(newest(peppers).value) == 32


def test_new_keys_take_the_highest_version_and_the_older_ones_stay_readable(tmp_path):
    (tmp_path / "pepper").write_text(f"1 {'01' * 32}\n2 {'02' * 32}\n")
    (tmp_path / "pepper").chmod(0o600)
    peppers = load_peppers(tmp_path)
    assert newest(peppers).value == b"\x02" * 32
    assert peppers[1] == b"\x01" * 32


def test_where_digests_exist_no_new_pepper_is_made(tmp_path):
    with pytest.raises(KeysUnreadable, match="pepper is missing, without which no key in the database can be verified"):
        load_peppers(tmp_path, needed_by="the database")
    assert not (tmp_path / "pepper").exists()


@pytest.mark.parametrize("content", ["", "1", f"x {'01' * 32}", "1 zz", f"1 {'01' * 31}", f"1 {'01' * 32}\n2 00"])
def test_a_file_with_anything_else_is_refused(tmp_path, content):
    (tmp_path / "pepper").write_text(content)
    (tmp_path / "pepper").chmod(0o600)
    with pytest.raises(KeysUnreadable):
        load_peppers(tmp_path)

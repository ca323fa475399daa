"""Settings by name."""

import pytest

from toolyard.configuration import Configuration, SettingUnknown
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.settings import SETTINGS

FILE = 'database: {url: "postgresql://u:${PASSWORD:pa55}@h/db"}\nlogging: {level: warning}\n'


@pytest.fixture
def path(tmp_path):
    (tmp_path / "toolyard.yaml").write_text(FILE)
    return tmp_path / "toolyard.yaml"


def test_a_setting_is_found_by_its_dotted_name(path):
    configuration = Configuration(path, {"TOOLYARD_LIMITS_BODY": "1KiB"})
    assert configuration.get("database.url").reveal() == "postgresql://u:pa55@h/db"
    assert configuration.get("logging.level") == "warning"
    assert configuration.get("limits.body") == 1024
    assert configuration.get("gateway.tls.cert") is None


def test_every_setting_has_its_name(path):
    configuration = Configuration(path, {})
    assert len([configuration.get(setting.key) for setting in SETTINGS]) == len(SETTINGS)


def test_what_is_secret_is_not_shown(path):
    configuration = Configuration(path, {"TOOLYARD_VAULT_KEY": "ab" * 32})
    shown = f"{configuration.get('database.url')} {configuration.get('control.vault_key')!r} {configuration.settings!r}"
    assert "pa55" not in shown
    assert "abab" not in shown


def test_an_unknown_name_is_told_with_the_nearest(path):
    with pytest.raises(SettingUnknown, match=r"no setting 'databse\.url'; did you mean 'database\.url'"):
        Configuration(path, {}).get("databse.url")
    for name in ("", "database", "settings", "__class__", "database.url.x"):
        with pytest.raises(SettingUnknown):
            Configuration(path, {}).get(name)


def test_a_variable_can_be_overridden_and_given_back(path, monkeypatch):
    monkeypatch.delenv("DEBUG", raising=False)
    monkeypatch.delenv("TOOLYARD_DEBUG", raising=False)
    configuration = Configuration(path)
    configuration.set_env_override("DEBUG", "true")
    configuration.set_env_override("PASSWORD", "other")
    assert configuration.get("app.debug") is True
    assert configuration.get("database.url").reveal() == "postgresql://u:other@h/db"
    assert Configuration(path).get("app.debug") is False
    configuration.set_env_override("DEBUG", None)
    assert configuration.get("app.debug") is False


def test_an_override_that_is_not_valid_changes_nothing_and_names_the_variable(path):
    configuration = Configuration(path, {})
    before = configuration.settings
    with pytest.raises(ConfigRejected, match=r"environment variable PORT: gateway\.port: 'x' is not a whole number"):
        configuration.set_env_override("PORT", "x")
    assert configuration.settings is before
    configuration.set_env_override("HOST", "::1")
    assert (configuration.get("gateway.host"), configuration.get("gateway.port")) == ("::1", 8000)


def test_without_a_path_the_file_of_the_current_directory_is_read_if_there_is_one(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Configuration(environ={}).get("logging.level") == "warning"
    path.unlink()
    assert Configuration(environ={}).get("logging.level") == "info"

"""Database URLs: what is understood, and that no password is shown."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.kit.database_url import DatabaseUrl, database_url

BASE = Path("/etc/toolyard")


def read(text):
    return database_url(text, BASE)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///data/mcps.db", BASE / "data/mcps.db"),
        ("sqlite:///./data/mcps.db", BASE / "data/mcps.db"),
        ("sqlite:////var/lib/x.db", Path("/var/lib/x.db")),
        ("sqlite+aiosqlite:///x.db", BASE / "x.db"),
        ("sqlite:///~/x.db", Path.home() / "x.db"),
    ],
)
def test_the_file_of_sqlite_is_relative_to_the_configuration(text, path):
    url = read(text)
    assert (url.kind, url.path, url.reveal(), url.supported) == ("sqlite", path, f"sqlite:///{path}", True)


@pytest.mark.parametrize(
    ("text", "whole", "shown"),
    [
        ("postgresql://u:pa55@h:5432/db", "postgresql://u:pa55@h:5432/db", "postgresql://u:****@h:5432/db"),
        ("postgres://u:pa55@h/db", "postgresql://u:pa55@h/db", "postgresql://u:****@h/db"),
        ("postgresql+asyncpg://u:pa55@h/db", "postgresql://u:pa55@h/db", "postgresql://u:****@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql:///db", "postgresql:///db", "postgresql:///db"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql://u:p/a?5#5@h/db", "postgresql://u:p/a?5#5@h/db", "postgresql://u:****@h/db"),
        ("postgresql://h/db?password=pa55&a=b@c", "postgresql://h/db?password=pa55&a=b@c", "postgresql://h/db"),
        ("postgresql://:pa55@h/db", "postgresql://:pa55@h/db", "postgresql://:****@h/db"),
    ],
)
def test_a_server_is_shown_without_password_and_options(text, whole, shown):
    url = read(text)
    assert (url.kind, url.path, url.supported) == ("postgresql", None, True)
    assert (url.reveal(), str(url)) == (whole, shown)
    assert "pa55" not in f"{url!r} {url!s} {url}"


@pytest.mark.parametrize(
    "text", ["", "x", "postgresql://", "postgresql://u:pa55@w@h/db", "://h/db", "h/db", "sqlite:/x"]
)
def test_what_is_no_url_of_a_database_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="URL") as refused:
        read(text)
    assert "pa55" not in str(refused.value)


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(text):
    with pytest.raises(ValueError, match="ends with the program"):
        read(text)


def test_another_kind_is_read_and_said_to_be_unsupported():
    url = read("mysql+pymysql://u:pa55@h/db")
    assert (url.kind, url.supported, str(url)) == ("mysql", False, "mysql://u:****@h/db")


@given(st.text(min_size=1).filter(lambda text: "****" not in text), st.sampled_from(["", "x@", "?", "/", "h/db?x=y@z"]))
def test_whatever_the_password_it_is_refused_or_not_shown(password, more):
    marked = f"QQ{password}QQ"
    try:
        said = repr(read(f"postgresql://u:{marked}@h/db{more}"))
    except ValueError as error:
        said = str(error)
    assert "QQ" not in said


def test_urls_are_compared_by_all_of_them_and_never_pickled():
    assert read("postgresql://u:a@h/db") != read("postgresql://u:b@h/db")
    assert len({read("postgresql://u:a@h/db"), read("postgres://u:a@h/db")}) == 1
    assert DatabaseUrl.of_file(Path("/x.db")) == read("sqlite:////x.db")
    with pytest.raises(TypeError):
        pickle.dumps(read("postgresql://u:a@h/db"))

"""Which word holds where an operator's file and a control plane both say something."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.contract.making import snap, upstream
from toolyard.contract.merging import merge
from toolyard.contract.snapshot import KeyRecord, ServerSpec

KEY = KeyRecord("k1", "lab", "d", 1)


def test_both_are_in_force_and_the_file_stands_first() -> None:
    file = snap(upstream("docs", timeout_s=1.0), servers=(ServerSpec("lab", access="open"),))
    control = snap(upstream("docs", timeout_s=2.0), "weather", servers=(ServerSpec("lab"), ServerSpec("team")))
    both = merge(file, control, revision=7)
    assert (both.revision, sorted(both.upstreams), sorted(both.servers)) == (7, ["docs", "weather"], ["lab", "team"])
    assert both.upstreams["docs"].timeout_s == 1.0
    assert both.servers["lab"].access == "open"


def test_open_access_is_the_files_to_give() -> None:
    both = merge(snap(servers=(ServerSpec("lab"),)), snap(servers=(ServerSpec("team", access="open"),)), revision=2)
    assert both.servers["team"].access == "key"


def test_a_server_that_the_gateway_made_up_yields_to_a_real_one() -> None:
    made_up, real = snap(servers=(ServerSpec("default"),)), snap(servers=(ServerSpec("default", title="Ours"),))
    assert merge(made_up, real, revision=2, yields=("default",)).servers["default"].title == "Ours"
    assert merge(made_up, real, revision=2).servers["default"].title is None
    assert merge(made_up, snap(servers=(ServerSpec("x"),)), revision=2, yields=("default",)).servers.keys() == {
        "default",
        "x",
    }


def test_keys_are_those_of_both_and_revoked_where_either_says_so() -> None:
    file = replace(snap(), keys={"k1": KEY})
    control = replace(snap(), keys={"k1": replace(KEY, disabled=True), "k2": replace(KEY, id="k2")})
    both = merge(file, control, revision=2)
    assert both.keys == {"k1": replace(KEY, disabled=True), "k2": replace(KEY, id="k2")}


def test_the_digest_changes_with_either_and_with_nothing_else() -> None:
    a, b = snap(revision=1), snap(revision=2)
    assert merge(a, b, revision=1).digest == merge(a, b, revision=2).digest
    assert len({merge(x, y, revision=1).digest for x in (a, b) for y in (a, b)}) == 4

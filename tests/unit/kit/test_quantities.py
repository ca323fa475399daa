"""Durations, sizes, rates, switches and keys as people write them."""

import pytest

from toolyard.kit.quantities import keys, rate, seconds, size_bytes, switch, whole_number


@pytest.mark.parametrize(
    ("text", "value"), [("30", 30), ("30s", 30), ("500ms", 0.5), ("2m", 120), ("1.5 h", 5400), ("1d", 86400)]
)
def test_a_duration_is_read_in_seconds(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(("text", "value"), [("65536", 65536), ("64KiB", 65536), ("4 MiB", 4 << 20), ("1kb", 1000)])
def test_a_size_is_read_in_bytes(text, value):
    assert size_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "per_minute", "burst"), [("600/min", 600, 600), ("5/s", 300, 5), ("60/hour", 1, 60), ("0.5/s", 30, 1)]
)
def test_a_rate_is_a_number_a_minute_and_a_burst(text, per_minute, burst):
    assert rate(text) == (pytest.approx(per_minute), burst)


def test_switches_are_read_as_yaml_writes_them():
    assert [switch(text) for text in ("true", "Yes", "on", "1")] == [True] * 4
    assert [switch(text) for text in ("false", "No", "off", "0")] == [False] * 4


@pytest.mark.parametrize("text", ["", "-1", "1x", "soon", "1e3", "١s", "inf"])
@pytest.mark.parametrize("read", [seconds, size_bytes, rate, switch, lambda text: whole_number(text, 0, 9)])
def test_what_is_not_one_is_refused_with_a_reason(read, text):
    with pytest.raises(ValueError, match=r"."):
        read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ab" * 32, (b"\xab" * 32,)),
        (" " + "AB" * 32 + "\n", (b"\xab" * 32,)),
        ("+/" * 21 + "8=", (b"\xfb\xff\xbf" * 10 + b"\xfb\xff",)),
        ("-_" * 21 + "8=", (b"\xfb\xff\xbf" * 10 + b"\xfb\xff",)),
        ("ab" * 32 + "," + "00" * 32, (b"\xab" * 32, bytes(32))),
    ],
)
def test_keys_are_read(text, value):
    assert keys(text) == value


@pytest.mark.parametrize("text", ["", ",", "ab" * 31, "ab" * 33, "xy" * 32, "passphrase", "é" * 64])
def test_what_is_no_key_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="key") as refused:
        keys(text)
    assert not text.strip(",") or text not in str(refused.value)

from __future__ import annotations

import json
import threading

import pytest

from toolyard.protocol.errors import InvalidParams, InvalidRequest, ParseError, ProtocolError
from toolyard.protocol.strict_json import MAX_DEPTH, MAX_ELEMENTS, decode, encode


def refused(body: str | bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(body if isinstance(body, bytes) else body.encode())
    return caught.value


def with_value(literal: str) -> str:
    return '{"jsonrpc":"2.0","id":7,"method":"x","params":{"v":' + literal + "}}"


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**64 - 1,
        -(2**63),
        0.1,
        -0.0,
        1e300,
        5e-324,
        "",
        "ü\u2028\x7f\0",
        [],
        {},
        [[1], {"": 2}],
    ],
)
def test_what_is_accepted_is_written_again_as_the_same_value(value: object, spaced: bool) -> None:
    body = json.dumps({"v": value}, separators=(", ", ": ") if spaced else (",", ":")).encode()
    decoded = decode(body)
    assert decoded == {"v": value}
    assert decode(encode(decoded)) == decoded
    assert type(decoded["v"]) is type(value)


@pytest.mark.parametrize("literal", ["9223372036854775807", "-9223372036854775808", "18446744073709551615", "-0"])
def test_integers_within_64_bits_are_exact(literal: str) -> None:
    for body in (f'{{"v":{literal}}}', f'{{ "v" : {literal} }}'):
        value = decode(body.encode())["v"]
        assert type(value) is int
        assert value == int(literal)


@pytest.mark.parametrize("literal", ["18446744073709551616", "-9223372036854775809", "1" * 30, "-" + "1" * 4_000])
def test_integers_beyond_64_bits_are_refused_with_the_id_of_their_request(literal: str) -> None:
    for body in (with_value(literal), with_value(" " + literal)):
        error = refused(body)
        assert type(error) is InvalidParams
        assert error.request_id == 7


@pytest.mark.parametrize(
    "literal",
    ["0.1", "1.0", "1e2", "1E-7", "123456789012345.6", "0.30000000000000004", "1.7976931348623157e308", "0e-999"],
)
def test_floats_that_a_double_gives_back_are_accepted(literal: str) -> None:
    value = decode(with_value(literal).encode())["params"]["v"]
    assert value == float(literal)


@pytest.mark.parametrize(
    "literal",
    [
        "1e309",
        "-1e999",
        "1e-400",
        "0.1000000000000000055511151231257827",
        "9007199254740993.0",
        "1.0e1000000000",
        "1e-7123456789012345678901",
    ],
)
def test_floats_whose_value_would_change_are_refused(literal: str) -> None:
    error = refused(with_value(literal))
    assert type(error) is InvalidParams
    assert error.request_id == 7


@pytest.mark.parametrize("literal", ["1e999", "123456789012345678901234567890", "1e-999"])
def test_an_id_that_cannot_be_kept_exact_makes_the_request_invalid(literal: str) -> None:
    error = refused('{"jsonrpc":"2.0","method":"x","id":' + literal + "}")
    assert type(error) is InvalidRequest
    assert error.request_id is None


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        ('{"id":1,"a":1,"a":2}', 1),
        ('{"id":1,"v":{"a":1,"\\u0061":2}}', 1),
        ('{"id":"q","v":[{"a":1,"a":1}]}', "q"),
        ('{"id":1,"id":1}', None),
        ('{"id":1,"i\\u0064":2}', None),
        ('[{"id":1,"id":1}]', None),
        ('{"id":true,"a":1,"a":2}', None),
        ('{"v":{"id":3},"a":1,"a":2}', None),
    ],
)
def test_a_member_named_twice_makes_the_request_invalid(body: str, request_id: object) -> None:
    error = refused(body)
    assert type(error) is InvalidRequest
    assert error.request_id == request_id


def test_blanks_in_names_and_texts_never_hide_a_difference() -> None:
    assert decode(b'{ "a b" : 1, "ab" : " x " }') == {"a b": 1, "ab": " x "}
    assert type(refused('{ "a b" : 1, "a b" : 2 }')) is InvalidRequest
    assert type(refused('{ "a b" : 1, "ab" : 2, "a b" : 3 }')) is InvalidRequest
    assert type(refused('{\t"v" :\r\n 18446744073709551616 }')) is InvalidParams


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xef\xbb\xbf{}",
        b"{}\xff",
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud800\\\\\\udc00"',
        b'"\\ud800\\ud800\\udc00"',
        b'{"\\ud800":1}',
        b'"\x00"',
        b'"\x1f"',
        b'"\n"',
        b"NaN",
        b"-Infinity",
        b"01",
        b"1.",
        b".1",
        b"+1",
        b"1e",
        b"{}{}",
        b"[1,]",
        b"\xa0{}",
        b"\x0c{}",
        b"'a'",
        b'"\\x41"',
        b"tru",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
    ],
)
def test_what_is_no_json_text_is_a_parse_error_without_id(body: bytes) -> None:
    error = refused(body)
    assert type(error) is ParseError
    assert error.request_id is None


@pytest.mark.parametrize("body", ['{"id":1,"a":NaN,"a":2}', '{"id":1,"a":1,"a":"\\ud800"}', '{"id":1e999,"a":1'])
def test_unreadable_text_outweighs_every_other_flaw(body: str) -> None:
    assert type(refused(body)) is ParseError


@pytest.mark.parametrize(
    "text",
    ['"\\ud83d\\ude00"', '"\\uD83D\\uDE00"', '"\\\\ud800"', '"\\\\\\\\ud800"', '"\\u00e9\\/"', '"\\\\\\ud83d\\ude00"'],
)
def test_escaped_pairs_and_escaped_backslashes_are_ordinary_text(text: str) -> None:
    assert decode(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), (' [ { "a" : ', " } ] ")]
)
def test_depth_is_limited_exactly(opening: str, closing: str) -> None:
    levels = opening.count("[") + opening.count("{")
    times = (MAX_DEPTH - 2) // levels
    head, tail = '{"v":[' + opening * times, closing * times + "]}"
    assert decode((head + "1" + tail).encode()) is not None
    assert type(refused(head + "[1]" + tail)) is InvalidParams


def test_an_array_beyond_the_limits_is_no_message_at_all() -> None:
    assert type(refused("[" * 100 + "]" * 100)) is InvalidRequest
    assert type(refused("[" + "1," * MAX_ELEMENTS + "1]")) is InvalidRequest


def test_a_message_nested_too_deep_still_names_its_request() -> None:
    assert refused(with_value("[" * 100 + "]" * 100)).request_id == 7


@pytest.mark.parametrize("depth", [257, 1_000, 5_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_absurd_depth_is_a_parse_error_and_never_a_crash(depth: int, opening: str, closing: str) -> None:
    assert type(refused(opening * depth + "1" + closing * depth)) is ParseError
    assert type(refused(opening * depth)) is ParseError


def test_the_verdict_on_depth_does_not_depend_on_the_stack_below() -> None:
    def deeper(levels: int) -> type[ProtocolError]:
        return deeper(levels - 1) if levels else type(refused(with_value("[" * 200 + "]" * 200)))

    assert deeper(0) is InvalidParams
    assert deeper(300) is InvalidParams


def test_brackets_and_commas_in_strings_count_for_nothing() -> None:
    text = '["' + "[{" * 200 + '\\"' + "," * (MAX_ELEMENTS + 10) + '\\\\"]'
    assert len(decode(text.encode())) == 1


@pytest.mark.parametrize("separator", [",", " , "])
def test_the_number_of_elements_is_limited_exactly(separator: str) -> None:
    def body(elements: int) -> str:
        return '{"id":7,"v":[' + separator.join(["1"] * (elements - 2)) + "]}"

    assert len(decode(body(MAX_ELEMENTS).encode())["v"]) == MAX_ELEMENTS - 2
    error = refused(body(MAX_ELEMENTS + 1))
    assert type(error) is InvalidParams
    assert error.request_id == 7


def test_empty_arrays_and_objects_have_no_elements() -> None:
    pieces = ",".join(["[]", "{ }"] * (MAX_ELEMENTS // 2))
    assert len(decode(f"[{pieces}]".encode())) == MAX_ELEMENTS
    assert type(refused(f"[{pieces},[]]")) is InvalidRequest


def test_wider_limits_can_be_given_for_what_upstreams_send() -> None:
    body = b'{"v":' + b"[" * 99 + b"]" * 99 + b"}"
    assert decode(body, max_depth=100) is not None
    with pytest.raises(InvalidParams):
        decode(body, max_depth=99)
    assert len(decode(b"[1,2,3]", max_elements=3)) == 3


def test_decoding_in_threads_never_mixes_verdicts() -> None:
    wrong: list[object] = []

    def judge(body: str, expected: type[Exception] | None) -> None:
        for _ in range(200):
            try:
                decode(body.encode())
                verdict = None
            except ProtocolError as error:
                verdict = type(error)
            if verdict is not expected:
                wrong.append((body, verdict))

    jobs = [('{ "id": 1 }', None), ('{"id":1,"a":1,"a":2}', InvalidRequest), (with_value("1e999"), InvalidParams)]
    threads = [threading.Thread(target=judge, args=job) for job in jobs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_encoding_keeps_the_order_of_members_and_is_compact_utf8() -> None:
    assert encode({"b": 1, "a": [True, None, "ü"]}) == '{"b":1,"a":[true,null,"ü"]}'.encode()

"""The one translator from errors to JSON-RPC: every error there is, in every revision."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolyard
from toolyard.gateway import errors as gateway_errors
from toolyard.gateway.call import AskRefused, ClientGone
from toolyard.gateway.translate import error_answer, error_object
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamTimedOut
from toolyard.kit.errors import PlatformError
from toolyard.protocol import errors as protocol_errors
from toolyard.protocol.errors import ProtocolError, RelayedError
from toolyard.protocol.revisions import LEGACY, MODERN, SUPPORTED

SPECIFIED = {-32700, -32600, -32601, -32602, -32603, -32020, -32021, -32022}
CONSTRUCTED = {"RelayedError": (-32000, "no"), "ResourceUnknown": ("doc://1",), "RateLimited": (1.5,)}


def _all_errors() -> Iterator[type[PlatformError]]:
    for module in pkgutil.walk_packages(toolyard.__path__, "toolyard."):
        if not module.name.endswith("__main__") and not module.name.startswith("toolyard.migrations"):
            importlib.import_module(module.name)
    waiting = [PlatformError]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += found.__subclasses__()


def _may_be_translated(error: type[PlatformError]) -> bool:
    """What the Python client raises is raised elsewhere."""
    return error.__module__.startswith("toolyard.") and not error.__module__.startswith("toolyard.sdk.")


ERRORS = sorted({e for e in _all_errors() if _may_be_translated(e)}, key=lambda e: (e.__module__, e.__name__))


def made(error: type[PlatformError]) -> PlatformError:
    """An instance, whatever the class takes."""
    if error.__name__ in CONSTRUCTED:
        return error(*CONSTRUCTED[error.__name__])
    wanted = inspect.signature(error.__init__).parameters.values()
    needed = [p for p in wanted if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    return error(*["x" for _ in needed])


def test_errors_of_every_part_are_tried():
    names = {e.__name__ for e in ERRORS}
    assert {
        "ToolUnknown",
        "UpstreamTimedOut",
        "HeaderMismatch",
        "ConfigRejected",
        "AskRefused",
        "EgressDenied",
    } <= names
    assert len(names) > 50


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_every_error_is_a_well_formed_json_rpc_error_in_every_revision(error):
    for request_id, revision in product((7, "seven", None), SUPPORTED):
        answer = error_answer(made(error), request_id, revision)
        assert answer.body is not None
        message = json.loads(answer.body)
        assert set(message) == {"jsonrpc", "id", "error"} or (
            request_id is None and set(message) == {"jsonrpc", "error"}
        )
        assert message.get("id") == request_id
        assert message["jsonrpc"] == "2.0"
        assert set(message["error"]) <= {"code", "message", "data"}
        assert type(message["error"]["code"]) is int
        assert isinstance(message["error"]["message"], str)
        assert message["error"]["message"].strip()
        assert 200 <= answer.status < 600


def test_no_code_that_the_specification_keeps_for_itself_is_used_otherwise():
    codes = {e.__name__: error_object(made(e), MODERN)["code"] for e in ERRORS if e is not RelayedError}
    assert {n: c for n, c in codes.items() if c not in SPECIFIED and -32768 <= c <= -32000} == {}


def test_no_code_that_an_upstream_sends_breaks_the_rules_of_the_modern_era():
    shown = {c: error_object(RelayedError(c, "no", {"uri": "doc://1"}), MODERN)["code"] for c in range(-32800, -31900)}
    wrong = {-32002, -32042, *range(-32099, -32019)} - SPECIFIED
    assert {code: found for code, found in shown.items() if found in wrong} == {}
    assert {shown[code] for code in SPECIFIED} == SPECIFIED


@given(st.integers(-(2**63), 2**63), st.sampled_from(SUPPORTED), st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_code_an_upstream_sends_the_caller_gets_its_message_and_data(code, revision, text):
    found = error_object(RelayedError(code, text, {"k": [text]}), revision)
    assert found["data"] == {"k": [text]}
    assert found["message"] == text or (not text and found["message"])


@pytest.mark.parametrize("revision", LEGACY)
def test_codes_of_the_modern_era_are_not_sent_to_older_clients(revision):
    for error in ERRORS:
        assert error_object(made(error), revision)["code"] not in (-32020, -32021, -32022)


MODERN_STATUS = {
    "ParseError": (400, -32700),
    "InvalidRequest": (400, -32600),
    "InvalidParams": (400, -32602),
    "MethodNotFound": (404, -32601),
    "HeaderMismatch": (400, -32020),
    "MissingClientCapability": (400, -32021),
    "UnsupportedRevision": (400, -32022),
    "ToolUnknown": (400, -32602),
    "ToolDisabled": (400, -32602),
    "PromptUnknown": (400, -32602),
    "ResourceUnknown": (400, -32602),
    "CursorInvalid": (400, -32602),
    "StateRefused": (400, -32602),
    "Unauthenticated": (401, 401),
    "ServerUnknown": (404, 404),
    "NotAllowed": (403, 403),
    "RateLimited": (429, 429),
    "TooManyCalls": (503, 503),
    "UpstreamTimedOut": (200, -32603),
    "UpstreamUnreachable": (200, -32603),
    "UpstreamBusy": (200, -32603),
}


@pytest.mark.parametrize("name", MODERN_STATUS)
def test_the_modern_era_has_these_statuses_and_codes(name):
    (error,) = [
        e for e in ERRORS if e.__name__ == name and e.__module__.startswith(("toolyard.gateway", "toolyard.protocol"))
    ]
    assert (error_answer(made(error), 1, MODERN).status, error_object(made(error), MODERN)["code"]) == MODERN_STATUS[
        name
    ]


@pytest.mark.parametrize(
    ("code", "status"),
    [(-32600, 400), (-32602, 400), (-32601, 404), (-32002, 400), (-32603, 200), (-32042, 200), (-32000, 200), (7, 200)],
)
def test_an_upstreams_own_error_has_the_status_of_the_code_it_is_shown_with(code, status):
    assert error_answer(RelayedError(code, "no"), 1, MODERN).status == status
    assert [error_answer(RelayedError(code, "no"), 1, revision).status for revision in LEGACY] == [200] * len(LEGACY)


CONNECTION = {
    "Unauthenticated": 401,
    "ServerUnknown": 404,
    "SessionUnknown": 404,
    "SessionRequired": 400,
    "TooManySessions": 503,
}


@pytest.mark.parametrize("revision", LEGACY)
def test_older_clients_get_200_for_what_concerns_one_request_and_a_status_for_what_concerns_the_connection(revision):
    for error in (gateway_errors.ToolUnknown(), gateway_errors.RateLimited(1.0), UpstreamTimedOut(), AskRefused()):
        assert error_answer(error, 1, revision).status == 200
    for name, status in CONNECTION.items():
        assert error_answer(getattr(gateway_errors, name)(), 1, revision).status == status
    assert error_answer(protocol_errors.ParseError(), None, revision).status == 400
    assert error_answer(protocol_errors.InvalidRequest(), 1, revision).status == 400


@pytest.mark.parametrize("revision", LEGACY)
def test_a_resource_that_is_not_there_has_the_old_code_for_older_clients(revision):
    assert error_object(gateway_errors.ResourceUnknown("doc://1"), revision)["code"] == -32002
    assert error_object(RelayedError(-32002, "no"), revision)["code"] == -32002
    assert error_object(RelayedError(-32602, "no", {"uri": "doc://1"}), revision)["code"] == -32002
    assert error_object(RelayedError(-32602, "no", {"argument": "x"}), revision)["code"] == -32602


def test_url_elicitation_required_reaches_only_the_revision_that_knows_it():
    shown = {revision: error_object(RelayedError(-32042, "no"), revision)["code"] for revision in SUPPORTED}
    assert shown == {revision: -32042 if revision == "2025-11-25" else -32603 for revision in SUPPORTED}


def test_a_caller_learns_which_upstream_and_why_but_no_object_of_ours():
    error = UpstreamError("gone", upstream="a", secret=object(), address=("10.0.0.1", 80))
    assert error_object(error, MODERN)["data"] == {
        "reason": "upstream_failed",
        "may_have_run": True,
        "upstream": "a",
    }


def test_a_refusal_says_how_to_authenticate_or_when_to_come_back():
    assert error_answer(gateway_errors.Unauthenticated(), None, MODERN).headers == (
        ("www-authenticate", 'Bearer realm="toolyard"'),
    )
    for wait_s, told in ((0.0, "1"), (0.01, "1"), (1.0, "2"), (1.4, "2"), (59.9, "60")):
        ((name, value),) = error_answer(gateway_errors.RateLimited(wait_s), 1, MODERN).headers
        assert name == "retry-after"
        assert int(value) >= wait_s
        assert int(value) <= int(told)


@pytest.mark.parametrize(
    "error", [e for e in ERRORS if issubclass(e, ProtocolError) and e is not RelayedError], ids=lambda e: e.__name__
)
def test_a_protocol_errors_data_travels(error):
    assert error_object(error("why", data={"k": 1}), MODERN)["data"] == {"k": 1}


def test_codes_are_unique_names():
    by_code: dict[str, set[str]] = {}
    for error in ERRORS:
        if "code" in vars(error):
            by_code.setdefault(error.code, set()).add(error.__qualname__)
    shared = {code: names for code, names in by_code.items() if len(names) > 1}
    assert shared == {
        "overloaded": {"Overloaded", "TooManyCalls"},  # one condition, seen at the door and behind it
        "not_found": {"RouteUnknown", "NotFound"},  # and in either plane
        "rate_limited": {"RateLimited", "TooManyRequests"},
    }
    assert ClientGone.code == "client_gone"

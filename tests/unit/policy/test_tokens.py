"""Access tokens: only what was signed here, for here, and not too long ago."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolyard.policy.tokens import Claims, SigningKey, TokenRefused, sign, verify

NOW = 1_800_000_000
KEY = SigningKey("k1", Ed25519PrivateKey.generate())
KEYS = {"k1": KEY.public()}
SAID = Claims("us_1", "default", "lo_1.1", NOW, NOW + 600, "j1", ("developer",), "gold", ("tools.call",), 60)
BODY = {
    "iss": "toolyard",
    "aud": "toolyard",
    "sub": "us_1",
    "org": "default",
    "login": "lo_1.1",
    "jti": "j",
    "iat": NOW,
}


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def forged(head: dict[str, Any], body: dict[str, Any] | str, key: SigningKey = KEY) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    signed = f"{encoded(json.dumps(head).encode())}.{encoded(text.encode())}"
    return f"{signed}.{encoded(key.private.sign(signed.encode()))}"


HEAD = {"alg": "EdDSA", "kid": "k1", "typ": "JWT"}


def test_what_was_signed_is_what_is_verified():
    assert verify(sign(SAID, KEY), KEYS, NOW) == SAID


def test_a_token_ends_a_minute_after_its_time_and_begins_a_minute_before():
    token = sign(SAID, KEY)
    assert verify(token, KEYS, NOW + 659) == SAID
    assert verify(token, KEYS, NOW + 660) == TokenRefused("expired")
    assert verify(token, KEYS, NOW - 60) == SAID
    assert verify(token, KEYS, NOW - 61) == TokenRefused("not_yet_valid")


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "HS256", "RS256", "eddsa", ""])
def test_no_other_algorithm_is_taken(alg):
    assert verify(forged({**HEAD, "alg": alg}, {**BODY, "exp": NOW + 9}), KEYS, NOW) == TokenRefused("malformed")


def test_the_public_key_is_no_secret_of_another_algorithm():
    signed = f"{encoded(json.dumps({**HEAD, 'alg': 'HS256'}).encode())}.{encoded(json.dumps(BODY).encode())}"
    mac = hmac.new(base64.b64decode(KEYS["k1"]), signed.encode(), hashlib.sha256).digest()
    assert verify(f"{signed}.{encoded(mac)}", KEYS, NOW) == TokenRefused("malformed")


@pytest.mark.parametrize(
    "more", [{"crit": ["x"]}, {"jku": "http://evil"}, {"x5u": "http://evil"}, {"jwk": {}}, {"b64": False}]
)
def test_a_header_that_asks_for_more_is_refused(more):
    assert verify(forged({**HEAD, **more}, {**BODY, "exp": NOW + 9}), KEYS, NOW) == TokenRefused("malformed")


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1", "k2", ""])
def test_an_unknown_key_id_is_refused(kid):
    assert verify(forged({**HEAD, "kid": kid}, {**BODY, "exp": NOW + 9}), KEYS, NOW) == TokenRefused("unknown_key")


@pytest.mark.parametrize("exp", ['"1900000000"', "1e400", "true", "null", "1.9e9", "[]"])
def test_a_time_that_is_no_whole_number_is_refused(exp):
    body = json.dumps(BODY)[:-1] + f', "exp": {exp}}}'
    assert verify(forged(HEAD, body), KEYS, NOW) == TokenRefused("malformed")


def test_a_time_before_1970_is_over():
    assert verify(forged(HEAD, {**BODY, "exp": -1}), KEYS, NOW) == TokenRefused("expired")


@pytest.mark.parametrize(
    "said",
    [{"iss": "other"}, {"iss": "toolyard/"}, {"aud": "other"}, {"aud": "toolyar"}, {"aud": "toolyard/"}, {"aud": []}],
)
def test_a_token_of_or_for_somebody_else_is_refused(said):
    assert verify(forged(HEAD, {**BODY, "exp": NOW + 9, **said}), KEYS, NOW) == TokenRefused("not_ours")


def test_a_token_without_an_audience_is_refused():
    body = {name: value for name, value in BODY.items() if name != "aud"}
    assert verify(forged(HEAD, {**body, "exp": NOW + 9}), KEYS, NOW) == TokenRefused("malformed")


def test_a_token_of_another_installation_is_refused():
    theirs = SigningKey("k1", Ed25519PrivateKey.generate())
    assert verify(sign(SAID, theirs), KEYS, NOW) == TokenRefused("wrong_signature")


def test_a_token_with_anything_changed_is_refused():
    token = sign(SAID, KEY)
    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert isinstance(verify(changed, KEYS, NOW), TokenRefused), place


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c", "." * 10_000, "x" * 5_000_000, "ä.b.c", "a.b.c.d.e"])
def test_what_is_no_token_is_refused(text):
    assert verify(text, KEYS, NOW) == TokenRefused("malformed")


def test_a_signing_key_does_not_show_itself():
    assert "****" in repr(KEY)

"""A snapshot survives its journey as documents, whatever its fields; what is broken says which document it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.contract.making import snap, upstream
from toolyard.contract.documents import (
    DocumentBroken,
    Manifest,
    assemble,
    digest_of,
    encode,
    encode_upstream,
)
from toolyard.contract.snapshot import KeyRecord, ServerSpec, Snapshot, UpstreamSpec
from toolyard.kit.secret import Secret

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(st.none() | st.booleans() | TEXT, lambda one: st.dictionaries(TEXT, one, max_size=2), max_leaves=4)
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    Secret: TEXT.map(Secret),
    Any: JSON,
    object: JSON,
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type, so that fields of tomorrow are in this test too."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind in LEAVES:
        return LEAVES[kind]
    if is_dataclass(kind):
        return specs(kind)  # type: ignore[arg-type]  # a class
    if origin is Literal:
        return st.sampled_from(inside)
    if origin in (Union, UnionType):
        return st.one_of(*map(values, inside))
    if origin is tuple and inside[1:] == (...,):
        return st.lists(values(inside[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, inside))
    if origin is frozenset:
        return st.frozensets(values(inside[0]), max_size=3)
    assert isinstance(origin, type), kind
    assert issubclass(origin, Mapping), kind
    return st.dictionaries(values(inside[0]), values(inside[1]), max_size=2)


def specs(cls: type[Any], **given: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    return st.builds(cls, **{f.name: given.get(f.name, values(hints[f.name])) for f in fields(cls)})


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    names = st.lists(st.from_regex(r"[a-z][a-z0-9.]{0,5}", fullmatch=True), max_size=3, unique=True)
    upstreams = {i: draw(specs(UpstreamSpec, id=st.just(i))) for i in draw(names)}
    servers = {i: draw(specs(ServerSpec, code=st.just(i))) for i in draw(names)}
    keys = {i: draw(specs(KeyRecord, id=st.just(i), server=st.sampled_from(["a", "b"]))) for i in draw(names)}
    hints = get_type_hints(Snapshot)
    rest = {f.name: draw(values(hints[f.name])) for f in fields(Snapshot)[5:]}
    return Snapshot(draw(st.integers(1, 9)), "", upstreams, servers, keys, **rest)


class Safe:
    """Seals by remembering; what is opened at another place than it was sealed for is refused."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[str, Secret]] = {}

    def seal(self, place: str, secret: Secret) -> str:
        text = f"sealed:{len(self.places)}"
        self.places[text] = (place, secret)
        return text

    def unseal(self, place: str, text: str) -> Secret:
        where, secret = self.places[text]
        assert where == place
        return secret


def received(document: Any) -> Any:
    """What arrives when a document is sent."""
    return msgspec.json.decode(msgspec.json.encode(document))


@given(snapshots())
@settings(max_examples=60, deadline=None)
def test_a_snapshot_arrives_as_it_was_sent(snapshot: Snapshot) -> None:
    safe = Safe()
    sent = encode(snapshot, safe.seal)
    documents = {digest: received(document) for digest, document in sent.documents.items()}
    assert all(digest_of(document) == digest for digest, document in documents.items())
    arrived = assemble(received_manifest(sent.manifest), documents, safe.unseal)
    assert replace(arrived, digest="") == snapshot


@given(snapshots(), snapshots())
@settings(max_examples=30, deadline=None)
def test_what_has_not_changed_is_taken_over_and_the_snapshot_is_the_same(one: Snapshot, other: Snapshot) -> None:
    def seal(_place: str, secret: Secret) -> str:
        return secret.reveal()

    def unseal(_place: str, text: str) -> Secret:
        return Secret(text)

    first, then = encode(one, seal), encode(replace(other, upstreams=one.upstreams), seal)
    documents = {**first.documents, **then.documents}
    before = assemble(first.manifest, documents, unseal)
    after = assemble(then.manifest, documents, unseal, before=(first.manifest, before))
    assert after == assemble(then.manifest, documents, unseal)
    assert all(after.upstreams[i] is before.upstreams[i] for i in after.upstreams)
    platform = first.manifest.entries[-1][2]
    few = {platform: first.documents[platform]}
    assert assemble(first.manifest, few, unseal, before=(first.manifest, before)) == before


def received_manifest(manifest: Manifest) -> Manifest:
    return msgspec.convert(received(msgspec.to_builtins(manifest)), Manifest)


def test_a_secret_travels_sealed_and_bound_to_its_place() -> None:
    safe = Safe()
    spec = upstream("docs", headers=(("Authorization", Secret("Bearer 1")),), env=(("TOKEN", Secret("2")),))
    document = encode_upstream(spec, safe.seal)
    assert "Bearer 1" not in msgspec.json.encode(document).decode()
    assert [place for place, _ in safe.places.values()] == [
        "upstream/docs/headers/Authorization",
        "upstream/docs/env/TOKEN",
    ]


def test_fields_of_tomorrow_are_ignored_and_those_of_yesterday_take_their_defaults() -> None:
    sent = encode(snap("docs"), Safe().seal)
    (digest,) = (d for kind, _, d in sent.manifest.entries if kind == "upstream")
    short = {"id": "docs", "kind": "mcp-http", "url": "http://127.0.0.1:9/mcp", "of_tomorrow": {"deep": [1]}}
    made = assemble(sent.manifest, {**sent.documents, digest: short}, Safe().unseal)
    assert made.upstreams["docs"] == upstream("docs")


def test_documents_of_the_file_are_left_out_where_the_gateway_reads_it_itself() -> None:
    documents = {"1": encode_upstream(upstream("docs"), Safe().seal, owner="file")}
    manifest = Manifest(1, (("upstream", "docs", "1"),))
    assert not assemble(manifest, documents, Safe().unseal, without_owners=("file",)).upstreams
    assert assemble(manifest, documents, Safe().unseal).upstreams == {"docs": upstream("docs")}


def _unsealable(_place: str, _text: str) -> Secret:
    raise DocumentBroken("sealed with another key")


@pytest.mark.parametrize(
    ("kind", "document", "said"),
    [
        ("upstream", None, "is not there"),
        ("upstream", {"id": "docs", "kind": "carrier-pigeon"}, "carrier-pigeon"),
        ("upstream", {"id": "other", "kind": "native"}, "says that it is 'other'"),
        ("upstream", {"id": "docs", "kind": "native", "env": [["A", "sealed"]]}, "another key"),
        ("upstream", {"id": "docs", "kind": "native", "env": [["A", 1]]}, "sealed text"),
        ("server", {"code": "docs", "tools": 3}, "Expected"),
        (
            "keys",
            {"keys": [{"id": "k", "server": "else", "digest": "d", "pepper_version": 1}]},
            "says that it is 'else'",
        ),
    ],
)
def test_a_document_that_cannot_be_used_is_named(kind: str, document: Any, said: str) -> None:
    documents = {"1": document} if document is not None else {}
    with pytest.raises(DocumentBroken, match=f"{kind} 'docs'") as broken:
        assemble(Manifest(1, ((kind, "docs", "1"),)), documents, _unsealable)
    assert said in broken.value.message


def test_kinds_of_tomorrow_are_ignored() -> None:
    made = assemble(Manifest(3, (("quota", "x", "1"),)), {"1": {"any": 1}}, Safe().unseal)
    assert (made.revision, made.upstreams) == (3, {})


def test_the_digest_of_a_manifest_is_that_of_its_documents() -> None:
    one = Manifest(1, (("upstream", "a", "1"), ("server", "b", "2")))
    assert one.digest() == Manifest(9, one.entries[::-1]).digest() != Manifest(1, one.entries[:1]).digest()


def test_every_field_but_the_names_has_a_default() -> None:
    needed = {
        cls: [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
        for cls in (UpstreamSpec, ServerSpec)
    }
    assert needed == {UpstreamSpec: ["id", "kind"], ServerSpec: ["code"]}

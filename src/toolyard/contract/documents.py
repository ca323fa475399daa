"""The snapshot as the control plane sends it: documents addressed by their content, and a manifest that names them.

One document for each upstream, each virtual server, the keys of each server, and one for the platform as a whole; so
one edit sends one document anew. A document is JSON. Fields that this program does not know are ignored and missing
ones take their defaults, so either plane may be the newer one. Secrets travel sealed, each bound to its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, TypeVar, cast, get_type_hints

import msgspec

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import KeyRecord, ServerSpec, Snapshot, UpstreamSpec
from toolyard.kit.errors import PlatformError
from toolyard.kit.secret import Secret

Kind = Literal["upstream", "server", "keys", "platform"]
Entry = tuple[str, str, str]
"""Kind, id and digest of one document."""
Seal = Callable[[str, Secret], str]
"""Place and secret to sealed text. A place is written like `upstream/docs/headers/Authorization`."""
Unseal = Callable[[str, str], Secret]
"""Place and sealed text to the secret. Raises PlatformError."""

OWNER: Final = "owner"
"""The field of an upstream's or a server's document that says whose it is; `file` is the operator's file."""
_SERVED = frozenset({"revision", "digest", "upstreams", "servers", "keys"})
T = TypeVar("T")


class DocumentBroken(PlatformError):
    """A document of the manifest cannot be used."""

    code: ClassVar[str] = "document_broken"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which documents make up the snapshot of a revision."""

    revision: int
    entries: tuple[Entry, ...]

    def digest(self) -> str:
        """The same for the same documents, in whichever order and at whichever revision."""
        return digest_of(sorted(self.entries))


@dataclass(frozen=True, slots=True)
class Encoded:
    """A snapshot for sending: the manifest, and its documents by their digests."""

    manifest: Manifest
    documents: Mapping[str, Json]


def digest_of(document: Any) -> str:
    """SHA-256 over the canonical JSON of a document: sorted keys, no blanks, UTF-8."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def encode_upstream(spec: UpstreamSpec, seal: Seal, **more: Any) -> Json:
    """The document of an upstream; `more` are fields beside those of the spec, such as its owner."""
    return {**_plain(spec, f"upstream/{spec.id}", seal), **more}


def encode_server(spec: ServerSpec, seal: Seal, **more: Any) -> Json:
    """The document of a virtual server; `more` as for an upstream."""
    return {**_plain(spec, f"server/{spec.code}", seal), **more}


def encode_keys(code: str, records: Iterable[KeyRecord], seal: Seal) -> Json:
    """The document of all keys of one virtual server."""
    ordered = sorted(records, key=lambda record: record.id)
    return {"keys": [_plain(record, f"keys/{code}/{record.id}", seal) for record in ordered]}


def encode_platform(snapshot: Snapshot, seal: Seal, **more: Any) -> Json:
    """The document of what a snapshot says of the platform as a whole."""
    found = {f.name: _plain(getattr(snapshot, f.name), f"platform/{f.name}", seal) for f in _platform_fields()}
    return {**found, **more}


def encode(snapshot: Snapshot, seal: Seal) -> Encoded:
    """All of a snapshot."""
    by_server: dict[str, list[KeyRecord]] = {}
    for record in snapshot.keys.values():
        by_server.setdefault(record.server, []).append(record)
    documents: list[tuple[Kind, str, Json]] = [
        *(("upstream", one.id, encode_upstream(one, seal)) for one in snapshot.upstreams.values()),
        *(("server", one.code, encode_server(one, seal)) for one in snapshot.servers.values()),
        *(("keys", code, encode_keys(code, records, seal)) for code, records in by_server.items()),
        ("platform", "", encode_platform(snapshot, seal)),
    ]
    addressed = [(kind, name, digest_of(document), document) for kind, name, document in documents]
    entries = tuple((kind, name, digest) for kind, name, digest, _ in addressed)
    return Encoded(Manifest(snapshot.revision, entries), {digest: document for _, _, digest, document in addressed})


def assemble(
    manifest: Manifest,
    documents: Mapping[str, Json],
    unseal: Unseal,
    *,
    without_owners: Collection[str] = (),
    before: tuple[Manifest, Snapshot] | None = None,
) -> Snapshot:
    """The snapshot that a manifest describes. Upstreams and servers of `without_owners` are left out: this gateway
    knows them from elsewhere. What has not changed since `before` is taken over as it is, the very same objects. Raises
    DocumentBroken, naming the document."""
    unchanged = _Unchanged(*before) if before is not None else None
    upstreams: dict[str, UpstreamSpec] = {}
    servers: dict[str, ServerSpec] = {}
    keys: dict[str, KeyRecord] = {}
    platform: dict[str, Any] = {}
    for kind, name, digest in manifest.entries:
        if unchanged is not None and unchanged.take((kind, name, digest), upstreams, servers, keys):
            continue
        document = _found(documents, kind, name, digest)
        if document.get(OWNER) in without_owners:
            continue
        try:
            if kind == "upstream":
                upstreams[name] = _made(document, UpstreamSpec, f"upstream/{name}", unseal)
                _check_name(upstreams[name].id, name)
            elif kind == "server":
                servers[name] = _made(document, ServerSpec, f"server/{name}", unseal)
                _check_name(servers[name].code, name)
            elif kind == "keys":
                keys.update(_keys_in(document, name, unseal))
            elif kind == "platform":
                platform = _platform_in(document, unseal)
        except (msgspec.MsgspecError, PlatformError, ValueError) as error:
            raise DocumentBroken(f"the document {kind} {name!r} cannot be used: {error}", kind=kind, id=name) from error
    return Snapshot(
        revision=manifest.revision,
        digest=manifest.digest(),
        upstreams=MappingProxyType(upstreams),
        servers=MappingProxyType(servers),
        keys=MappingProxyType(keys),
        **platform,
    )


class _Unchanged:
    """What a snapshot has of documents that have not changed."""

    def __init__(self, manifest: Manifest, snapshot: Snapshot) -> None:
        self._entries = frozenset(manifest.entries)
        self._snapshot = snapshot
        self._keys: dict[str, dict[str, KeyRecord]] = {}
        for record in snapshot.keys.values():
            self._keys.setdefault(record.server, {})[record.id] = record

    def take(
        self,
        entry: Entry,
        upstreams: dict[str, UpstreamSpec],
        servers: dict[str, ServerSpec],
        keys: dict[str, KeyRecord],
    ) -> bool:
        """Take over what one document says; False if it is to be read."""
        kind, name, _ = entry
        if entry not in self._entries:
            return False
        if kind == "upstream" and name in self._snapshot.upstreams:
            upstreams[name] = self._snapshot.upstreams[name]
        elif kind == "server" and name in self._snapshot.servers:
            servers[name] = self._snapshot.servers[name]
        elif kind == "keys":
            keys.update(self._keys.get(name, {}))
        else:
            return False
        return True


def _found(documents: Mapping[str, Json], kind: str, name: str, digest: str) -> Json:
    document = documents.get(digest)
    if not isinstance(document, dict):
        raise DocumentBroken(f"the document {kind} {name!r} ({digest}) is not there", kind=kind, id=name)
    return document


def _keys_in(document: Json, code: str, unseal: Unseal) -> dict[str, KeyRecord]:
    found: dict[str, KeyRecord] = {}
    for entry in msgspec.convert(document.get("keys", []), list[dict[str, Any]]):
        record = _made(entry, KeyRecord, f"keys/{code}/{entry.get('id')}", unseal)
        _check_name(record.server, code)
        found[record.id] = record
    return found


def _platform_in(document: Json, unseal: Unseal) -> dict[str, Any]:
    hints = _snapshot_types()
    wanted = [field.name for field in _platform_fields() if field.name in document]
    return {name: _made(document[name], hints[name], f"platform/{name}", unseal) for name in wanted}


def _check_name(said: str, name: str) -> None:
    if said != name:
        raise ValueError(f"it says that it is {said!r}")


# Values and plain JSON. What is sealed is found by the types of the fields, never by what a document looks like.


class _Sealed(Secret):
    """A secret whose value is its sealed text: what stands between a document and a spec."""

    __slots__ = ()


def _plain(value: Any, place: str, seal: Seal) -> Any:
    sealed = _with_secrets(value, place, lambda where, secret: _Sealed(seal(where, secret)))
    return msgspec.to_builtins(sealed, enc_hook=_sealed_text, str_keys=True)


def _made(document: Any, wanted: type[T], place: str, unseal: Unseal) -> T:
    made = msgspec.convert(document, wanted, dec_hook=_sealed)
    return cast(T, _with_secrets(made, place, lambda where, secret: unseal(where, secret.reveal())))


def _sealed_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, _Sealed):
        return value.reveal()
    raise NotImplementedError(f"{type(value).__name__} cannot be sent")


def _sealed(wanted: type, value: Any) -> Any:
    if wanted is Secret and isinstance(value, str):
        return _Sealed(value)
    raise ValueError(f"Expected sealed text for a {wanted.__name__}")


def _with_secrets(value: Any, place: str, change: Callable[[str, Secret], Secret]) -> Any:
    """The same value with its secrets changed. The name in a pair (name, secret) is part of the secret's place."""
    if isinstance(value, Secret):
        return change(place, value)
    if is_dataclass(value) and not isinstance(value, type):
        before = {field.name: getattr(value, field.name) for field in fields(value)}
        after = {name: _with_secrets(item, f"{place}/{name}", change) for name, item in before.items()}
        changed = {name: item for name, item in after.items() if item is not before[name]}
        return replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        items = {name: _with_secrets(item, f"{place}/{name}", change) for name, item in value.items()}
        return items if any(items[name] is not value[name] for name in items) else value
    if isinstance(value, (tuple, list)):
        return _sequence_with_secrets(value, place, change)
    return value


def _sequence_with_secrets(
    value: tuple[Any, ...] | list[Any], place: str, change: Callable[[str, Secret], Secret]
) -> Any:
    if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Secret):
        return (value[0], change(f"{place.rpartition('/')[0]}/{value[0]}", value[1]))
    items = [_with_secrets(item, f"{place}/{number}", change) for number, item in enumerate(value)]
    if all(after is before for after, before in zip(items, value, strict=True)):
        return value
    return tuple(items) if isinstance(value, tuple) else items


@cache
def _platform_fields() -> tuple[Any, ...]:
    return tuple(field for field in fields(Snapshot) if field.name not in _SERVED)


@cache
def _snapshot_types() -> dict[str, Any]:
    return get_type_hints(Snapshot)

"""What is in force where a gateway has both an operator's file and a control plane: the file's word comes first."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from toolyard.contract.snapshot import KeyRecord, ServerSpec, Snapshot


def merge(file: Snapshot, control: Snapshot, *, revision: int, yields: Collection[str] = ()) -> Snapshot:
    """The snapshot of both. An upstream or server of the file stands before one of the same name of the control
    plane's, but for the servers in `yields`, which the file does not name and the gateway made up.

    Keys are those of both. What is said of the platform as a whole is the control plane's. Only the file gives open
    access."""
    made_up = {code for code in yields if code in control.servers}
    own = {code: spec for code, spec in file.servers.items() if code not in made_up}
    others = {code: _guarded(spec) for code, spec in control.servers.items()}
    return replace(
        control,
        revision=revision,
        digest=hashlib.sha256(f"{file.digest} {control.digest} {sorted(made_up)}".encode()).hexdigest(),
        upstreams=MappingProxyType({**control.upstreams, **file.upstreams}),
        servers=MappingProxyType({**others, **own}),
        keys=MappingProxyType({**control.keys, **_keys(file.keys, control.keys)}),
    )


def _guarded(spec: ServerSpec) -> ServerSpec:
    return replace(spec, access="key") if spec.access == "open" else spec


def _keys(file: Mapping[str, KeyRecord], control: Mapping[str, KeyRecord]) -> dict[str, KeyRecord]:
    """The file's keys. One that either side has disabled is disabled."""
    return {i: replace(record, disabled=True) if _is_off(control.get(i)) else record for i, record in file.items()}


def _is_off(record: KeyRecord | None) -> bool:
    return record is not None and record.disabled

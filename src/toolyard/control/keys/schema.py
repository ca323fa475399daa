"""What the API takes and gives of keys."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from toolyard.control.base.bulk import MAX_ITEMS
from toolyard.control.base.pages import PageQuery
from toolyard.control.base.texts import Line, unset
from toolyard.control.keys.model import KeyRow
from toolyard.control.servers.schema import Rate
from toolyard.policy.authorize import SCOPES

ALL_SCOPES = tuple(sorted(set(SCOPES.values())))
MAX_GRACE_S = 30 * 24 * 3600
DAY_S = 24 * 3600
State = Literal["active", "retiring", "not_yet_valid", "disabled", "expired", "retired", "revoked"]


def _scope(text: str) -> str:
    if text not in ALL_SCOPES:
        raise ValueError(f"'{text}' is none of {', '.join(ALL_SCOPES)}")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"'{text}' is not an address or a network such as 10.1.0.0/16") from None


def _each_once(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


Name = Annotated[Line, Field(max_length=200)]
Scope = Annotated[str, AfterValidator(_scope), Field(json_schema_extra={"enum": list(ALL_SCOPES)})]
Scopes = Annotated[list[Scope], AfterValidator(_each_once), Field(max_length=20)]
Tools = Annotated[
    list[Annotated[Line, Field(min_length=1, max_length=500)]], AfterValidator(_each_once), Field(max_length=500)
]
Network = Annotated[str, Field(max_length=60), AfterValidator(_network)]
Networks = Annotated[list[Network], AfterValidator(_each_once), Field(max_length=100)]


class NewKey(BaseModel):
    """A key to be made. What is left out does not limit it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "laptop of Ana", "scopes": ["tools:list", "tools:call"]}]},
    )

    name: Name = ""
    scopes: Scopes = Field(default_factory=list, description="What it may do; none: everything.")
    tools: Tools = Field(
        default_factory=list, description="Patterns of tools it may see and call, by exposed name or upstream/tool."
    )
    networks: Networks = Field(default_factory=list, description="Where it may come from; none: anywhere.")
    rate: Rate | None = Field(None, description="Its own limit, in the place of its server's.")
    not_before: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    user_id: str | None = Field(
        None, max_length=40, description="Whose key it is: it opens nothing while they may not log in."
    )


class KeyChange(BaseModel):
    """What is to be different; fields that are left out stay."""

    model_config = ConfigDict(extra="forbid")

    name: Name = unset()
    scopes: Scopes = unset()
    tools: Tools = unset()
    networks: Networks = unset()
    rate: Rate | None = unset()
    not_before: AwareDatetime | None = unset()
    expires_at: AwareDatetime | None = unset()
    enabled: bool = unset()


class Rotation(BaseModel):
    """How a key is to be replaced."""

    model_config = ConfigDict(extra="forbid")

    grace_s: float = Field(DAY_S, ge=0, le=MAX_GRACE_S, description="How long the old key is good for still.")
    expires_at: AwareDatetime | None = Field(
        None, description="When the new key ends; when the old one would, unless it is said."
    )


class Key(BaseModel):
    """An API key, without the key."""

    id: str = Field(examples=["k3v5x7qa2bcd"])
    server_id: str
    server: str = Field(description="The code of its virtual server.")
    name: str
    masked: str = Field(examples=["mcp_key_k3v5x7qa2bcd_****9xQz"])
    state: State
    enabled: bool
    scopes: list[str]
    tools: list[str]
    networks: list[str]
    rate: Rate | None
    not_before: dt.datetime | None
    expires_at: dt.datetime | None
    retires_at: dt.datetime | None = Field(description="The end of the grace after its rotation.")
    revoked_at: dt.datetime | None
    replaced_by: str | None
    user_id: str | None
    can_be_revealed: bool
    last_used_at: dt.datetime | None = Field(description="When a gateway took it last, to about a minute.")
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime

    @classmethod
    def of(cls, row: KeyRow, server: str, now: dt.datetime) -> Key:
        """As a row has it at a moment."""
        return cls(
            id=row.id,
            server_id=row.server_id,
            server=server,
            name=row.name,
            masked=f"mcp_key_{row.id}_****{row.last4}",
            state=state_of(row, now),
            enabled=not row.disabled,
            scopes=row.scopes,
            tools=row.tools,
            networks=row.networks,
            rate=Rate.model_validate(row.per_minute) if row.per_minute else None,
            not_before=row.not_before,
            expires_at=row.expires_at,
            retires_at=row.retires_at,
            revoked_at=row.revoked_at,
            replaced_by=row.replaced_by,
            user_id=row.user_id,
            can_be_revealed=row.sealed is not None,
            last_used_at=row.last_used_at,
            created_by=row.created_by,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


class IssuedKey(Key):
    """A new API key, with the key itself: it is shown this once."""

    key: str = Field(examples=["mcp_key_k3v5x7qa2bcd_…"])


class RevealedKey(BaseModel):
    """An API key, shown again."""

    id: str
    key: str


class KeysQuery(PageQuery):
    """Which keys are wanted."""

    server_id: str | None = Field(None, max_length=40)
    user_id: str | None = Field(None, max_length=40)
    enabled: bool | None = None


class BulkKeys(BaseModel):
    """One thing to be done to several keys."""

    model_config = ConfigDict(extra="forbid")

    operation: Literal["enable", "disable", "revoke", "delete"]
    ids: Annotated[list[Annotated[str, Field(max_length=100)]], AfterValidator(_each_once)] = Field(
        min_length=1, max_length=MAX_ITEMS
    )


class BulkDone(BaseModel):
    """The key to which it was done."""

    id: str


def state_of(row: KeyRow, now: dt.datetime) -> State:
    """What a key is good for at a moment."""
    if row.revoked_at is not None:
        return "revoked"
    if row.disabled:
        return "disabled"
    if row.expires_at is not None and now >= row.expires_at:
        return "expired"
    if row.retires_at is not None:
        return "retired" if now >= row.retires_at else "retiring"
    return "not_yet_valid" if row.not_before is not None and now < row.not_before else "active"

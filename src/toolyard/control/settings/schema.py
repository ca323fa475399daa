"""What the API takes and gives of settings."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolyard.control.base.bulk import MAX_ITEMS, BulkResult
from toolyard.control.base.texts import KeptJson

Key = Annotated[str, Field(max_length=200, examples=["default_timeout_seconds"])]
Values = Annotated[dict[Key, KeptJson], Field(max_length=MAX_ITEMS, examples=[{"default_timeout_seconds": 20}])]


class Setting(BaseModel):
    """A setting as it is now. `source`: who said the value that holds."""

    key: str = Field(examples=["default_timeout_seconds"])
    value: Any = Field(examples=[15.0])
    default: Any
    source: Literal["organization", "platform", "default"]
    kind: Literal["switch", "seconds", "value"]
    about: str
    of_platform: bool = Field(description="Whether only the platform as a whole has it.")
    changed_at: dt.datetime | None
    changed_by: str | None
    effective_immediately: bool = Field(description="Whether a change holds at once, without a restart.")


class NewValue(BaseModel):
    """The value that a setting shall have."""

    model_config = ConfigDict(extra="forbid")

    value: KeptJson = Field(examples=[20])


class Changed(BaseModel):
    """The settings that were named, as they are now."""

    settings: list[Setting]
    effective_immediately: bool = Field(description="Whether all of it holds at once, without a restart.")


class ResetWanted(BaseModel):
    """What shall have its default again."""

    model_config = ConfigDict(extra="forbid")

    keys: list[Key] | None = Field(None, max_length=MAX_ITEMS, description="null: everything that was changed.")


class Operation(BaseModel):
    """One of several changes."""

    model_config = ConfigDict(extra="forbid")

    operation: Literal["set", "reset"] = "set"
    key: Key
    value: KeptJson = None


class Batch(BaseModel):
    """Several changes, each with its own result."""

    model_config = ConfigDict(extra="forbid")

    operations: list[Operation] = Field(min_length=1, max_length=MAX_ITEMS)


class Exported(BaseModel):
    """Everything that was changed, to be taken in elsewhere."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["toolyard-settings-1"] = "toolyard-settings-1"
    settings: Values


class Import(Exported):
    """Settings from an export. `replace`: what is not in it has its default again."""

    replace: bool = False


class BatchResult(BulkResult[Setting]):
    """What became of each, and whether it holds at once."""

    effective_immediately: bool = True


class SwitchState(BaseModel):
    """Whether something is on."""

    key: str = Field(examples=["service.registration_automation"])
    on: bool

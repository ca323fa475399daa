"""What an embedded Toolyard takes and gives: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolyard.contract.definitions import Json
from toolyard.kit.errors import PlatformError


@dataclass(frozen=True, slots=True)
class Service:
    """One service and how it does. `state`: pending, ready, failing, stopping, stopped or disabled; `error` says why it
    fails. `tools` is how many of its tools are offered where it was asked for."""

    name: str
    kind: str
    state: str
    tools: int = 0
    error: str | None = None
    error_code: str | None = None

    @property
    def running(self) -> bool:
        """Whether it is connected and can be called."""
        return self.state == "ready"


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `name` is what `call_tool` wants; `own_name` is what `service` calls it. `definition` is as MCP clients
    see it."""

    name: str
    service: str
    own_name: str
    definition: Json

    @property
    def description(self) -> str:
        """What it says of itself."""
        return str(self.definition.get("description", ""))

    @property
    def input_schema(self) -> Json:
        """The JSON Schema of its arguments."""
        schema: Json = self.definition["inputSchema"]
        return schema


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered. `failed`: the tool says that it could not do it, and `text` says why."""

    content: tuple[Json, ...]
    structured: Json | None
    failed: bool

    @property
    def text(self) -> str:
        """The texts of the content, one after the other."""
        return "\n".join(block["text"] for block in self.content if isinstance(block.get("text"), str))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a batch. With a `service`, `name` is that service's own name of the tool."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    service: str | None = None


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of one call: a result, or the error that was in the way."""

    call: ToolCall
    service: str | None
    result: ToolResult | None = None
    error: PlatformError | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the tool was called and did it."""
        return self.result is not None and not self.result.failed


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch: an outcome for each call, in the order of the calls."""

    outcomes: tuple[CallOutcome, ...]

    @property
    def succeeded(self) -> int:
        """How many calls did what they should."""
        return sum(outcome.succeeded for outcome in self.outcomes)

    @property
    def failed(self) -> int:
        """How many did not."""
        return len(self.outcomes) - self.succeeded

    @property
    def by_service(self) -> dict[str, tuple[CallOutcome, ...]]:
        """The outcomes of each service; calls that found none are not among them."""
        names = dict.fromkeys(outcome.service for outcome in self.outcomes if outcome.service is not None)
        return {name: tuple(one for one in self.outcomes if one.service == name) for name in names}

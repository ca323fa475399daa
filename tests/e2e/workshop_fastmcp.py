"""The workshop on FastMCP 4, of the modern era only. Runs in `fastmcp`, with WORKSHOP_LEDGER naming a file.

FastMCP serves no `subscriptions/listen`, so the workshop announces nothing here.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from fastmcp import Context, FastMCP
from mcp_types import InputRequiredResult
from workshop import Ledger, Step, completions, furnish, open_doors

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from one_era import OneEra

PAGE = 100  # so that whoever lists has eleven pages to turn
server: Any = FastMCP("workshop", version="4.1", instructions="Ask before you saw.", list_page_size=PAGE)


class Kit:
    """How this SDK asks."""

    context = Context

    async def settle(self, ctx: Any, step: Step) -> Any:
        answers = {key: plain(answer) for key, answer in (ctx.input_responses or {}).items()}
        outcome = step(answers, ctx.request_state)
        if isinstance(outcome, str):
            return outcome
        asked = {"resultType": "input_required", "inputRequests": outcome.requests, "requestState": outcome.state}
        return InputRequiredResult.model_validate({key: value for key, value in asked.items() if value is not None})

    async def announce(self, ctx: Any, extended: bool) -> None:
        """There is nobody to tell."""


def plain(answer: Any) -> dict[str, Any]:
    """An answer as the protocol's JSON."""
    return dict(answer.model_dump(by_alias=True, mode="json", exclude_none=True))


@server.completion  # type: ignore[untyped-decorator]
async def complete(_: Any, argument: Any, __: Any) -> list[str]:
    return completions(argument.name, argument.value)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    furnish(server, Kit(), Ledger())
    open_doors(OneEra(server.http_app(), "modern"))

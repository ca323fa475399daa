"""Which calls may meet in one session of a stateful upstream: the isolation policy (`isolation` of an upstream).

Theory of operation. A legacy upstream keeps state in its sessions (a browser's page, a working directory, a memory). An
isolation key says whose session a call uses: calls with equal keys share one, all others never meet. Every key but that
of `shared` begins with the principal, so two principals never have the same one whatever they name. Words are separated
by spaces, which neither principals' ids nor handles contain, so no key can be made to look like one of another kind.

| policy | legacy client | modern client |
|---|---|---|
| `shared` | one session for all | one session for all |
| `per-principal` | its principal's | its principal's |
| `per-session` | its own session's | its handle's if it names one, else its principal's |
| `per-handle` | its handle's if it names one, else its principal's | the same |
| `per-call` | the call's, ended with it | the same |

What lasts beyond a call (subscriptions) cannot be the call's: under `per-call` it is the principal's.
"""

from __future__ import annotations

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call
from toolyard.kit.ids import short_id

EVERYBODY = ""
_LASTING = frozenset(
    {"resources/subscribe", "resources/unsubscribe", "subscriptions/listen", "notifications/roots/list_changed"}
)
_CALL = " call "


def isolation_of(spec: UpstreamSpec, call: Call) -> str:
    """The isolation key of `call` at an upstream. Under `per-call` every answer is another one: ask once for a call."""
    own = call.principal.id
    match spec.isolation:
        case "per-principal":
            return own
        case "shared":
            return EVERYBODY
        case "per-call":
            return own if call.method in _LASTING else f"{own}{_CALL}{short_id()}"
        case "per-session" if call.era == "legacy" and call.watcher:
            return isolation_of_session(own, call.watcher)
        case _:
            return f"{own} handle {call.handle}" if call.handle else own


def isolation_of_session(principal_id: str, session_id: str) -> str:
    """The isolation key of everything in one session of a legacy client, where the policy is `per-session`."""
    return f"{principal_id} session {session_id}"


def owner_of(isolation: str) -> str:
    """The principal that an isolation key belongs to; empty for everybody's."""
    return isolation.partition(" ")[0]


def ends_with_its_call(isolation: str) -> bool:
    """True for the key of one call: nobody else will ever come with it."""
    return _CALL in isolation

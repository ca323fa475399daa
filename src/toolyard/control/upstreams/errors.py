"""What can go wrong with upstreams and credentials."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Conflict, Forbidden, Invalid


class ExecForbidden(Forbidden):
    """Upstreams that run a program on the gateway's machine need the platform permission server.exec."""

    code: ClassVar[str] = "exec_forbidden"


class NetworkForbidden(Forbidden):
    """Upstreams on loopback and private networks need the platform permission server.network."""

    code: ClassVar[str] = "network_forbidden"


class NothingToApprove(Conflict):
    """Only upstreams that run a program are approved."""

    code: ClassVar[str] = "nothing_to_approve"


class NotTriedThisWay(Invalid):
    """Only upstreams that are reached by URL can be tried before they are saved."""

    code: ClassVar[str] = "not_tried_this_way"


class CredentialInUse(Conflict):
    """Upstreams use this credential: take it out of them first."""

    code: ClassVar[str] = "credential_in_use"

"""What can go wrong with API keys."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Conflict, Forbidden, Invalid, NotFound


class KeyNotFound(NotFound):
    """There is no API key with that id here."""

    code: ClassVar[str] = "key_not_found"


class KeyNotActive(Conflict):
    """This API key was revoked, or another one has taken its place: make a new one."""

    code: ClassVar[str] = "key_not_active"


class TooManyKeys(Conflict):
    """This virtual server has as many API keys as it can have: delete some that are of no use any more."""

    code: ClassVar[str] = "too_many_keys"


class KeyOwnerUnknown(Invalid):
    """A key can only be that of somebody who belongs to the organization."""

    code: ClassVar[str] = "key_owner_unknown"


class RevealDisabled(Forbidden):
    """API keys are shown once, when they are made. Showing them again is switched off here."""

    code: ClassVar[str] = "reveal_disabled"


class ProofNeeded(Forbidden):
    """Prove your password again: this is shown only to who did so within the last five minutes."""

    code: ClassVar[str] = "reauthentication_required"


class KeyNotKept(Conflict):
    """This API key was made while showing keys again was switched off: nobody can see it any more. Rotate it."""

    code: ClassVar[str] = "key_not_kept"

"""Idempotency keys: a creation that is sent twice with the same key happens once, and is answered the same twice.

The answer is kept in the transaction of the creation, for a day, under the caller and the digest of the request. Of an
answer with a secret in it (a new API key) only the fact is kept: its repetition is answered with a conflict.
"""

from __future__ import annotations

import datetime as dt
import hashlib

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import LargeBinary, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Instant
from toolyard.control.base.errors import Conflict, IdempotencyKeyReused, Invalid
from toolyard.control.base.store import flush
from toolyard.control.base.tables import ID_CHARS, Table
from toolyard.control.base.work import Work

HEADER = "idempotency-key"
KEPT = dt.timedelta(days=1)
MAX_KEY = 200
SHOWN_ONCE = "toolyard-shown-once"


class AnswerGivenBefore(Conflict):
    """This creation has happened already; what it answered is shown only once."""

    code = "answer_shown_once"


class RepeatedAtOnce(Conflict):
    """Another request with this idempotency key was carried out just now: ask again for its answer."""

    code = "creation_repeated_at_once"


class IdempotencyRow(Table):
    """The answer to one creation."""

    __tablename__ = "idempotency_keys"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    organization_id: Mapped[str] = mapped_column(String(ID_CHARS), index=True)
    request: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    at: Mapped[dt.datetime] = mapped_column(Instant, index=True)


class Repeated:
    """One creation with a key: was it there before?"""

    def __init__(self, work: Work, key: str, request: Request) -> None:
        """Raises Invalid."""
        if not 0 < len(key) <= MAX_KEY:
            raise Invalid(f"an idempotency key has 1 to {MAX_KEY} characters")
        self._work = work
        self._request = request
        self._digest = _digest(work.organization_id, work.caller.id, key)

    async def answer(self) -> Response | None:
        """The answer that was given to it before, if it was there. Raises IdempotencyKeyReused, AnswerGivenBefore."""
        work = self._work
        await work.session.execute(delete(IdempotencyRow).where(IdempotencyRow.at < work.now - KEPT))
        found = select(IdempotencyRow).where(IdempotencyRow.digest == self._digest)
        row = (await work.session.execute(found)).scalar_one_or_none()
        if row is None:
            return None
        if row.request != await self._about():
            raise IdempotencyKeyReused
        if row.body is None:
            raise AnswerGivenBefore
        return Response(row.body, row.status, {"idempotent-replay": "true"}, JSONResponse.media_type)

    async def keep(self, response: Response) -> Response:
        """Keep an answer with the creation that it is for. Raises RepeatedAtOnce, and then it has not happened."""
        once = SHOWN_ONCE in response.headers
        row = IdempotencyRow(
            digest=self._digest,
            organization_id=self._work.organization_id,
            request=await self._about(),
            status=response.status_code,
            body=None if once else bytes(response.body),
            at=self._work.now,
        )
        self._work.session.add(row)
        await flush(self._work, RepeatedAtOnce)
        return response

    async def _about(self) -> str:
        request = self._request
        return _digest(request.method, request.url.path, (await request.body()).decode("utf-8", "replace"))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()

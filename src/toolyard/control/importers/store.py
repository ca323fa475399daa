"""What imports read of upstreams."""

from __future__ import annotations

from sqlalchemy import select

from toolyard.control.base.work import Work
from toolyard.control.upstreams.model import UpstreamRow


async def name_is_taken(work: Work, name: str) -> bool:
    """Whether the organization has an upstream of that name."""
    found = select(UpstreamRow.id).where(UpstreamRow.organization_id == work.organization_id, UpstreamRow.name == name)
    return (await work.session.execute(found)).first() is not None

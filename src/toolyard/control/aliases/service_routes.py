"""Services, as the founding documents call upstreams."""

from __future__ import annotations

from toolyard.control.aliases import service
from toolyard.control.aliases.schema import Done, DonePage, Service, ServiceEntry
from toolyard.control.aliases.store import Services
from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import MAX_LIMIT, PageParams
from toolyard.control.base.vault import Vault
from toolyard.control.upstreams.routes import columns, shown
from toolyard.control.upstreams.rules import Bounds
from toolyard.control.upstreams.service import Registry

LISTS = ("/services", "/api/v1/mcp/services", "/api/v1/mcps")


def add_service_routes(one: Slice, vault: Vault, bounds: Bounds) -> None:
    """The routes of services: three lists that are the same, and adding one."""

    async def every(work: WorkParam, query: PageParams) -> DonePage[list[Service]]:
        """List services."""
        asked = query if "limit" in query.model_fields_set else query.model_copy(update={"limit": MAX_LIMIT})
        page = await Services(work).page(asked)
        services = [Service.of(upstream) for upstream in await shown(work, page.rows)]
        return DonePage(data=services, message="The services", next_cursor=page.next_cursor)

    for path in LISTS:
        one.get(path, action="upstreams.read", include_in_schema=False, name=path)(every)

    creates = Declared("login", "upstreams.write", "token", "write", idempotent=True)

    @one.route("POST", "/services", creates, include_in_schema=False)
    async def add(work: WorkParam, given: ServiceEntry) -> Done[Service]:
        """Add a service, after a look at its configuration and what it depends on."""
        checked = await Registry(work, vault, bounds).register(columns(service.wanted_service(given)))
        (made,) = await shown(work, [checked.row], checked)
        return Done(data=Service.of(made), message="The service was added")

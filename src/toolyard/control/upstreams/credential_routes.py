"""The API of credentials: written, never read."""

from __future__ import annotations

import datetime as dt

from fastapi import Response
from pydantic import BaseModel, Field, SecretStr

from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, check_match, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import Listed, PageParams
from toolyard.control.base.vault import Vault
from toolyard.control.upstreams import credentials
from toolyard.control.upstreams.model import CredentialRow, UpstreamRow
from toolyard.control.upstreams.references import reference
from toolyard.control.upstreams.schema import Given
from toolyard.control.upstreams.store import Credentials
from toolyard.kit.secret import Secret


class NewValue(Given):
    """What a credential is to be."""

    value: SecretStr = Field(min_length=1, max_length=65_536, examples=["ghp_…"])
    description: str | None = Field(None, max_length=500)


class Credential(BaseModel):
    """A credential without its value, which nobody can read."""

    name: str = Field(examples=["github-token"])
    reference: str = Field(description="What stands for it in headers and variables.")
    description: str
    last4: str = Field(description="Its last four characters; empty if it is short.")
    used_by: list[str] = Field(description="Names of the upstreams that refer to it.")
    upstream_id: str | None = Field(description="The one upstream that it belongs to, if it was given with it.")
    changes: int = Field(description="How often it was given a value.")
    created_at: dt.datetime
    updated_at: dt.datetime

    @classmethod
    def of(cls, row: CredentialRow, users: list[UpstreamRow]) -> Credential:
        names = ("name", "description", "last4", "upstream_id", "changes", "created_at", "updated_at")
        plain = {name: getattr(row, name) for name in names}
        return cls(**plain, reference=reference(row.name), used_by=sorted(one.name for one in users))


def credentials_slice(vault: Vault) -> Slice:
    """Routes of credentials."""
    one = Slice("credentials")

    @one.get("/credentials", action="upstreams.read", operation_id="credentials_list")
    async def every(work: WorkParam, page: PageParams) -> Listed[Credential]:
        """List credentials: which there are and what uses them, never their values."""
        found = await Credentials(work).page(page)
        users = await credentials.users_of(work, [row.name for row in found.rows])
        return Listed(items=[Credential.of(row, users[row.name]) for row in found.rows], next_cursor=found.next_cursor)

    @one.get("/credentials/{name}", action="upstreams.read", operation_id="credentials_get")
    async def get(work: WorkParam, name: str, response: Response) -> Credential:
        """Show what a credential is used by, never its value."""
        row = await credentials.found(work, name)
        tagged(response, row)
        return Credential.of(row, (await credentials.users_of(work, [name]))[name])

    @one.put("/credentials/{name}", action="credentials.write", operation_id="credentials_put")
    async def put(
        work: WorkParam, name: str, given: NewValue, response: Response, if_match: IfMatch = None
    ) -> Credential:
        """Give a credential a value, whether there was one or not. Upstreams that use it have it at once."""
        if if_match is not None:
            check_match(await credentials.found(work, name), if_match)
        value = Secret(given.value.get_secret_value())
        row = await credentials.put(work, vault, name, value, given.description)
        tagged(response, row)
        return Credential.of(row, (await credentials.users_of(work, [name]))[name])

    @one.delete("/credentials/{name}", action="credentials.write", operation_id="credentials_delete")
    async def remove(work: WorkParam, name: str) -> None:
        """Forget a credential that nothing uses."""
        await credentials.remove(work, name)

    return one

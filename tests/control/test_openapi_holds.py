"""The API answers as its OpenAPI document says, whatever it is sent: schemathesis makes good requests and bad ones.

Everything is asked in process, as a platform administrator in an organization with an object of each kind, and undone
(tests/control/tenants.py), so that one request leaves the next one as much to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks

from tests.control.conftest import KINDS, copied
from tests.control.tenants import Tenants, tenants
from toolyard.control.documents import openapi_of

pytestmark = pytest.mark.slow

EXAMPLES: Final = 12
CHECKS: Final = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
_QUIET: Final = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass(slots=True)
class Rig:
    """The control plane, the operations of its document, and what was found wrong."""

    tenants: Tenants
    runner: asyncio.Runner
    wrong: dict[tuple[str, str], str] = field(default_factory=dict)
    statuses: dict[str, set[int]] = field(default_factory=dict)

    def operations(self) -> list[Any]:
        document = openapi_of(self.tenants.plane.control.app)
        schema = schemathesis.openapi.from_dict(document)
        every = [found.ok() for found in schema.get_all_operations()]
        # What looks for servers would be sent to places that were made up, and would go there.
        return [one for one in every if one.path != "/api/v1/discovery"]

    def ask(self, case: Any) -> None:
        """Send a case, and note what is wrong with the answer."""
        wire = requests.Request(**case.as_transport_kwargs(base_url="http://toolyard.test")).prepare()
        body = wire.body.encode() if isinstance(wire.body, str) else wire.body
        name = f"{case.operation.method.upper()} {case.operation.path}"
        headers = {key: value for key, value in wire.headers.items() if key.lower() != "authorization"}
        answer: httpx2.Response = self.runner.run(
            self.tenants.ask("platform", wire.method, wire.url, content=body, headers=headers)
        )
        self.statuses.setdefault(name, set()).add(answer.status_code)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for one in group.exceptions:
                self._note(name, one, wire, answer)
        except Failure as one:
            self._note(name, one, wire, answer)

    def _note(self, name: str, found: Exception, wire: Any, answer: httpx2.Response) -> None:
        about = f"{wire.method} {wire.path_url} {wire.body!r:.500} → {answer.status_code} {answer.text:.500}"
        self.wrong.setdefault((name, type(found).__name__), f"{found}\n{about}")


@pytest.fixture(scope="module", params=KINDS)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("openapi")
    with copied(request, request.param, directory) as url, closing(asyncio.Runner()) as runner:
        made = tenants(url, directory / "data")
        yield Rig(runner.run(made.__aenter__()), runner)  # type: ignore[arg-type]
        runner.run(made.__aexit__(None, None, None))  # type: ignore[arg-type]


def test_no_answer_is_a_500_or_other_than_the_document_says(rig: Rig) -> None:
    operations = rig.operations()
    for operation in operations:
        _fuzz(rig, operation)
    assert len(operations) > 100
    done = [name for name, seen in rig.statuses.items() if min(seen) < 300]
    assert len(done) > 90
    assert not rig.wrong, "\n\n".join(f"{name}: {text}" for (name, _), text in rig.wrong.items())


def _fuzz(rig: Rig, operation: Any) -> None:
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

    @seed(1)
    @_QUIET
    @given(case=st.one_of(*(operation.as_strategy(mode) for mode in modes)), own=st.booleans())
    def ask(case: Any, own: bool) -> None:
        if own and case.path_parameters:
            known = rig.tenants.ids["A"]
            service = {"user_id": known["service_id"]} if "service-accounts" in operation.path else {}
            ids = {**known, "key": "service.own", **service}
            case.path_parameters = {name: ids.get(name, value) for name, value in case.path_parameters.items()}
        rig.ask(case)

    ask()

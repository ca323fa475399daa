"""The environment of a child: a few things of the gateway's own, what the operator declared, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from toolyard.contract.upstream_form import refused_names
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.kit.secret import Secret

INHERITED = re.compile(r"PATH|HOME|LANG|LC_[A-Z]+|TMPDIR")
"""What a child gets of the gateway's own environment."""


class RefusedEnvironment(UpstreamUnreachable):
    """The upstream's declared environment has a variable that may not be set."""


def child_environment(declared: Iterable[tuple[str, Secret]], own: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a child, out of the gateway's `own`. Raises RefusedEnvironment, naming the variable."""
    variables = dict(declared)
    if refused := refused_names(variables):
        raise RefusedEnvironment(f"The variable {refused[0]!r} may not be set in an upstream's environment.")
    environment = {name: value for name, value in own.items() if INHERITED.fullmatch(name)}
    environment.setdefault("LANG", "C.UTF-8")
    for name, value in variables.items():
        text = value.reveal()
        if "\0" in text:
            raise RefusedEnvironment(f"The value of the variable {name!r} has a zero byte.")
        environment[name] = text
    return environment

"""The environment of a child: a few things of the gateway's own, what the operator declared, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.kit.secret import Secret

INHERITED = re.compile(r"PATH|HOME|LANG|LC_[A-Z]+|TMPDIR")
"""What a child gets of the gateway's own environment."""

REFUSED_ENVIRONMENT = re.compile(
    r"(?:LD|DYLD|BASH_FUNC)_.*|BASH_FUNC.*|BASH_ENV|ENV|BASHOPTS|SHELLOPTS|PS4|PROMPT_COMMAND|IFS|PATH|GCONV_PATH"
    r"|PYTHON(?:PATH|HOME|STARTUP|INSPECT|BREAKPOINT|EXECUTABLE|USERBASE|WARNINGS)|NODE_OPTIONS|NODE_PATH"
    r"|PERL5?(?:OPT|LIB|DB)|RUBY(?:OPT|LIB)|_?JAVA_(?:TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|GIT_SSH(?:_COMMAND)?",
    re.IGNORECASE,
)
"""What nobody may declare: it makes another program run, or the same program run something else. Authorities and
proxies (SSL_CERT_FILE, HTTPS_PROXY …) may be declared, though they are not inherited: whom a program trusts and how it
gets out is the operator's word, and behind a company's proxy there is no other way."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RefusedEnvironment(UpstreamUnreachable):
    """The upstream's declared environment has a variable that may not be set."""


def refused_names(names: Iterable[str]) -> list[str]:
    """Those of `names` that a declared environment may not have."""
    return [name for name in names if not _NAME.fullmatch(name) or REFUSED_ENVIRONMENT.fullmatch(name)]


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

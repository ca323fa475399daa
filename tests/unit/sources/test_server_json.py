"""Descriptions of the MCP registry, as clients would write them."""

from __future__ import annotations

from typing import Any

import pytest

from toolyard.sources.server_json import ServerJsonUnusable, entry_of


def described(**more: Any) -> dict[str, Any]:
    return {"name": "io.github.acme/tool", "version": "1.0.0", **more}


PACKAGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"registryType": "npm", "identifier": "@acme/tool", "version": "1.2.3"}, ["npx", "-y", "@acme/tool@1.2.3"]),
    ({"registryType": "pypi", "identifier": "acme-tool", "version": "1.2.3"}, ["uvx", "acme-tool==1.2.3"]),
    (
        {
            "registryType": "oci", "identifier": "docker.io/acme/tool:1.2.3",
            "environmentVariables": [{"name": "TOKEN", "isRequired": True, "isSecret": True}, {"name": "OPTIONAL"}],
        },
        ["docker", "run", "-i", "--rm", "-e", "TOKEN", "docker.io/acme/tool:1.2.3"],
    ),
    (
        {
            "registryType": "pypi", "identifier": "acme-tool",
            "packageArguments": [
                {"type": "named", "name": "--root", "value": "/data"},
                {"type": "positional", "valueHint": "file_path", "isRequired": True},
            ],
        },
        ["uvx", "acme-tool", "--root", "/data", "${file_path}"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("package", "command"), PACKAGES)
def test_a_package_is_started_with_what_reads_its_registry(package: dict[str, Any], command: list[str]) -> None:
    entry = entry_of(described(packages=[package]))
    assert entry.name == "tool"
    assert [entry.fields["command"], *entry.fields["args"]] == command


def test_what_is_required_and_not_said_is_a_variable() -> None:
    variables = [{"name": "TOKEN", "isRequired": True}, {"name": "MODE", "default": "fast"}, {"name": "MORE"}]
    package = {"registryType": "npm", "identifier": "x", "environmentVariables": variables}
    assert entry_of(described(packages=[package])).fields["env"] == {"TOKEN": "${TOKEN}", "MODE": "fast"}


def test_a_url_goes_before_a_package() -> None:
    remote = {
        "type": "sse",
        "url": "https://{tenant}.example.com/sse",
        "variables": {"tenant": {}},
        "headers": [{"name": "Authorization", "value": "Bearer {key}", "variables": {"key": {"isSecret": True}}}],
    }
    package = {"registryType": "npm", "identifier": "x"}
    assert entry_of(described(remotes=[remote], packages=[package])).fields == {
        "url": "https://${tenant}.example.com/sse",
        "transport": "sse",
        "headers": {"Authorization": "Bearer ${key}"},
    }


@pytest.mark.parametrize("more", [{}, {"packages": [{"registryType": "mcpb", "identifier": "x"}]}, {"remotes": "no"}])
def test_what_cannot_be_reached_or_started_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ServerJsonUnusable):
        entry_of(described(**more))

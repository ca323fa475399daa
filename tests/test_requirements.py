"""The requirement table tells the truth: every proof exists, every record exists, no line is there twice."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

import pytest

from tests.requirements import REQUIREMENTS, Requirement

ROOT = Path(__file__).resolve().parents[1]
WANTED_NOW = """
S3-33 S3-34 S3-72 S3-81 S4-18 S4-19 S4-68 S4-69 S2-71 S2-72 S2-73 S1-62 S1-64 S1-65 S1-66 S0-64
S3-1 S3-4 S3-5 S3-6 S3-18 S3-20 S3-21 S3-23 S3-25 S3-26 S3-27 S3-31 S3-32 S3-41 S3-55 S3-56 S3-59 S3-60 S3-76 S3-82
S1-10 S1-11 S1-15 S1-20 S1-21 S1-27 S1-28 S1-29 S1-30 S1-74 S1-78 S1-80 S1-82 S1-84
S2-5 S2-7 S2-8 S2-25 S2-26 S2-27 S2-28 S2-29 S2-198 S2-199 S2-200 S2-201 S2-204 S2-205 S2-207
S0-24 S0-25 S0-28 S0-48 S0-49 S0-51 S0-53 S0-72 S0-84 S0-85 S0-86 S0-87 S0-88 S0-89 S0-96 S0-100
"""


@lru_cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.id)
def test_every_requirement_in_the_table_is_proven(requirement: Requirement) -> None:
    assert requirement.tests, f"{requirement.id} has no test"
    for proof in requirement.tests:
        path, _, name = proof.partition("::")
        assert (ROOT / path).is_file(), f"{requirement.id}: {path} does not exist"
        assert name in names_in(path), f"{requirement.id}: {path} has no {name}"
    if requirement.status == "met otherwise":
        assert requirement.decision is not None, f"{requirement.id}: met otherwise, but where is the reason?"
        assert (ROOT / requirement.decision).is_file(), f"{requirement.decision} does not exist"


def test_no_requirement_is_there_twice_and_none_that_was_promised_is_missing() -> None:
    ids = [r.id for r in REQUIREMENTS]
    assert len(ids) == len(set(ids))
    assert set(ids) >= set(WANTED_NOW.split())

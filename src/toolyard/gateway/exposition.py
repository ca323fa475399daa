"""Metrics as plain values: those of several processes as one, and the text format that Prometheus reads (0.0.4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from math import inf, isinf, isnan
from typing import Any

Family = list[Any]
"""A metric: its name, documentation, type, and samples; a sample is its name, its labels and its value."""
Together = Callable[[tuple[float, float]], float]


def family(name: str, documentation: str, kind: str, samples: Iterable[tuple[Mapping[str, str], float]] = ()) -> Family:
    """A counter or gauge of these labels and values. A counter's samples are called `…_total`."""
    sample = f"{name}_total" if kind == "counter" else name
    return [name, documentation, kind, [[sample, dict(labels), value] for labels, value in samples]]


def histogram(
    name: str, documentation: str, bounds: Collection[float], seen: Iterable[tuple[Mapping[str, str], list[int], float]]
) -> Family:
    """A histogram: for each of the labels, how many were seen up to each bound and above all, and their sum."""
    samples: list[list[Any]] = []
    for labels, counts, total in seen:
        below = 0
        for bound, count in zip((*bounds, inf), counts, strict=True):
            below += count
            samples.append([f"{name}_bucket", {**labels, "le": _number(bound)}, below])
        samples += [[f"{name}_count", dict(labels), below], [f"{name}_sum", dict(labels), total]]
    return [name, documentation, "histogram", samples]


def merged(processes: Iterable[Iterable[Family]], together: Mapping[str, Together]) -> list[Family]:
    """The metrics of several processes as those of one: added up, but for the names in `together`."""
    families: dict[str, Family] = {}
    places: dict[tuple[str, tuple[tuple[str, str], ...]], list[Any]] = {}
    for name, documentation, kind, samples in (one for process in processes for one in process):
        found = families.setdefault(name, [name, documentation, kind, []])
        for sample, labels, value in samples:
            key = (sample, tuple(sorted(labels.items())))
            if key in places:
                places[key][2] = together.get(name, sum)((places[key][2], value))
            else:
                places[key] = [sample, labels, value]
                found[3].append(places[key])
    return list(families.values())


def encode(families: Iterable[Family]) -> bytes:
    """The text format."""
    return "".join(line for one in families for line in _lines(*one)).encode()


def _lines(name: str, documentation: str, kind: str, samples: list[Any]) -> Iterator[str]:
    shown = f"{name}_total" if kind == "counter" else name
    yield f"# HELP {shown} {_escaped(documentation)}\n# TYPE {shown} {kind}\n"
    for sample, labels, value in samples:
        inside = ",".join(f'{label}="{_quoted(labels[label])}"' for label in sorted(labels))
        yield f"{sample}{{{inside}}} {_number(value)}\n" if inside else f"{sample} {_number(value)}\n"


def _number(value: float) -> str:
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")

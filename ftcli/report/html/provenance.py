"""Where the figures of a page come from, so that they can be made again, as sections of it."""

import shlex
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from ftcli.console.cells import set_name
from ftcli.report.html.components import Cell, Code, Column, DataTable, Facts, Part, Section
from ftcli.report.types import Data, Report

WORDS = {
    "ID, in distribution": "data like that of training",
    "OOD, out of distribution": "other data of the same classes: another style, camera, place or time",
    "ID-val": "part of the data like that of training by which rates, epochs and choices are selected",
    "ID-test": "part of it that nothing was selected by",
    "OOD mean": "mean of the accuracies on the OOD sets, each counting the same",
    "interval": "where the accuracy would lie on other images, or with other seeds, of the same kind; overlapping "
    "intervals do not prove a difference, nor that there is none: ftcli compare tests that on the same images",
    "LP, linear probing": "only the last layer, the head, is trained",
    "FT, fine-tuning": "all weights are trained, from a new head",
    "LP-FT": "first LP, then FT from its head",
    "surgical fine-tuning": "only some blocks of the network are trained",
    "confidence": "the probability that a model gives to the class that it answers",
    "calibrated": "of answers with confidence 80 %, 80 in 100 are right",
}


def glossary() -> Section:
    """The words of a page about runs."""
    return Section("Words", [Facts(WORDS)])


def provenance(report: Report) -> Section:
    """Command, options, data, weights and versions."""
    parts: list[Part] = []
    if report.argv:  # none of a call in Python
        parts.append(Code("The command, which gives the same figures:", f"ftcli {shlex.join(report.argv)}"))
    if report.data is not UNSET:
        parts.append(data_table(report.data))
    if report.model is not UNSET:
        model = report.model
        blocks = ", ".join(f"{block.name} ({block.parameters:,})" for block in model.blocks)
        facts = {"architecture": f"{model.name} (timm)", "weights": model.checkpoint or "random"}
        facts |= {
            "SHA-256 of the weights": model.sha256 or "",
            "blocks, parameters": blocks,
            "input": named(model.input),
        }
        parts.append(Facts({name: what for name, what in facts.items() if what}))
    made = {"made by": f"ftcli {report.version}, {report.created}"}
    if report.environment is not UNSET:
        made |= {"environment": named(report.environment)}
    parts.append(Facts(made | {"time in seconds": named(report.timing), "options": named(report.config)}))
    return Section("Provenance", parts)


def named(values: Mapping[str, Any] | Any) -> str:
    """Names with their values on a line, without those that have none."""
    given = {} if values is UNSET or values is None else dict(values.items())
    return ", ".join(f"{name} {plain(value)}" for name, value in given.items() if value not in (None, UNSET, False, []))


def plain(value: Any) -> str:
    """A value in words; of a list its members."""
    if isinstance(value, list | tuple):
        return " ".join(map(plain, value))
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


def data_table(data: Data) -> DataTable:
    """Every set, where it came from, and the digest of its images and labels."""
    rows = []
    for name, found in data.by_set().items():
        left_out = found.dropped + found.damaged
        counts = (f"{found.n:,}", f"{found.classes:,}", f"{left_out:,}" if left_out else "")
        rows.append([Cell(set_name(name)), Cell(found.spec), *map(Cell, counts), Cell(found.fingerprint)])
    columns = [
        Column("set", words=True),
        Column("data", words=True),
        Column("images"),
        Column("classes"),
        Column("left out", "images of classes that the task does not have, and damaged ones that were skipped"),
        Column("fingerprint", "SHA-256 of all images and labels in their order: equal for equal data", words=True),
    ]
    return DataTable("Data", columns, rows)

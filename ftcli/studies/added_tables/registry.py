"""The tables that `--tables` adds by name: what each needs, how it is made, how it is shown."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from ftcli.studies.added_tables import (
    early_stopping,
    feature_quality,
    pretraining,
    published,
    robustness,
    surgical_tasks,
)
from ftcli.studies.added_tables.material import Material
from ftcli.studies.added_tables.types import AddedTables
from ftcli.studies.cells import Planned


class AddedTable(NamedTuple):
    """check: raises RequestError where the planned cells of these benchmarks cannot fill it."""

    check: Callable[[Sequence[Planned], Sequence[str]], None]
    make: Callable[[Material], Any]
    shown: Callable[[Any, int], list[Table]]


ADDED_TABLES = {
    "published": AddedTable(published.check, published.make, published.shown),
    "feature-quality": AddedTable(feature_quality.check, feature_quality.make, feature_quality.shown),
    "early-stopping": AddedTable(early_stopping.check, early_stopping.make, early_stopping.shown),
    "pretraining": AddedTable(pretraining.check, pretraining.make, pretraining.shown),
    "surgical-tasks": AddedTable(surgical_tasks.check, surgical_tasks.make, surgical_tasks.shown),
    "robustness": AddedTable(robustness.check, robustness.make, robustness.shown),
}


def check_tables(names: Iterable[str], planned: Sequence[Planned], not_here: Iterable[str]) -> None:
    """Raises RequestError where the cells of a study cannot fill a table that is asked for."""
    benchmarks = list(dict.fromkeys([*(one.cell.benchmark for one in planned), *not_here]))
    for name in names:
        ADDED_TABLES[name].check(planned, benchmarks)


def make_tables(names: Iterable[str], study: Material) -> AddedTables:
    """The tables of these names."""
    return AddedTables(**{name.replace("-", "_"): ADDED_TABLES[name].make(study) for name in names})


def shown_tables(tables: AddedTables, width: int) -> list[Table]:
    """All tables for a terminal or a page of `width` characters, in the order of their names here."""
    return [one for name, table in tables.items() for one in ADDED_TABLES[name].shown(table, width)]

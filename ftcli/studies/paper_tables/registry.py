"""The tables of papers by name: what each needs, how it is made, how it is shown."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from ftcli.studies.cells import Planned
from ftcli.studies.paper_tables import early_stopping, feature_quality, pretraining, published, surgical_tasks
from ftcli.studies.paper_tables.material import Material
from ftcli.studies.types import PaperTables


class PaperTable(NamedTuple):
    """check: raises RequestError where the planned cells of these benchmarks cannot fill it."""

    check: Callable[[Sequence[Planned], Sequence[str]], None]
    make: Callable[[Material], Any]
    shown: Callable[[Any], list[Table]]


PAPER_TABLES = {
    "published": PaperTable(published.check, published.make, published.shown),
    "feature-quality": PaperTable(feature_quality.check, feature_quality.make, feature_quality.shown),
    "early-stopping": PaperTable(early_stopping.check, early_stopping.make, early_stopping.shown),
    "pretraining": PaperTable(pretraining.check, pretraining.make, pretraining.shown),
    "surgical-tasks": PaperTable(surgical_tasks.check, surgical_tasks.make, surgical_tasks.shown),
}


def check_tables(names: Iterable[str], planned: Sequence[Planned], not_here: Iterable[str]) -> None:
    """Raises RequestError where the cells of a study cannot fill a table that is asked for."""
    benchmarks = list(dict.fromkeys([*(one.cell.benchmark for one in planned), *not_here]))
    for name in names:
        PAPER_TABLES[name].check(planned, benchmarks)


def make_tables(names: Iterable[str], study: Material) -> PaperTables:
    """The tables of these names."""
    return PaperTables(**{name.replace("-", "_"): PAPER_TABLES[name].make(study) for name in names})


def shown_tables(tables: PaperTables) -> list[Table]:
    """All tables for a terminal or a page, in the order of their names here."""
    return [one for name, table in tables.items() for one in PAPER_TABLES[name].shown(table)]

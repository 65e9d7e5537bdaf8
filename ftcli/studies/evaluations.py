"""The OOD sets that are new to finished cells: each model is evaluated on each, and every set is opened beforehand."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from ftcli.api import to_argv
from ftcli.config.measuring import Evaluate
from ftcli.config.shared import Common, Loading, Running
from ftcli.errors import RequestError
from ftcli.studies.cells import EVALUATE, Cell, Planned, folder_name, planned, sets_of, without_separator


def evaluations(before: Planned, now: Planned, names: dict[str, Planned], study: Path) -> Iterator[Planned]:
    """A cell for every OOD set that is new since an earlier cell: its model on that set. `names` gets them too."""
    for name, spec in sets_of(now.config).items():
        if name in sets_of(before.config):
            continue
        cell = Cell(
            f"{before.cell.name}+{folder_name(name)}", before.cell.benchmark, before.cell.method, before.cell.seed,
            (EVALUATE, f"--ood={name}={spec}", *running_words(now.config)), before.cell.name, before.cell.name,
            before.cell.checkpoint,
        )  # fmt: skip
        if cell.name in names:
            was = sets_of(names[cell.name].config).get(name)
            if was == spec:
                continue
            if cell.is_finished(study):  # else its set was a wrong one, and this one takes its place
                raise RequestError(
                    f"--out {str(study)!r} holds a study with --ood {name} {was}, and this one has {spec}.",
                    "give the set another name, or name another --out",
                )
        names[cell.name] = planned(cell)
        yield names[cell.name]


def commands_that_open(cells: Sequence[Planned], study: Path) -> list[tuple[str, ...]]:
    """A command for each new set of a benchmark that opens it: of the cells that are left, an evaluation whose model is
    there already, else the training of that model, with the set.
    """
    by_name = {one.cell.name: one.cell for one in cells}
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for cell in (one.cell for one in cells if one.cell.model):
        sets = [word for word in cell.words if word.startswith("--ood=")]
        trains = by_name.get(cell.model)
        words = (*trains.words, *sets) if trains else (*cell.words, str(study / cell.model))
        found.setdefault((cell.benchmark, *sets), words)
    return list(found.values())


def running_words(config: Common) -> list[str]:
    """How images go through a model, as words of `evaluate`; how it is loaded is in its folder."""
    mine = {one.name for one in fields(Running)} - {one.name for one in fields(Loading)} | {"import_"}
    plain = {one.name: one.default for one in fields(Evaluate)}
    values = {name: getattr(config, name) for name in sorted(mine)}
    return without_separator(to_argv(EVALUATE, {name: v for name, v in values.items() if v != plain[name]}))[1:]

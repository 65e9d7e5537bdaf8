"""The cells of a study: every benchmark with every method, every value of --set and every seed.

A cell is known by its command and its options as resolved, so a cell that was run before is found again under another
spelling, and is not run twice.
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ftcli.api import to_argv
from ftcli.cli.main import configuration_of
from ftcli.config.shared import Common
from ftcli.config.study import Study
from ftcli.config.training import LOOP_OPTIONS
from ftcli.errors import DataNotHere, RequestError
from ftcli.limits import MAX_CELLS
from ftcli.report.read import read_report
from ftcli.report.types import Report
from ftcli.run_folder.options import options_in_request
from ftcli.run_folder.options import other_options as other_options_of
from ftcli.studies.cells import DATA, Cell, Planned, folder_name, planned, sets_of, without_separator
from ftcli.studies.evaluations import evaluations
from ftcli.studies.lines import Line, check_given_once, has_option, read_line
from ftcli.studies.settings import (
    Setting,
    checkpoint_of,
    label_of,
    rates_of,
    read_settings,
    several,
)

TYPED_DATA = "data"  # the name of the benchmark whose sets are typed
NO_STEPS = (*LOOP_OPTIONS, "budget")  # options that the exact probe has no use for


def plan_cells(config: Study, earlier: Sequence[Cell], study: Path) -> tuple[list[Planned], dict[str, str]]:
    """All cells of a study: the earlier ones first, then those that this request adds, in its order; and why the data
    of a benchmark cannot be used, where that is so for some of several.

    Raises:
        RequestError: a method, an option or a value that does not exist, and whatever a command says of its options;
            other data under the name of an earlier benchmark; an earlier cell with other options.
    """
    known = [planned(cell) for cell in earlier]
    by_key = {one.key: one for one in known if not one.cell.model}
    names = {one.cell.name: one for one in known}
    added: list[Planned] = []
    asked, not_here = requested(config, known)
    for one in asked:
        check_same_data(one, known, study)
        if (before := by_key.get(one.key)) is None:
            if one.cell.name in names:
                raise other_options(one, names[one.cell.name], study)
            before = by_key[one.key] = names[one.cell.name] = as_it_ran(one, study)
            added.append(before)
        added += evaluations(before, one, names, study)
    for new in added:
        check_same_run(new, study)
    every = list({one.cell.name: one for one in [*known, *added]}.values())
    check_count(len(every))
    return in_order(every), not_here


def check_count(cells: int) -> None:
    """Raises RequestError for more cells than a study may have."""
    if cells > MAX_CELLS:
        raise RequestError(f"the study has {cells:,} cells or more, and at most {MAX_CELLS:,} are run.", "part it")


def as_it_ran(one: Planned, study: Path) -> Planned:
    """A cell that the list lacks, without the OOD sets that are new to the finished run in its folder, if there is one:
    as of any finished cell, its model is evaluated on them.
    """
    if not one.cell.is_finished(study):
        return one
    ran = {text.partition("=")[0] for text in report_of(one, study).config.get("ood") or ()}
    words = [word for word in one.cell.words if not word.startswith("--ood=") or word.split("=")[1] in ran]
    return planned(replace(one.cell, words=tuple(words)))


def check_same_run(one: Planned, study: Path) -> None:
    """Raises RequestError where a cell that the list lacks has a finished run in its folder with other options."""
    if not one.cell.is_finished(study):
        return
    options = options_in_request(one.config)
    if one.cell.model:  # the folder of its model is known only with that of the study
        del options["checkpoint"]
    if other := other_options_of(report_of(one, study).config, options):
        raise RequestError(
            f"{str(study / one.cell.name)!r} holds a finished run with {other}.",
            "name another --out, or type the options that it ran with",
        )


def report_of(one: Planned, study: Path) -> Report:
    """The report of a finished cell. Raises RequestError where it cannot be read."""
    try:
        return read_report(study / one.cell.name)
    except RequestError as error:
        raise RequestError(error.problem, f"remove {study / one.cell.name} and type the study again") from None


def requested(config: Study, known: Sequence[Planned]) -> tuple[list[Planned], dict[str, str]]:
    """What the options ask for, benchmark by benchmark; and the benchmarks whose data are not here.

    Raises DataNotHere where the data of none is here.
    """
    lines = [read_line(text) for text in config.method_lines()]
    settings = read_settings(config.set or ())
    check_given_once(settings, lines, config)
    found: list[Planned] = []
    not_here: dict[str, str] = {}
    for benchmark in config.preset or (TYPED_DATA,):
        try:
            found += cells_of_benchmark(benchmark, lines, settings, config, known)
        except DataNotHere as error:
            if len(config.preset or ()) < 2:
                raise
            not_here[benchmark] = error.problem
            missing = error
    if not found:
        raise missing
    return found, not_here


def cells_of_benchmark(
    benchmark: str, lines: Sequence[Line], settings: Sequence[Setting], config: Study, known: Sequence[Planned]
) -> list[Planned]:
    """Method by method, setting by setting, seed by seed."""
    preset = [f"--preset={benchmark}"] if config.preset else []
    found: list[Planned] = []
    for line in lines:
        words = with_shared(line, preset, config)
        own = [setting for setting in settings if is_used(setting, words)]
        for values in itertools.product(*(setting.values for setting in own)):
            pairs = list(zip(own, values, strict=True))
            typed = [*words, *(f"{setting.typed}={value}" for setting, value in pairs)]
            resolved = configuration_of(typed)
            if not any(word.partition("=")[0] == "--threads" for word in typed):
                threads = resolved.threads or threads_for(config, known)  # type: ignore[attr-defined]
                typed.append(f"--threads={threads}")
            label, checkpoint = label_of([line.command, *line.options], pairs), checkpoint_of(pairs)
            names = [folder_name(checkpoint)] * bool(checkpoint) + [folder_name(" ".join([label, *rates_of(pairs)]))]
            seeded = draws_numbers(resolved)
            seeds = config.seed_list() if seeded else config.seed_list()[:1]
            check_count(len(found) + len(seeds))
            for seed in seeds:
                cell_words = (*typed, f"--seed={seed}") if seeded else tuple(typed)
                name = "/".join([benchmark, *names, f"seed-{seed}"])
                found.append(planned(Cell(name, benchmark, label, seed, cell_words, checkpoint=checkpoint)))
    return found


def with_shared(line: Line, preset: Sequence[str], config: Study) -> list[str]:
    """The words of a method: the preset, the shared options that it makes use of, its own options."""
    passed_on = config.passed_on()
    used = {name: value for name, value in passed_on.items() if name not in NO_STEPS}
    words = [line.command, *preset, *without_separator(to_argv("finetune", used))[1:], *line.options]
    if line.command == "probe" and not draws_numbers(configuration_of(words)):
        return words
    return [line.command, *preset, *without_separator(to_argv("finetune", passed_on))[1:], *line.options]


def is_used(setting: Setting, words: Sequence[str]) -> bool:
    """Whether a command makes use of an option: the exact probe has no use for those of the loop."""
    if not has_option(words[0], setting.option):
        return False
    loop_alone = words[0] == "probe" and setting.option in NO_STEPS
    return not loop_alone or draws_numbers(configuration_of(words))


def draws_numbers(config: Common) -> bool:
    """Whether a command gives other figures under another seed; the exact probe does not."""
    return getattr(config, "solver", "") != "lbfgs"


def threads_for(config: Study, known: Sequence[Planned]) -> int:
    """CPU threads of a cell: those of the earlier cells, else an equal share of this machine's cores.

    Raises RequestError where the cells run on other machines, whose cores are not known.
    """
    for one in known:
        if (threads := getattr(one.config, "threads", None)) is not None:
            return int(threads)
    if config.engine != "local":
        raise RequestError(
            f"--engine {config.engine}: nothing says how many CPU threads a cell has, and figures depend on it.",
            "add --threads 4, or as many as one job gets",
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // config.jobs)


def check_same_data(one: Planned, known: Sequence[Planned], study: Path) -> None:
    """Raises RequestError where earlier cells of the benchmark have other data, or another set under an OOD name."""
    for before in known:
        if before.cell.benchmark != one.cell.benchmark or before.cell.model:
            continue
        was, now = options_in_request(before.config), options_in_request(one.config)
        sets = sets_of(before.config), sets_of(one.config)
        pairs = [(f"--{name.replace('_', '-')}", was.get(name), now.get(name)) for name in DATA]
        pairs += [(f"--ood {name}", sets[0][name], spec) for name, spec in sets[1].items() if name in sets[0]]
        for option, old, new in pairs:
            if old != new:
                was_given = f"with {option} {old}" if old is not None else f"without {option}"
                raise RequestError(
                    f"--out {str(study)!r} holds a study {was_given}, and this one has {new or 'none'}.",
                    "name another --out",
                )


def other_options(one: Planned, before: Planned, study: Path) -> RequestError:
    """The error that an earlier cell has other options under the same words."""
    was, now = options_in_request(before.config), options_in_request(one.config)
    name = next((name for name in now if was.get(name) != now[name]), "ood")
    return RequestError(
        f"--out {str(study)!r} holds a study whose cell {one.cell.name} has --{name.replace('_', '-')} "
        f"{was.get(name)}, and this one has {now.get(name)}.",
        f"name another --out, or compare the two: {several(name)}",
    )


def in_order(found: Sequence[Planned]) -> list[Planned]:
    """The cells, each new one told which must end before it: of those that share data and weights, one goes first.

    A probe goes first where there is one: it computes the features of the training set, which others use.
    """
    groups: dict[str, list[Planned]] = {}
    for one in found:
        if not one.cell.model:
            groups.setdefault(one.shares, []).append(one)
    first: dict[str, str] = {}
    for share, members in groups.items():
        leader = next((one for one in members if one.cell.command == "probe"), members[0])
        first[share] = leader.cell.name
    done = []
    for one in found:
        if not one.cell.model and one.cell.name != first[one.shares]:
            one = replace(one, cell=replace(one.cell, first=first[one.shares]))
        elif not one.cell.model:
            one = replace(one, cell=replace(one.cell, first=""))
        done.append(one)
    return done

"""The cells of a study: every benchmark with every method, every value of --set and every seed.

A cell is known by its command and its options as resolved, so a cell that was run before is found again under another
spelling, and is not run twice.
"""

import itertools
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ftcli.api import to_argv
from ftcli.cli.main import configuration_of
from ftcli.commands import COMMANDS
from ftcli.config.measuring import Evaluate
from ftcli.config.shared import Common, Loading, Reporting, Running
from ftcli.config.study import NOT_PASSED_ON, Study
from ftcli.config.training import LOOP_OPTIONS
from ftcli.errors import DataNotHere, RequestError, choose
from ftcli.limits import MAX_CELLS
from ftcli.run_folder.options import options_in_request
from ftcli.studies.cells import EVALUATE, Cell
from ftcli.studies.settings import Setting, checkpoint_of, label_of, rates_of, read_settings, settings_of

TYPED_DATA = "data"  # the name of the benchmark whose sets are typed
DATA = ("train", "id_val", "id_test", "split_seed", "cut_by", "damaged")  # what all cells of a benchmark share
LONGEST_NAME = 80  # characters of the name of a folder


class Line(NamedTuple):
    """A method as typed: its command, and its own options."""

    command: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """A cell with its options as resolved."""

    cell: Cell
    config: Common

    @property
    def key(self) -> str:
        """Equal for cells whose results are the same but for their OOD sets."""
        options = options_in_request(self.config)
        return json.dumps([self.cell.command, {name: value for name, value in options.items() if name != "ood"}])

    @property
    def shares(self) -> str:
        """Equal for cells that use the same images and the same weights, so one of them fills the cache for all."""
        options = options_in_request(self.config)
        return json.dumps([options.get(name) for name in (*DATA, "checkpoint", "model", "image_size")])


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
        if (before := by_key.get(one.key)) is not None:
            added += evaluations(before, one, names, study)
            continue
        if one.cell.name in names:
            raise other_options(one, names[one.cell.name], study)
        by_key[one.key] = names[one.cell.name] = one
        added.append(one)
    every = list({one.cell.name: one for one in [*known, *added]}.values())
    if len(every) > MAX_CELLS:
        raise RequestError(f"the study has {len(every):,} cells, and at most {MAX_CELLS:,} are run.", "part it")
    return in_order(every), not_here


def planned(cell: Cell) -> Planned:
    """A cell with its options resolved. Raises RequestError where it cannot be run any more."""
    model = ["--", "model"] if cell.model else []  # the folder is known only with that of the study
    return Planned(cell, configuration_of([*cell.words, *model]))


def requested(config: Study, known: Sequence[Planned]) -> tuple[list[Planned], dict[str, str]]:
    """What the options ask for, benchmark by benchmark; and the benchmarks whose data are not here.

    Raises DataNotHere where the data of none is here.
    """
    lines = [read_line(text) for text in config.method_lines()]
    settings = read_settings(config.set or ())
    for setting in settings:
        check_used(setting, lines)
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
            for seed in config.seed_list() if seeded else config.seed_list()[:1]:
                cell_words = (*typed, f"--seed={seed}") if seeded else tuple(typed)
                name = "/".join([benchmark, *names, f"seed-{seed}"])
                found.append(planned(Cell(name, benchmark, label, seed, cell_words, checkpoint=checkpoint)))
    return found


def with_shared(line: Line, preset: Sequence[str], config: Study) -> list[str]:
    """The words of a method: the preset, the shared options that it makes use of, its own options."""
    passed_on = config.passed_on()
    words = [line.command, *preset, *without_separator(to_argv("finetune", passed_on))[1:], *line.options]
    if draws_numbers(configuration_of(words)):
        return words
    used = {name: value for name, value in passed_on.items() if name not in LOOP_OPTIONS}
    return [line.command, *preset, *without_separator(to_argv("finetune", used))[1:], *line.options]


def is_used(setting: Setting, words: Sequence[str]) -> bool:
    """Whether a command makes use of an option: the exact probe has no use for those of the loop."""
    if not has_option(words[0], setting.option):
        return False
    loop_alone = words[0] == "probe" and setting.option in LOOP_OPTIONS
    return not loop_alone or draws_numbers(configuration_of(words))


def read_line(text: str) -> Line:
    """A method as typed. Raises RequestError for no training command, and for an option that is the study's."""
    try:
        command, *options = shlex.split(text) or [""]
    except ValueError as error:
        raise RequestError(f"--method {text!r} is not parted into words: {error}.", "check its quotes") from None
    training = [name for name, row in COMMANDS.items() if row.method]
    if command not in training:
        what = "--methods" if not options else "--method"
        raise RequestError(f"{what} {command!r} is no command that trains.", choose(command, training))
    for word in options:
        name = word.partition("=")[0].lstrip("-").replace("-", "_")
        if word.startswith("--") and (name in NOT_PASSED_ON or name == "html"):
            raise RequestError(
                f"--method {text!r}: {word.partition('=')[0]} is decided by the study.", "give it to the study itself"
            )
    return Line(command, tuple(options))


def has_option(command: str, option: str) -> bool:
    return option in settings_of(command)


def check_used(setting: Setting, lines: Sequence[Line]) -> None:
    """Raises RequestError for an option that none of the methods has, or that one of them has a value for."""
    for line in lines:
        if setting.typed in (word.partition("=")[0] for word in line.options):
            raise RequestError(
                f"--set {setting.option}: --method {shlex.join([line.command, *line.options])!r} has a value for it.",
                "leave it out of one of the two",
            )
    if not any(has_option(line.command, setting.option) for line in lines):
        every = {name for line in lines for name in settings_of(line.command)}
        raise RequestError(
            f"--set {setting.option}: no method of the study has an option {setting.typed}.",
            choose(setting.option, sorted(every)),
        )


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


def folder_name(words: str) -> str:
    """A name for a folder from words: their letters and digits, with a digest where signs are lost."""
    plain = re.sub(r"[^A-Za-z0-9.,=+-]+", "_", words.replace(" --", " ")).strip("_.")
    if plain and len(plain) <= LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9.,=+ -]+", words):
        return plain
    return f"{plain[: LONGEST_NAME - 9]}-{sha256(words.encode()).hexdigest()[:8]}"


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
                raise RequestError(
                    f"--out {str(study)!r} holds a study with {option} {old}, and this one has {new}.",
                    "name another --out",
                )


def other_options(one: Planned, before: Planned, study: Path) -> RequestError:
    """The error that an earlier cell has other options under the same words."""
    was, now = options_in_request(before.config), options_in_request(one.config)
    name = next((name for name in now if was.get(name) != now[name]), "ood")
    return RequestError(
        f"--out {str(study)!r} holds a study whose cell {one.cell.name} has --{name.replace('_', '-')} "
        f"{was.get(name)}, and this one has {now.get(name)}.",
        "name another --out, or compare the two: --set " + f"{name}=A,B",
    )


def sets_of(config: Common) -> dict[str, str]:
    """The OOD sets of a command, by name."""
    assert isinstance(config, Reporting)
    return dict(config.ood_sets())


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


def running_words(config: Common) -> list[str]:
    """How images go through a model, as words of `evaluate`; how it is loaded is in its folder."""
    mine = {one.name for one in fields(Running)} - {one.name for one in fields(Loading)} | {"import_"}
    plain = {one.name: one.default for one in fields(Evaluate)}
    values = {name: getattr(config, name) for name in sorted(mine)}
    return without_separator(to_argv(EVALUATE, {name: v for name, v in values.items() if v != plain[name]}))[1:]


def without_separator(words: Sequence[str]) -> list[str]:
    """Words of a command without arguments, and without the "--" before these."""
    return [word for word in words if word != "--"]


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

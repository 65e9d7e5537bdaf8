"""What every command works in that holds models against each other; the order is that of `run`.

Models A, B, … and data specs make a study; a measure looks at it; its answer is a report, and a model, a figure or a
sheet where one is asked for. Each command is a file beside this one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import nn

from ftcli.config import Measuring, Resumable
from ftcli.console.answer import Answer, report_answer
from ftcli.console.progress import ConsoleLog
from ftcli.data.overlap import warn_repeated
from ftcli.data.task import Task, build_task, pictures, task_set
from ftcli.engine.device import Machine, machine_of
from ftcli.engine.experiment import Experiment, experiment_of
from ftcli.errors import RequestError
from ftcli.figures.plots import check_plot
from ftcli.log import Log
from ftcli.measures.results import Results
from ftcli.methods.initial_head import head_order, reorder_head
from ftcli.model.head import classifier_tensors
from ftcli.model.loading.load import Loaded
from ftcli.model.loading.requested import load_each_as_is
from ftcli.processes import process_index
from ftcli.report.build import build, time_since
from ftcli.report.models import describe_models, names_of
from ftcli.run import cache_of, task_of
from ftcli.run_folder.folder import claim, made, write_run

INPUT = ("input_size", "mean", "std")  # of timm's data configuration: what an image is to a model


@dataclass(frozen=True)
class Study:
    """Models on one device, the sets on which they are held against each other, and where the answer goes."""

    config: Measuring
    loaded: list[Loaded]
    judge: Loaded  # by whose classes the sets are labelled, and whose transform makes the images
    task: Task
    experiment: Experiment
    log: Log
    folder: Path
    started: float

    @property
    def machine(self) -> Machine:
        return self.experiment.machine

    @property
    def models(self) -> list[nn.Module]:
        return [one.model for one in self.loaded]

    @property
    def names(self) -> list[str]:
        """What the models are called in tables and warnings."""
        return names_of(self.config.every_model())

    def answer(
        self, parts: Mapping[str, Any], results: Sequence[Results] = (), predictions: pa.Table | None = None,
        save_weights: Callable[[Path], None] | None = None, folder: Path | None = None,
    ) -> Answer:  # fmt: skip
        """The report, written and shown. `parts`: the measure's own keys; `results`: the figures of one model.

        `folder`: where it goes, if that is made already.
        """
        command = type(self.config).__name__.lower()
        timing = time_since(self.started)
        parts = {"models": describe_models(self.config.every_model(), self.loaded)} | dict(parts)
        first, machine = self.loaded[0], self.machine
        report = build(command, self.config, self.task, first, machine, results, self.log, timing, None, parts)
        if machine.rank == 0:
            folder = folder or made(self.folder, self.config.out)
            write_run(folder, report, [], predictions, save_weights)
        return report_answer(report, folder)


@contextmanager
def study_of(
    config: Measuring, *, labelled: bool = True, judge: int = 0, headless: bool = False, done: bool = False
) -> Iterator[Study]:
    """Everything that a measure works in.

    `judge`: the model whose classes the sets are labelled by, and whose transform makes the images. `headless`: the
    others need no head. `labelled` False: classes play no part, and no model needs a head. `done`: OUT may hold a
    finished run.
    """
    started = time.perf_counter()
    check_plot(getattr(config, "plot", None))
    with ConsoleLog(config.quiet or process_index() > 0) as log:
        command, lasting = type(config).__name__.lower(), isinstance(config, Resumable)
        folder = claim(config.out, command, config.overwrite or done, lasting=lasting)
        machine, cache = machine_of(config), cache_of(config, log)
        where = config.every_model()
        may_lack_head = [not labelled or (headless and place != judge) for place in range(len(where))]
        loaded = load_each_as_is(config, where, may_lack_head, log)
        warn_of_twins(where, loaded, log)
        task = task_of(config, log, cache, loaded[judge]) if labelled else pictures_of(config, log)
        experiment = experiment_of(task, loaded[judge].data_config, machine, config, log, cache)
        for one in loaded:
            machine.place(one.model)
        yield Study(config, loaded, loaded[judge], task, experiment, log, folder, started)


def pictures_of(config: Measuring, log: Log) -> Task:
    """The sets where labels mean nothing. With a training set the cuts from it are those of training."""
    cache = cache_of(config, log)
    alone = {} if config.train else {"id_val": config.id_val, "id_test": config.id_test}
    chosen = {name: pictures(spec, log) for name, spec in [*alone.items(), *config.ood_sets()] if spec}
    cut = None
    if config.train:
        cut = build_task(
            train=config.train, id_val=config.id_val, id_test=config.id_test, ood=(), split_seed=config.split_seed,
            damaged=config.damaged, log=log, cache=cache,
        )  # fmt: skip
    sets = {name: images.inspected(damaged=config.damaged, log=log, cache=cache) for name, images in chosen.items()}
    inside = {role: sets.pop(role) for role in alone if role in sets}
    val, test = (task_set(inside[role]) if role in inside else None for role in ("id_val", "id_test"))
    cut = cut or Task((), named=False, train=None, id_val=val, id_test=test, ood={})
    held = {"train": cut.train, "id_val": cut.id_val, "id_test": cut.id_test}
    warn_repeated({role: one.images for role, one in held.items() if one is not None}, sets, log)
    return replace(cut, ood={name: task_set(images) for name, images in sets.items()})


def warn_of_twins(where_all: Sequence[str], loaded: Sequence[Loaded], log: Log) -> None:
    """A file that is compared with itself is more often a slip than a wish."""
    seen: dict[str, str] = {}
    for where, one in zip(where_all, loaded, strict=True):
        sha = one.checkpoint.sha256 if one.checkpoint else None
        if sha and sha in seen:
            log.warn("identical-files", f"{where} and {seen[sha]} are the same file, to the byte")
        elif sha:
            seen[sha] = where


def same_architecture(study: Study) -> None:
    """Raises RequestError where a model has other blocks than the first: nothing in them corresponds. Warns where one
    sees images of another kind than it was made for.
    """
    where_all, first = study.config.every_model(), study.loaded[0]
    for where, other in zip(where_all[1:], study.loaded[1:], strict=True):
        if body_shapes(first.model) != body_shapes(other.model):
            raise RequestError(
                f"{where} is a {other.name}, and {where_all[0]} a {first.name}: their blocks do not correspond.",
                "give models of one architecture, trained from one another or side by side",
            )
    for where, one in zip(where_all, study.loaded, strict=True):
        if other_input := [
            name for name in INPUT if tuple(one.data_config[name]) != tuple(study.judge.data_config[name])
        ]:
            size = "; --image-size sets it for all" if "input_size" in other_input else ""
            what = " and ".join(other_input)
            study.log.warn("other-input", f"{where} was made for images of another {what} than it sees here{size}")


def heads_in_order(study: Study, classes: tuple[str, ...]) -> list[bool]:
    """Put the rows of every head in the order of these classes; which models have a head of just those classes."""
    fitting = []
    for one in study.loaded:
        if (order := head_order(one, classes, study.log)) is not None:
            reorder_head(one.model, order)
        fitting.append(order is not None)
    return fitting


def body_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of every parameter but the head's."""
    head = classifier_tensors(model)
    return {name: tuple(p.shape) for name, p in model.named_parameters() if name not in head}

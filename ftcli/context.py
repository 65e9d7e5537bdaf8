"""What every command that reads data or writes a run folder opens, once: log, folder, machine, cache, sets of images.

with open_context(config) as context:
    loaded = load_with_head(config, config.checkpoint, context.log)
    task = context.task(loaded)
    inputs = context.inputs(task, loaded.data_config)
    return context.answer(task, loaded, results)
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from msgspec import UNSET

from ftcli.cache.cache import Cache, open_cache
from ftcli.config.adapting import Adapt
from ftcli.config.details.options import Detailed
from ftcli.config.measuring import TrainingSets
from ftcli.config.shared import Common, Reporting, Resumable, RunFolder, Running
from ftcli.config.training import Training
from ftcli.console.answer import Answer
from ftcli.console.json_lines import JsonLog
from ftcli.console.progress import ConsoleLog
from ftcli.data.preparation import NO_TRANSFORMS, Transforms
from ftcli.data.storage.retries import waits_announced_to
from ftcli.data.task import OpenedSets, Task, open_sets, read_task, warn_few_to_pick
from ftcli.data.transforms import DataConfig
from ftcli.engine.device import Machine, machine_of
from ftcli.engine.grid import Trained
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.engine.run_inputs import RunInputs, run_inputs_of, transforms_of
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.measures.confusion import check_pairs
from ftcli.measures.results import Results
from ftcli.model.head import head_of
from ftcli.model.loading.load import Loaded
from ftcli.model_card.card import model_card
from ftcli.model_card.metadata import base_model_of
from ftcli.processes import process_index
from ftcli.report.build import build
from ftcli.report.read import read_report
from ftcli.report.tables import report_answer
from ftcli.report.types import Report
from ftcli.run_folder.folder import choose_output_folder, make_output_folder, write_run
from ftcli.run_folder.names import PAGE, REPORT
from ftcli.run_folder.options import command_of, options_in_request, other_options
from ftcli.run_folder.request import Request, digest_of, other_classes, request_of
from ftcli.run_folder.resumable import resumable_run
from ftcli.tracking.kinds import check_installed
from ftcli.tracking.trackers import Trackers, tracked

Options = TypeVar("Options", bound=Common)


@dataclass
class Context(Generic[Options]):
    """What a command works with.

    folder: the run folder; checked when the context is opened, made when there is something to write.
    finished: the report of the finished run in it, where --resume asks to show that again.
    """

    config: Options
    log: Log
    started: float  # of time.perf_counter
    folder: Path
    finished_report: Report | None
    cache: Cache | None
    _machine: Machine | None
    _trackers: Trackers | None = None

    @property
    def machine(self) -> Machine:
        """Device and precision; only of commands whose options have them."""
        assert self._machine is not None
        return self._machine

    def task(self, model: Loaded | None = None) -> Task:
        """The sets in their roles. Classes: those of `model` where it is given, else of the training set."""
        return self.read(self.open_sets(model), model.data_config if model else None)

    def open_sets(self, model: Loaded | None = None) -> OpenedSets:
        """The sets in the roles that the options give them, their names and classes checked; no image is read."""
        config = self.config
        assert isinstance(config, Reporting)
        opened = open_sets(
            train=config.train if isinstance(config, Training | TrainingSets) else None, id_val=config.id_val,
            id_test=config.id_test, ood=config.ood_sets(), log=self.log,
            classes=model.label_names if model else None,
            num_classes=len(head_of(model.model).bias) if model else None, cache=self.cache,
            cut_by=config.cut_by if isinstance(config, Training | TrainingSets) else None,
        )  # fmt: skip
        if isinstance(config, Detailed) and config.details().counts:
            check_pairs(len(opened.classes))
        return opened

    def read(self, opened: OpenedSets, data_config: DataConfig | None) -> Task:
        """The task, its images read. data_config: timm's, of the model that will use them, where it is known."""
        config = self.config
        assert isinstance(config, Reporting)
        task = read_task(
            opened, split_seed=config.split_seed if isinstance(config, Training | TrainingSets) else 0,
            damaged=config.damaged, log=self.log, cache=self.cache, transforms=self.transforms(data_config),
        )  # fmt: skip
        if config.picks_on_id_val:
            warn_few_to_pick(task, self.log)
        return task

    def transforms(self, data_config: DataConfig | None) -> Transforms:
        """Those with which the images will be used; none where they will not be."""
        assert isinstance(self.config, Running)
        unused = self.finished_report is not None or (isinstance(self.config, Training) and self.config.dry_run)
        return NO_TRANSFORMS if unused or data_config is None else transforms_of(data_config, self.config)

    def inputs(self, task: Task, data_config: DataConfig) -> RunInputs:
        """The task with its loaders; images are prepared as timm's `data_config` says."""
        assert isinstance(self.config, Running)
        return run_inputs_of(task, data_config, self.machine, self.config, self.log, self.cache)

    def request(self, task: Task, models: Sequence[Loaded]) -> Request:
        """All inputs that determine the result.

        Raises RequestError if the finished run in the folder had other data, models or imported code.
        """
        assert isinstance(self.config, Resumable)
        request = request_of(self.config, task, models, self.machine)
        if self.finished_report is not None:
            if self.finished_report.request is UNSET:
                raise different_run_error(self.config, "no digest of its data")
            if self.finished_report.request != digest_of(request):
                classes = other_classes(self.finished_report.data.classes, request["classes"])
                raise different_run_error(
                    self.config, classes or "other data, model or imported code under the same names"
                )
        return request

    @contextmanager
    def locked_folder(self, request: Request) -> Iterator[Checkpointer]:
        """Create and lock the folder; gives the checkpointer, which saves and loads the states of this request's runs.

        Raises RequestError where another process works there, or where a state there is that of another request.
        """
        assert isinstance(self.config, Resumable)
        with resumable_run(self.folder, request, self.config, self.machine, self.log) as (self.folder, checkpointer):
            self.log.note(f"in {self.folder}")
            with self.tracked():
                yield checkpointer

    @contextmanager
    def tracked(self) -> Iterator[None]:
        """Inside, the trackers of --log-with, if there are any, are given what happens; only by the first process."""
        if not (names := trackers_of(self.config)) or self.machine.rank:
            yield
            return
        assert isinstance(self.config, Resumable)
        with tracked(names, self.folder, self.config, self.log) as self._trackers:
            yield

    def answer(
        self, task: Task, loaded: Loaded, results: Sequence[Results] = (), *, trained: Trained | None = None,
        parts: Mapping[str, Any] | None = None, predictions: pa.Table | None = None,
        save_weights: Callable[[Path], None] | None = None, history: Sequence[Mapping[str, object]] = (),
        logits: Mapping[str, np.ndarray] | None = None,
    ) -> Answer:  # fmt: skip
        """Write the report, and what lies beside it, into the folder.

        results: of the pick of each seed, or of the one model. parts: what only this command's report holds, by key.
        """
        seconds = time.perf_counter() - self.started
        report = build(self.config, task, loaded, self.machine, results, self.log, seconds, trained, parts)
        if self.machine.rank == 0:
            base = base_model_of(loaded.checkpoint) if trained else None  # of an average there are several
            card = model_card(report, base) if save_weights else ""
            self.write(report, predictions, save_weights, history, card, logits)
            self.write_page(report, task)
            if self._trackers:
                self._trackers.results(report)
        return report_answer(report, self.folder)

    def finished_answer(self, task: Task) -> Answer:
        """The answer of the finished run in the folder, with a page where one is asked for."""
        assert self.finished_report is not None
        if process_index() == 0:
            self.write_page(self.finished_report, task)
        return report_answer(self.finished_report, self.folder)

    def write_page(self, report: Report, task: Task | None = None) -> None:
        """report.html, where it is asked for: after the report, so that nothing that hinders it costs a run."""
        assert isinstance(self.config, RunFolder)
        if self.config.html:
            from ftcli.report.html.run_page import write_run_page

            write_run_page(self.folder / PAGE, report, self.folder, task.sets() if task else {})

    def write(
        self, report: Report, predictions: pa.Table | None = None,
        save_weights: Callable[[Path], None] | None = None, history: Sequence[Mapping[str, object]] = (),
        card: str = "", logits: Mapping[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        """Fill the folder; `running` has made that of a command that can be resumed."""
        assert isinstance(self.config, RunFolder)
        if not isinstance(self.config, Resumable):
            self.folder = make_output_folder(self.folder, self.config.out)
        write_run(self.folder, report, history, predictions, save_weights, card, logits)


@contextmanager
def open_context(config: Options) -> Iterator[Context[Options]]:
    """Check the run folder, find the machine and open the cache; inside, progress is shown.

    Raises RequestError where something in the run folder is in the way, and for a device that is not here.
    """
    started, folder, finished_report, machine, cache = time.perf_counter(), Path(), None, None, None
    if names := trackers_of(config):
        check_installed(names)
    with open_log(config) as log, waits_announced_to(log.note):
        if isinstance(config, RunFolder):
            finished_report = find_finished_report(config)
            overwrite, resumable = config.overwrite or finished_report is not None, isinstance(config, Resumable)
            folder = choose_output_folder(config.out, command_of(config), overwrite, resumable=resumable)
        if isinstance(config, Running):
            machine = machine_of(config)
            cache = None if config.no_cache else open_cache(log)
        yield Context(config, log, started, folder, finished_report, cache, machine)


def open_log(config: Common) -> ConsoleLog | JsonLog:
    """What shows the progress, in the form that is asked for; of several processes the first one shows it."""
    quiet, form = config.quiet or process_index() > 0, config.progress if isinstance(config, Reporting) else "auto"
    return JsonLog(quiet) if form == "json" else ConsoleLog(quiet, bars=form == "auto")


def trackers_of(config: Common) -> tuple[str, ...]:
    """The trackers that are asked for."""
    return tuple(config.log_with or ()) if isinstance(config, Training | Adapt) else ()


def find_finished_report(config: Common) -> Report | None:
    """The report of the finished run in OUT, where --resume asks for it. Raises RequestError for other options."""
    if not (isinstance(config, Resumable) and config.resume and config.out and (config.out / REPORT).exists()):
        return None
    report = read_report(config.out)
    if report.command != command_of(config):
        raise different_run_error(config, f"command {report['command']}, and this one has {command_of(config)}")
    if other := other_options(report.config, options_in_request(config)):
        raise different_run_error(config, other)
    return report


def different_run_error(config: Resumable, difference: str) -> RequestError:
    """The error that the folder holds another finished run."""
    return RequestError(
        f"--out {str(config.out)!r} holds a finished run with {difference}.",
        f"name another folder; ftcli report {config.out} shows what is there",
    )

"""The measurement: the command's own method on a few images, for three epochs of a few steps."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from ftcli.config.declare import Numbers
from ftcli.config.training import Training
from ftcli.console.time_left import TimeLeft
from ftcli.engine.device import Machine
from ftcli.engine.grid import Trained
from ftcli.engine.predict import predict
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.loading.load import Loaded
from ftcli.time_estimate.trial_data import TrialLoader, trial_inputs
from ftcli.workload import EPOCH_PASS, EVALUATION, PASS, PREFIX, STEP, SearchWork

LONGEST = 60.0  # seconds: a trial of two steps of two images that would take longer is not made
LARGEST = 1 << 20  # pixels of an image, beyond which memory could be short

T = TypeVar("T")
Method = Callable[[Loaded, RunInputs, Training, Log], Trained]

SECONDS = 5.0  # that the measurement is meant to take
FIRST_IMAGES, FIRST_SECONDS = 64, 0.3  # images of which the time of a forward pass is taken first, in so many seconds
EPOCHS = 3  # of which all but the first are measured
FORWARD_PASSES = 1 + 2 + 1 + 1  # that an image of an epoch costs: forward, backward, evaluation, and some margin
MOST_STEPS = 8  # of an epoch
SMALLEST_BATCH = 8  # in smaller ones, what a step costs beside its images would count too much


class Stopwatch(Log):
    """The time that every kind of loop takes, and every stage."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine, self.times = machine, TimeLeft()
        self.searches: dict[str, SearchWork] = {}
        self.search, self.stages, self.began = "", dict[str, float](), time.perf_counter()
        self.in_loops = 0.0  # seconds of the stage in loops that have a kind
        self.stored: Counter[str] = Counter()

    def track(self, items: Iterable[T], label: str, total: int | None = None, kind: str = "") -> Iterator[T]:
        """Time the items of a loop, as `Log.track` shows their progress; one without a kind belongs to its stage."""
        if not kind:
            yield from items
            return
        started = time.perf_counter()
        self.times.begin((self.search, kind))
        self.stored[self.search] += kind == PREFIX
        for item in items:
            yield item
            self.times.batch()
        self.finish()
        self.in_loops += time.perf_counter() - started

    def prefixes(self, search: str) -> int:
        """Over how many sets the frozen part of the network was computed."""
        return self.stored[search]

    def finish(self) -> None:
        """A loop is over once the device has done what it was given."""
        if self.machine.device.type == "cuda":
            torch.cuda.synchronize(self.machine.device)
        self.times.end()

    def plan(self, searches: Mapping[str, SearchWork], noun: str = "run") -> None:
        self.searches |= searches

    def begin_search(self, name: str) -> None:
        self.begin_stage(name)

    def begin_stage(self, name: str) -> None:
        now = time.perf_counter()
        self.stages[self.search] = now - self.began - self.in_loops
        self.search, self.began, self.in_loops = name, now, 0.0


@dataclass(frozen=True)
class Trial:
    """What the measurement found. n: training images that it used, in batches of `batch_size`."""

    n: int
    batch_size: int
    trained: Trained
    stopwatch: Stopwatch
    inputs: RunInputs

    @property
    def searches(self) -> list[str]:
        """The choices that train, or the one search without a name."""
        return list(self.stopwatch.searches)

    def step(self, search: str) -> float:
        """Seconds per training image."""
        return (self.stopwatch.times.per_batch((search, STEP)) or 0.0) / self.batch_size

    def epoch_pass(self, search: str) -> float:
        """Seconds per image of the pass over ID-val after an epoch."""
        return self.per_image((search, EPOCH_PASS))

    def full_pass(self) -> float:
        """Seconds per image of a pass through the whole network."""
        return self.per_image((EVALUATION, PASS))

    def per_image(self, key: tuple[str, str]) -> float:
        n = self.inputs.sets["id_val"].n
        return (self.stopwatch.times.per_batch(key) or 0.0) * -(-n // self.batch_size) / n

    def decoding(self) -> float:
        """Seconds per image, on one core."""
        loader = self.inputs.sets["id_val"]
        assert isinstance(loader, TrialLoader)
        return loader.decoding_seconds()


def run_trial(method: Method, loaded: Loaded, inputs: RunInputs, config: Training, searches: int) -> Trial:
    """Run a method on so few images that it takes about SECONDS. searches: how many searches it makes.

    Nothing outside changes: not the model, nor the cache, nor the random states. Raises what the method raises.
    """
    devices = [inputs.machine.device] if inputs.machine.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        own = replace(loaded, model=inputs.machine.place(deepcopy(loaded.model)))
        n, batch_size = size_of_trial(own, inputs, config, max(1, searches))
        small = trial_inputs(inputs, n, batch_size)
        stopwatch = Stopwatch(small.machine)
        trained = method(own, small, trial_config(config, batch_size), stopwatch)
        stopwatch.begin_stage(EVALUATION)
        for _ in range(2 if -(-small.sets["id_val"].n // batch_size) > 2 else 3):
            predict(own.model, small.sets["id_val"], small.machine, stopwatch, "")
    return Trial(n, batch_size, trained, stopwatch, small)


def trial_config(config: Training, batch_size: int) -> Training:
    """The options of the command for one run of few epochs."""
    return replace(
        config, batch_size=batch_size, lr=Numbers((min(config.lr),)), seeds=None, seed=Numbers((0,)), epochs=EPOCHS,
        warmup=0.0, schedule="constant", class_weights="none", sampling="shuffled", ood_every_epoch=False,
        epoch_zero=False, budget=None,
    )  # fmt: skip


def size_of_trial(loaded: Loaded, inputs: RunInputs, config: Training, searches: int) -> tuple[int, int]:
    """Training images, and images of a batch: whole batches where there is time for at least two in every epoch.

    Raises RequestError where already the trial would take long, or much memory.
    """
    assert inputs.plain is not None
    height, width = inputs.plain.transform.size
    if height * width > LARGEST:
        raise RequestError(f"images of {height} × {width} pixels are too large for it")
    forward = FIRST_SECONDS
    for most in (1, FIRST_IMAGES):  # the first pass is not typical
        n = max(1, min(most, int(FIRST_SECONDS / forward)))
        few = TrialLoader(inputs.plain, n, n)
        next(iter(few.ordered()))  # decoded before the time counts
        started = time.perf_counter()
        predict(loaded.model, few, inputs.machine, Log(), "")
        forward = (time.perf_counter() - started) / few.n  # seconds
    if searches * forward * EPOCHS * FORWARD_PASSES * 4 > LONGEST:
        raise RequestError("it would take more than a minute")
    affordable = int(SECONDS / (searches * EPOCHS * FORWARD_PASSES * forward))
    smallest = SMALLEST_BATCH if searches * forward < 0.1 else 2
    batch_size = max(2, min(config.batch_size, inputs.plain.n // 2, max(smallest, affordable // 2)))
    steps = max(2, min(MOST_STEPS, affordable // batch_size, inputs.plain.n // batch_size))
    return steps * batch_size, batch_size

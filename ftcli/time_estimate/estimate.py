"""The sums of the estimate: what the method does, counted, times what the measurement found."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from msgspec import UNSET
from torch import Tensor

from ftcli.config.heads.dfr import Dfr
from ftcli.config.training import Training
from ftcli.data.loader import Loader
from ftcli.data.pixel_cache import KIND as PIXELS
from ftcli.data.pixel_cache import pixels_key
from ftcli.data.threads import THREADS
from ftcli.engine.budget.halving import halving_of, share_of_budget
from ftcli.engine.features.feature_cache import KIND as FEATURES
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.grid import Trained
from ftcli.engine.probe.curvature_pairs import MEMORY, CurvaturePairs
from ftcli.engine.probe.logistic_loss import softmax_loss
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import FtcliError
from ftcli.log import Log
from ftcli.methods.probe import path_of
from ftcli.model.head import head_of
from ftcli.model.loading.load import Loaded
from ftcli.time_estimate.trial import Method, Trial, run_trial
from ftcli.time_estimate.types import TimedPart, TimeEstimate

SPREAD = 1.5  # factor either way within which the time is expected
TRAINING = "training"
AFTER_EPOCH = "evaluation after each epoch"
PROBE = "exact probe"  # the stage
# Evaluations of loss and gradient that the exact probe makes: for its first values of C together, and for every value.
FIRST_EVALUATIONS, EVALUATIONS = 150, 2
TIMED_ROWS = 256  # examples of which the products of an evaluation are timed


def estimate_time(
    method: Method, loaded: Loaded, inputs: RunInputs, config: Training, searches: int, started: float
) -> tuple[TimeEstimate | None, str]:
    """The estimate, or None and why there is none. searches: that the method makes, each over the whole grid.

    started: when the command began, of time.perf_counter: what lies between is done again when it runs.
    """
    if inputs.machine.processes > 1:
        return None, "the time of several processes is not estimated"
    if isinstance(config, Dfr):
        return None, "the time of last-layer retraining is not estimated"
    opening = time.perf_counter() - started
    try:
        trial = run_trial(method, loaded, inputs, config, searches)
    except FtcliError as error:
        return None, f"the time is not estimated: a trial with a few images failed ({error})"
    count = Counts(trial, loaded, inputs, config)
    timed = [part("opening", 1, "start", opening), *count.parts()]
    return summed([entry for entry in timed if entry.count], count, config), ""


def summed(parts: list[TimedPart], count: "Counts", config: Training) -> TimeEstimate:
    """The sum of the timed parts, with the range around it and what it leaves out."""
    seconds = sum(entry.seconds for entry in parts)
    of_epochs = sum(entry.seconds for entry in parts if entry.name in (TRAINING, AFTER_EPOCH))
    fewest, most = count.bounds()
    middle = (fewest + most) // 2 or 1
    low, high = (seconds + of_epochs * (epochs / middle - 1) for epochs in (fewest, most))
    measures = [f"--measure {name}" for name in config.measure or ()]
    left_out = ["loading of PyTorch and timm", *["compilation"] * config.compile, *measures]
    left_out += ["averages"] * bool(config.average_names())
    searches = len(count.trial.searches)
    return TimeEstimate(
        seconds=round(seconds, 2), low=round(low / SPREAD, 2), high=round(high * SPREAD, 2),
        runs=searches * count.runs, epochs=config.epochs if searches else 0, steps=count.steps if searches else 0,
        models=count.models(), images=count.trial.n, parts=parts, left_out=left_out,
        epochs_in_all=[fewest * searches, most * searches] if config.budget else UNSET,
    )  # fmt: skip


def part(name: str, count: int, unit: str, each: float, choice: str = "") -> TimedPart:
    return TimedPart(
        name=name, choice=choice or UNSET, count=count, unit=unit, seconds_each=float(f"{each:.3g}"),
        seconds=round(count * each, 3),
    )  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """How often the command does what the trial did."""

    trial: Trial
    loaded: Loaded
    inputs: RunInputs
    config: Training

    @property
    def runs(self) -> int:
        """Of each search."""
        return len(self.config.lr) * self.seeds

    def bounds(self) -> tuple[int, int]:
        """The fewest and the most epochs of one search, all runs together."""
        if self.config.budget:
            return halving_of(share_of_budget(self.config, len(self.trial.searches)), 1).bounds()
        return self.runs * self.config.epochs, self.runs * self.config.epochs

    @property
    def seeds(self) -> int:
        return len(self.config.seed_list())

    @property
    def train(self) -> Loader:
        assert self.inputs.train is not None
        return self.inputs.train

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.train.steps(skip_single=self.config.bn == "train")

    @property
    def probed(self) -> bool:
        """Whether the exact probe is a part of the command."""
        return PROBE in self.trial.stopwatch.stages

    def parts(self) -> Iterator[TimedPart]:
        """Everything that takes time, in the order in which it is done."""
        yield part("decoding", self.undecoded(), "image", self.trial.decoding() / THREADS)
        yield part("features", self.feature_images(), "image", self.trial.full_pass())
        if self.probed:
            yield part("exact probe", 1, "path", self.path_seconds())
        for choice in self.trial.searches:
            yield from self.search_parts(choice)
        for choice in self.trial.trained.choices.keys() - set(self.trial.searches):  # in which nothing trains
            yield part(AFTER_EPOCH, self.evaluated_each_epoch, "image", self.trial.full_pass(), choice)
        yield part("evaluation", self.models() * self.images_of_sets(), "image", self.trial.full_pass())

    def search_parts(self, choice: str) -> Iterator[TimedPart]:
        """The runs of one search."""
        config = self.config
        epochs = sum(self.bounds()) // 2
        batch = min(config.batch_size, self.train.n) * self.trial.step(choice)
        whole = self.train.n / (self.steps * min(config.batch_size, self.train.n)) if self.steps else 0.0
        prefix = self.trial.stopwatch.prefixes(choice)
        if prefix:
            stored = self.inputs.sets["id_val"].n + (self.train.n if prefix > 1 else 0)
            yield part("frozen part", stored, "image", self.trial.full_pass(), choice)
        yield part(TRAINING, epochs * self.steps, "step", batch * min(1.0, whole), choice)
        passes = epochs + self.runs * config.epoch_zero
        images = passes * self.evaluated_each_epoch
        yield part(AFTER_EPOCH, images, "image", self.trial.epoch_pass(choice), choice)

    @property
    def evaluated_each_epoch(self) -> int:
        """Images that are evaluated after every epoch."""
        ood = sum(map(len, self.inputs.task.labelled_ood.values())) if self.config.ood_every_epoch else 0
        return self.inputs.sets["id_val"].n + ood

    def undecoded(self) -> int:
        """Images whose pixels are not in the cache yet; without a cache each is decoded again in every pass."""
        loaders = {
            id(loader): loader for loader in (self.inputs.plain, self.train, *self.inputs.sets.values()) if loader
        }
        missing: dict[str, int] = {}
        for loader in loaders.values():
            key = pixels_key(loader.data, loader.transform)
            if loader is self.train and not self.trial.searches:
                continue
            if loader is self.inputs.plain and not self.probed:
                continue
            if loader.cache is None or loader.cache.find(PIXELS, key) is None:
                missing[key] = loader.n
        return sum(missing.values())

    def feature_images(self) -> int:
        """Images that go through the frozen network once: for the probe, and to evaluate what has its body."""
        loaders: list[Loader] = [*self.inputs.sets.values()] if self.frozen_models() else []
        if self.probed:
            assert self.inputs.plain is not None
            loaders += [self.inputs.plain, *([] if loaders else [self.inputs.sets["id_val"]])]
        cache = self.inputs.feature_cache
        body = FrozenBody(self.inputs.machine.place(self.loaded.model), cache, Log())
        if cache.disk is None or not loaders or not body.on_disk:
            return sum(loader.n for loader in loaders)
        return sum(loader.n for loader in loaders if cache.disk.find(FEATURES, body.key(loader)) is None)

    def models(self) -> int:
        """Models that are evaluated on every set through the whole network."""
        return self.seeds * sum(not trained.frozen for trained in self.evaluated())

    def frozen_models(self) -> bool:
        """Whether a model with the body of the start is evaluated: by its features, which are computed once."""
        return self.probed or any(trained.frozen for trained in self.evaluated())

    def evaluated(self) -> list[Trained]:
        return [*self.trial.trained.choices.values()] or [self.trial.trained]

    def images_of_sets(self) -> int:
        return sum(loader.n for loader in self.inputs.sets.values())

    def path_seconds(self) -> float:
        """Seconds of the exact probe: of the trial, and of evaluations with all examples and all classes."""
        assert self.inputs.plain is not None
        N, D, K = self.inputs.plain.n, head_of(self.loaded.model).width, self.inputs.num_classes
        evaluations, device = FIRST_EVALUATIONS + EVALUATIONS * len(path_of(self.config)), self.inputs.machine.device
        each = N / TIMED_ROWS * evaluation_seconds(D, K, device) + step_seconds(K * (min(N, D) + 1), device)
        return self.trial.stopwatch.stages[PROBE] + evaluations * each


def evaluation_seconds(D: int, K: int, device: torch.device) -> float:
    """Seconds of one loss and gradient over TIMED_ROWS examples, for one value of C."""
    features, weights = torch.ones(TIMED_ROWS, D, device=device), torch.ones(1, K, D, device=device)
    labels = torch.zeros(1, 1, TIMED_ROWS, dtype=torch.int64, device=device)

    def evaluate() -> Tensor:
        scores = (weights[0] @ features.T)[None]
        _, residuals, _ = softmax_loss(scores, labels)
        return residuals[0] @ features

    return least_seconds(evaluate)


def step_seconds(unknowns: int, device: torch.device) -> float:
    """Seconds of what the search does after an evaluation: for one value of C, with so many unknowns."""
    vector = torch.ones(1, unknowns, device=device)
    pairs, valid = CurvaturePairs(vector), torch.ones(1, dtype=torch.bool, device=device)
    for _ in range(MEMORY):
        pairs.add(vector, vector, valid)

    def step() -> Tensor:
        pairs.add(vector, vector, valid)
        return pairs.direction(vector, vector)

    return least_seconds(step)


def least_seconds(compute: Callable[[], Tensor]) -> float:
    """Of three calls. Their result is read: the device has to finish."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        float(compute().sum())
        seconds.append(time.perf_counter() - started)
    return min(seconds)

"""THE loop: the only place where weights are updated step by step. A method says which tensors, how fast, how long."""

import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.config import Training
from ftcli.engine.device import Machine
from ftcli.engine.optim import make_optimizer, make_schedule
from ftcli.engine.predict import predict, score
from ftcli.engine.select import Candidate, best
from ftcli.engine.setting import Setting
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.trainable import freeze_all_but, training_mode
from ftcli.seeds import mix

BLOWN_UP = 1e4  # a loss this many times the first one counts as diverged


class Diverged(Exception):
    """A loss, gradient or parameter is not finite, or the loss has blown up."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training: which parameters move, and the peak rate. The rest is the configuration's."""

    tensors: Collection[str]
    lr: float
    config: Training


@dataclass
class Run:
    """One training run: what it went through, and the candidate it puts forward (none when it diverged)."""

    seed: int
    lr: float
    history: list[dict[str, Any]] = field(default_factory=list)
    candidate: Candidate | None = None
    diverged: str | None = None

    def describe(self) -> dict[str, Any]:
        """One entry of the report's `runs`."""
        kept = self.candidate
        return {
            "seed": self.seed, "lr": self.lr, "epoch": kept.epoch if kept else None,
            "id_val": {"accuracy": kept.accuracy, "loss": kept.loss} if kept else None,
            "diverged": self.diverged is not None, "reason": self.diverged, "history": self.history,
        }  # fmt: skip


def fit(model: nn.Module, stage: Stage, setting: Setting, seed: int, log: Log, name: str = "") -> Run:
    """Train `model` in place through one stage.

    The order of the data, the augmentation and dropout depend on (seed, epoch) alone: not on workers, on what ran
    before, or on the learning rate. A diverged run stops, is recorded and puts no candidate forward.
    """
    config, run = stage.config, Run(seed, stage.lr)
    freeze_all_but(model, stage.tensors)
    skip_single = config.bn == "train"  # batch statistics of a single image mean nothing
    assert setting.train is not None
    steps = setting.train.steps(skip_single=skip_single)
    check_batches(model, config, steps)
    updater = Updater(model, stage, setting.machine, steps)
    if config.epoch_zero:
        consider(run, model, 0, None, updater, setting, config, log, time.perf_counter())
    for epoch in range(1, config.epochs + 1):
        started = time.perf_counter()
        torch.manual_seed(mix("noise in the network", seed, epoch))
        training_mode(model, config.bn)
        batches = setting.train.shuffled(seed, epoch, skip_single=skip_single)
        label = f"{name} epoch {epoch}/{config.epochs}"
        try:
            losses = [updater.update(*batch) for batch in log.track(batches, label, steps)]
            updater.check_parameters()
            consider(run, model, epoch, sum(losses) / len(losses), updater, setting, config, log, started)
        except Diverged as reason:
            run.diverged, run.candidate = f"epoch {epoch}: {reason}", None
            log.note(f"{name} diverged in {run.diverged}")
            break
        last = run.history[-1]
        log.epoch(name, epoch, config.epochs, last["loss"], last["id_val"]["accuracy"], last["seconds"])
    return run


def check_batches(model: nn.Module, config: Training, steps: int) -> None:
    """Raises RequestError where batch normalisation would have to find the variance of a single image."""
    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    if steps == 0 or (config.bn == "train" and config.batch_size == 1 and normalised):
        raise RequestError(
            f"--batch-size {config.batch_size} leaves BatchNorm batches of one image, which have no variance.",
            "--batch-size 2 or more, or --bn eval",
        )


class Updater:
    """One update after another on the tensors of a stage, watching for divergence."""

    def __init__(self, model: nn.Module, stage: Stage, machine: Machine, steps_per_epoch: int) -> None:
        self.model, self.machine = model, machine
        self.moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(self.moving, stage.config, stage.lr)
        self.schedule = make_schedule(self.optimizer, stage.config, steps_per_epoch)
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")
        self.ceiling = sys.float_info.max

    def update(self, images: Tensor, labels: Tensor) -> float:
        """One step on images [B, C, H, W] and labels [B]; gives the batch's mean cross-entropy. Raises Diverged."""
        with self.machine.autocast():
            logits = self.model(self.machine.send(images))  # [B, K]
        loss = cross_entropy(logits.float(), labels.to(self.machine.device))
        value = loss.item()
        self.check_loss(value)
        if self.ceiling == sys.float_info.max:  # the first step sets it
            self.ceiling = BLOWN_UP * max(value, sys.float_info.epsilon)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if not self.scaler.is_enabled():  # a scaler meets infinite gradients on purpose, and skips those steps itself
            norm = nn.utils.get_total_norm([p.grad for p in self.moving if p.grad is not None])
            if not torch.isfinite(norm):
                raise Diverged("a gradient is not finite")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return value

    def check_loss(self, value: float, of: str = "the loss") -> None:
        """Raises Diverged where a loss is not finite or has blown up."""
        if not value <= self.ceiling:  # also true of NaN
            raise Diverged(f"{of} is {value:.3g}")

    def check_parameters(self) -> None:
        """Raises Diverged where a weight that moved is not finite."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.moving):
            raise Diverged("a parameter is not finite")


def consider(
    run: Run, model: nn.Module, epoch: int, loss: float | None, updater: Updater, setting: Setting, config: Training,
    log: Log, started: float,
) -> None:  # fmt: skip
    """Write the epoch into the run's history; keep its weights where it is the one that the run stands for.

    Raises Diverged where ID-val shows it first: with one step an epoch, the training loss comes from before that step.
    """
    outputs = predict(model, setting.sets["id_val"], setting.machine, log, "ID-val")
    accuracy, id_val_loss = score(outputs.logits, torch.from_numpy(setting.task.sets()["id_val"].labels))
    updater.check_loss(id_val_loss, "the ID-val loss")
    id_val = {"accuracy": accuracy, "loss": id_val_loss}
    seconds = round(time.perf_counter() - started, 3)
    run.history.append({"epoch": epoch, "loss": loss, "id_val": id_val, "seconds": seconds})
    candidate = Candidate(run.seed, accuracy, id_val_loss, epoch=epoch, lr=run.lr)
    if run.candidate is None or config.pick == "last" or best([run.candidate, candidate]) is candidate:
        run.candidate = replace(candidate, state=snapshot(model))


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}

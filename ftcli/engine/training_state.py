"""What the steps of a run change, and checkpoints hold: weights, running mean, optimizer, schedule, loss scaler."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ftcli.config.training import Training
from ftcli.engine.device import Machine
from ftcli.engine.micro_batches import MicroBatches
from ftcli.engine.plan import Plan
from ftcli.engine.training.anchor import AnchorPenalty
from ftcli.engine.training.divergence import LossWatch
from ftcli.engine.training.feature_anchor import FeatureAnchor
from ftcli.engine.training.gradient_checkpointing import GradientCheckpointing, uses_checkpointing
from ftcli.engine.training.loss import BatchLoss
from ftcli.engine.training.low_rank import LowRankNetwork
from ftcli.engine.training.optim import Schedule, load_optimizer_tensors, make_optimizer, optimizer_tensors, rate_factor
from ftcli.engine.training.projection import projection_of
from ftcli.engine.training.running_mean import UniformMean, running_mean_of
from ftcli.log import Log
from ftcli.model.normalization import batch_norms
from ftcli.model.trainable import freeze_all_but, training_mode


class TrainingState:
    """A model under training with everything that a step reads and changes.

    Attributes:
        model: the network that trains: where weights train as W + BA, the one that has A and B.
        parameters: by their names in `model`, those that train in some epoch of the plan.
        trainable: names, as the plan has them, of those that train now; None before the first epoch.
        network: `model` as a step calls it: wrapped for several processes and compiled where asked for.
        eval_model: the model that is evaluated and saved, a plain one: the running mean of the weights where one is
            asked for.
        weights: the tensors of `eval_model`, parameters and buffers; a step changes them in place.
        changeable: those of `weights` that a step of the plan may change.
        resumed: names in `model` of the tensors that a step may change: a saved state has these.
    """

    def __init__(
        self, model: nn.Module, plan: Plan, lr: float, config: Training, loss_function: BatchLoss, steps_per_epoch: int,
        machine: Machine, log: Log, feature_anchor: FeatureAnchor | None = None,
        low_rank: LowRankNetwork | None = None,
    ) -> None:  # fmt: skip
        """low_rank: of `model`, where weights train as W + BA."""
        self.plan, self.lr, self.loss_function, self.machine = plan, lr, loss_function, machine
        self.low_rank, self.model = low_rank, low_rank.module if low_rank else model
        self.bn, self.clip_norm, self.steps_per_epoch = config.bn, config.clip_norm, steps_per_epoch
        trainable = plan.trainable(config.epochs)
        planned = {own: name for name in trainable for own in self.names([name])}  # by the names in self.model
        self.parameters = {name: tensor for name, tensor in self.model.named_parameters() if name in planned}
        self.trainable: set[str] | None = None
        self.network = self.model
        anchored = {name: parameter for name, parameter in self.parameters.items() if name in plan.anchored}
        self.anchor_penalty = AnchorPenalty(anchored.values(), plan.l2, plan.l1)
        self.projection = projection_of(plan.project, anchored)
        self.feature_anchor = feature_anchor
        self.checkpointing = GradientCheckpointing(self.model, uses_checkpointing(config))
        factors = [(parameter, plan.factors.get(planned[name], 1.0)) for name, parameter in self.parameters.items()]
        self.optimizer = make_optimizer(
            factors, config.optimizer, lr, config.momentum, config.weight_decay, group_each=plan.scoring is not None
        )
        self.schedule = Schedule(
            self.optimizer, rate_factor(config.schedule, config.warmup, config.epochs, steps_per_epoch)
        )
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")
        self.running_mean = running_mean_of(model, config, steps_per_epoch)
        self.eval_model = self.running_mean.module if self.running_mean else model
        self.weights = self.eval_model.state_dict()
        changeable = changeable_names(model, trainable, config.bn)
        self.changeable = {name: tensor for name, tensor in self.weights.items() if name in changeable}
        self.resumed = changeable_names(self.model, self.parameters, config.bn)
        self.loss_watch = LossWatch(machine)
        self.micro_batches = micro_batches_of(model, config.bn, config.batch_size, machine, log)

    def names(self, planned: Iterable[str]) -> list[str]:
        """The names in the model that trains of parameters that the plan names."""
        return [own for name in planned for own in (self.low_rank.names(name) if self.low_rank else [name])]

    def rate_at_end_of(self, epoch: int) -> float | None:
        """The learning rate in the last step of an epoch; None of epoch 0, which has none."""
        return self.lr * self.schedule.factor(epoch * self.steps_per_epoch - 1) if epoch else None

    def begin_epoch(self, epoch: int, rate_shares: Mapping[str, float] | None) -> None:
        """Freeze everything but the plan's tensors of this epoch, and put the model in its training mode.

        rate_shares: where the plan scores gradients, each tensor's share of the rate; a share of 0 freezes it.
        """
        trainable = set(self.plan.tensors_in(epoch))
        if rate_shares is not None:
            trainable = {name for name in trainable if rate_shares[name]}
            self.schedule.set_peaks([self.lr * rate_shares[name] for name in self.parameters])
        if trainable != self.trainable:
            freeze_all_but(self.model, self.names(trainable))
            self.optimizer.zero_grad(set_to_none=True)
            self.network = self.machine.wrap_for_training(self.model) if trainable else self.model
            self.trainable = trainable
            training_mode(self.model, self.bn)
        elif self.bn == "train":  # evaluation has put the model in eval mode since
            self.model.train()

    def update_mean(self) -> None:
        """Take the weights after a step into their running mean."""
        if self.running_mean:
            self.merge()
            self.running_mean.update(self.low_rank.plain if self.low_rank else self.model)

    def merge(self) -> None:
        """Bring the plain network up to date, whose weights are W + BA."""
        if self.low_rank:
            self.low_rank.merge()

    def layers_of_mean(self, epoch: int) -> list[_BatchNorm]:
        """The layers whose statistics those of the mean's weights are not: BatchNorm that has trained by this epoch."""
        if self.bn == "eval" or not isinstance(self.running_mean, UniformMean) or not self.running_mean.is_mean:
            return []
        trained = self.plan.trainable(epoch)
        every = trained >= {name for name, _ in self.model.named_parameters()}
        return [
            layer for path, layer in self.eval_model.named_modules()
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None
            and (f"{path}.weight" in trained if layer.affine else every)
        ]  # fmt: skip

    def begin_scoring(self) -> None:
        """Let every tensor of the plan have a gradient, with the model in eval mode."""
        self.trainable = None  # so that `begin_epoch` freezes anew
        freeze_all_but(self.model, self.parameters)
        training_mode(self.model, "eval")

    def clear_gradients(self) -> None:
        """As optimizer.zero_grad(set_to_none=True), without the profiler record that costs small networks time."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that the rest of the run depends on: weights, running mean, what the optimizer holds."""
        own = self.model.state_dict()
        tensors = {f"model.{name}": own[name] for name in own if name in self.resumed}
        if self.running_mean:
            tensors |= {f"mean.{name}": tensor for name, tensor in self.changeable.items()}
        if self.projection:
            tensors |= {f"projection.{key}": tensor for key, tensor in self.projection.tensors().items()}
        return tensors | {f"memory.{name}": tensor for name, tensor in optimizer_tensors(self.optimizer).items()}

    def numbers(self) -> dict[str, object]:
        """All numbers that the rest of the run depends on, as JSON has them."""
        return {
            "updates": self.schedule.updates, "ceiling": self.loss_watch.ceiling, "scaler": self.scaler.state_dict(),
            "parts": self.micro_batches.count,
        }  # fmt: skip

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Put the results of `tensors` and `numbers` back, copying into the tensors that are there."""
        own, of_optimizer, of_projection = self.model.state_dict(), dict[str, Tensor](), dict[str, Tensor]()
        for key, tensor in tensors.items():
            kind, _, name = key.partition(".")
            if kind == "memory":
                of_optimizer[name] = tensor
            elif kind == "projection":
                of_projection[name] = tensor
            else:
                (own if kind == "model" else self.weights)[name].copy_(tensor)
        load_optimizer_tensors(self.optimizer, of_optimizer)
        if self.projection:
            self.projection.load(of_projection)
        self.schedule.go_to(numbers["updates"])
        if isinstance(self.running_mean, UniformMean):
            self.running_mean.steps = numbers["updates"]
        self.loss_watch.ceiling = numbers["ceiling"]
        self.scaler.load_state_dict(numbers["scaler"])


def changeable_names(model: nn.Module, trainable: Collection[str], bn: str) -> set[str]:
    """Names of the tensors of a model that steps may change, where these parameters train."""
    constant = {name for name, _ in model.named_parameters()}.difference(trainable)
    if bn == "eval":
        constant.update(name for name, _ in model.named_buffers())
    return set(model.state_dict()) - constant  # with the second name of a shared tensor


def micro_batches_of(model: nn.Module, bn: str, batch_size: int, machine: Machine, log: Log) -> MicroBatches:
    """The division of training batches; several processes never divide, because they would have to agree on it."""
    batch_statistics = bn == "train" and bool(batch_norms(model))
    n = -(-batch_size // machine.processes)
    return MicroBatches(
        "training", n, log, smallest=n if machine.processes > 1 else 1 + batch_statistics,
        consequence=", whose gradients are summed"
        + "; BatchNorm goes by the statistics of a part" * batch_statistics,
    )  # fmt: skip

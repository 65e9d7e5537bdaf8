"""One update after another: the loss of a batch, its gradient, what is done to the gradient, and the step."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.config.training import Training
from ftcli.data.loaders import Batch
from ftcli.engine.device import Machine
from ftcli.engine.micro_batches import MicroBatches
from ftcli.engine.optim import make_optimizer, make_schedule, memory_of, remember
from ftcli.engine.plan import Plan
from ftcli.log import Log
from ftcli.model.normalization import batch_norms
from ftcli.model.trainable import freeze_all_but, training_mode

BLOWN_UP = 1e4  # a loss this many times the first one counts as diverged


class Diverged(Exception):
    """A loss, gradient or parameter is not finite, or the loss has blown up."""


class Updater:
    """The updates of one run, on the tensors of its plan, watching for divergence.

    Args:
        class_weights: [K] float32, the weight of each class in the loss, or None for one each.
    """

    def __init__(
        self, model: nn.Module, plan: Plan, config: Training, lr: float, machine: Machine, steps_per_epoch: int,
        class_weights: Tensor | None = None, log: Log | None = None,
    ) -> None:  # fmt: skip
        self.model, self.plan, self.config, self.lr, self.machine = model, plan, config, lr, machine
        self.class_weights = None if class_weights is None else class_weights.to(machine.device)
        ever = plan.ever(config.epochs)
        named = {name: parameter for name, parameter in model.named_parameters() if name in ever}
        self.named, self.tensors = named, list(named.values())
        self.anchor = Anchor(plan, named)
        shares = [(p, plan.factors.get(name, 1.0)) for name, p in named.items()]
        self.optimizer = make_optimizer(shares, config, lr, apart=plan.scoring is not None)
        self.schedule = make_schedule(self.optimizer, config, steps_per_epoch)
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")
        self.average = None if config.ema is None else ModelEmaV3(model, decay=config.ema)
        self.weights = self.result.state_dict()  # the tensors themselves, which the updates change in place
        still = {name for name, _ in model.named_parameters()} - ever  # a second name of a shared tensor is not in it
        if config.bn == "eval":
            still.update(name for name, _ in model.named_buffers())
        self.changing = {name: tensor for name, tensor in self.weights.items() if name not in still}
        self.moving: set[str] | None = None  # nobody has said yet
        self.pending: list[Tensor] = []  # losses that nobody has looked at
        self.ceiling = sys.float_info.max
        self.losses: list[float] = []  # of the epoch, one a step
        self.parts = parts_for(model, config, machine, log or Log())

    def begin(self, epoch: int, shares: Mapping[str, float] | None = None) -> None:
        """Let the tensors of this epoch move, and hold the others; `shares` of the rate where the plan scores them."""
        moving = set(self.plan.moves(epoch))
        if shares is not None:
            moving = {name for name in moving if shares[name]}
            self.schedule.peak_at([self.lr * shares[name] for name in self.named])
        if moving != self.moving:
            freeze_all_but(self.model, moving)
            self.optimizer.zero_grad(set_to_none=True)
            self.network = self.machine.network(self.model) if moving else self.model
            self.moving = moving
            training_mode(self.model, self.config.bn)
        elif self.config.bn == "train":  # an evaluation has been since
            self.model.train()
        self.losses = []

    def scores(self, batches: Sequence[Batch]) -> dict[str, float]:
        """What the plan's scoring says of its tensors now. Raises Diverged where a score is not finite."""
        assert self.plan.scoring is not None
        self.moving = None  # whatever moved, `begin` sets it anew
        freeze_all_but(self.model, self.named)
        training_mode(self.model, "eval")
        found = self.plan.scoring.scores(self.model, self.named, batches, self.loss, self.machine, self.parts)
        if not all(map(isfinite, found.values())):
            raise Diverged("a score is not finite")
        return found

    def update(self, batch: Batch) -> None:
        """One step. Raises Diverged, on a GPU some steps late: a look at every loss would make the host wait for it."""
        self.pending.append(self.gradients(batch))
        if len(self.pending) > self.machine.unseen_steps:
            self.look()  # before the step, so that on a CPU nothing that diverged is applied
        if not self.moving:  # no score reached the cut: the epoch only passes
            self.optimizer.step()
            self.schedule.step()
            return
        self.scaler.unscale_(self.optimizer)
        self.treat_gradients()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.average is not None:
            self.average.update(self.model)

    def gradients(self, batch: Batch) -> Tensor:
        """Put the gradient of a batch's loss into the tensors that move; gives this process's part of the loss.

        Where the batch does not fit into memory, that is the sum over its parts.
        """
        while True:
            for tensor in self.tensors:  # what optimizer.zero_grad does, and says to a profiler at every step
                tensor.grad = None
            with self.parts:
                losses = [self.gradients_of(part) for part in self.parts.of(batch)]
                return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def gradients_of(self, part: Batch) -> Tensor:
        """Add the gradient of this part of a batch's loss; gives that part, a scalar."""
        with self.machine.autocast():
            logits = self.network(part.images)  # [b, K]
        loss = self.loss(logits.float(), part)
        if self.moving:
            # Processes average their gradients: times their number, the average is the sum.
            self.scaler.scale(loss * self.machine.processes if self.machine.processes > 1 else loss).backward()
        return loss.detach()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """This process's part of the mean cross-entropy over the whole batch: a scalar."""
        entropy = partial(cross_entropy, logits, batch.labels, label_smoothing=self.config.label_smoothing)
        if self.class_weights is None and batch.counted and len(batch.labels) == len(batch.whole):
            return entropy()  # all of the batch is here: torch's own mean costs two small operations less
        total = entropy(weight=self.class_weights, reduction="sum")
        weight = len(batch.whole) if self.class_weights is None else self.class_weights[batch.whole].sum()
        return total / weight if batch.counted else total * 0

    def treat_gradients(self) -> None:
        """Add the pull of the penalties, and clip.

        Nobody asks here whether all is finite: what is not makes a parameter so, and with it the next loss.
        """
        self.anchor.pull()
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.tensors, self.config.clip_norm)

    def look(self) -> None:
        """Look at the losses since the last time, over all processes. Raises Diverged."""
        if not self.pending:
            return
        together = torch.stack(self.pending) if len(self.pending) > 1 else self.pending[0][None]
        for value in self.machine.sum(together).tolist():
            self.check_loss(value)
            if self.ceiling == sys.float_info.max:  # the first step sets it
                self.ceiling = BLOWN_UP * max(value, sys.float_info.epsilon)
            self.losses.append(value)
        self.pending = []

    def end(self) -> float:
        """Look at what is left of the epoch; gives the mean of its losses. Raises Diverged."""
        self.look()
        if not all(bool(tensor.isfinite().all()) for tensor in self.tensors):
            raise Diverged("a parameter is not finite")
        self.machine.align(self.result)
        return sum(self.losses) / len(self.losses)

    def check_loss(self, value: float, of: str = "the loss") -> None:
        """Raises Diverged where a loss is not finite or has blown up."""
        if not value <= self.ceiling:  # also true of NaN
            raise Diverged(f"{of} is {value:.3g}")

    def tensors_of_state(self) -> dict[str, Tensor]:
        """Everything that moves: weights, running mean, and what the optimiser remembers."""
        own = self.model.state_dict()
        tensors = {f"model.{name}": own[name] for name in self.changing}
        if self.average is not None:
            tensors |= {f"mean.{name}": tensor for name, tensor in self.changing.items()}
        return tensors | {f"memory.{name}": tensor for name, tensor in memory_of(self.optimizer).items()}

    def figures_of_state(self) -> dict[str, Any]:
        """The rest of it, as JSON has it."""
        return {
            "updates": self.schedule.updates, "ceiling": self.ceiling, "scaler": self.scaler.state_dict(),
            "parts": self.parts.number,
        }  # fmt: skip

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], figures: Mapping[str, Any]) -> None:
        """Stand where the two of these say; every tensor keeps its place in memory."""
        own, memory = self.model.state_dict(), dict[str, Tensor]()
        for key, tensor in tensors.items():
            kind, _, name = key.partition(".")
            if kind == "memory":
                memory[name] = tensor
            else:
                (own if kind == "model" else self.weights)[name].copy_(tensor)
        remember(self.optimizer, memory)
        self.schedule.go_to(figures["updates"])
        self.ceiling = figures["ceiling"]
        self.scaler.load_state_dict(figures["scaler"])

    @property
    def result(self) -> nn.Module:
        """The network that is measured and kept: the running mean of the weights where one is asked for."""
        return self.model if self.average is None else self.average.module


def parts_for(model: nn.Module, config: Training, machine: Machine, log: Log) -> MicroBatches:
    """One part a batch, and what follows where it does not fit. Several processes would have to agree on more."""
    trains = config.bn == "train" and bool(batch_norms(model))
    n = -(-config.batch_size // machine.processes)
    return MicroBatches(
        "training", n, log, fewest=n if machine.processes > 1 else 1 + trains,
        consequence=", whose gradients are summed" + "; BatchNorm goes by the statistics of a part" * trains,
    )  # fmt: skip


class Anchor:
    """The gradients of l2 · ‖θ - θ⁰‖² (L2-SP, Li et al. 2018) and l1 · ‖θ - θ⁰‖₁, θ⁰ being the weights of now."""

    def __init__(self, plan: Plan, tensors: dict[str, nn.Parameter]) -> None:
        self.l2, self.l1 = plan.l2, plan.l1
        self.pairs: list[tuple[nn.Parameter, Tensor]] = []
        if self.l2 or self.l1:
            self.pairs = [(p, p.detach().clone()) for name, p in tensors.items() if name in plan.held]

    def pull(self) -> None:
        """Add both to the gradients of the tensors that move."""
        for parameter, start in self.pairs:
            if parameter.grad is None:
                continue
            away = parameter.detach() - start
            parameter.grad.add_(away, alpha=2 * self.l2)
            if self.l1:
                parameter.grad.add_(away.sign(), alpha=self.l1)

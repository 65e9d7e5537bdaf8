"""Test-time adaptation: a network adapts to the images that it predicts, without their labels."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from ftcli.engine.device import Machine
from ftcli.engine.predict import compiled_features
from ftcli.engine.resume.checkpointer import Checkpointer, RunCheckpoint, SavedState
from ftcli.engine.training.optim import load_optimizer_tensors, optimizer_tensors
from ftcli.engine.tta.batches import Stream, StreamBatch
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.model.head import features, head_of
from ftcli.model.normalization import batch_norms
from ftcli.model.trainable import freeze_all_but, training_mode
from ftcli.workload import PASS, STEP


@dataclass(frozen=True)
class Rule:
    """A method of test-time adaptation.

    loss: of logits [V, K], in nats, a scalar. batch_statistics: BatchNorm normalises by the statistics of the batch.
    predicts_after: predictions come from a pass after the step; otherwise from the logits that the step's loss is of.
    """

    loss: Callable[[Tensor], Tensor]
    optimizer: Callable[..., Optimizer]
    batch_statistics: bool
    predicts_after: bool


def mean_entropy(logits: Tensor) -> Tensor:
    """Mean over images of the entropy of the prediction: logits [B, K] to nats (Wang et al. 2021, section 3)."""
    return entropy(logits.log_softmax(1)).mean()


def entropy_of_mean(logits: Tensor) -> Tensor:
    """Entropy of the mean prediction over one image's views: logits [V, K] to nats (Zhang et al. 2022, section 3)."""
    return entropy(logits.log_softmax(1).logsumexp(0) - math.log(len(logits)))


def entropy(log_p: Tensor) -> Tensor:
    """-Σ p log p over the last dimension."""
    return -(log_p.exp() * log_p).sum(-1)


RULES = {
    "tent": Rule(mean_entropy, Adam, batch_statistics=True, predicts_after=False),
    "memo": Rule(entropy_of_mean, SGD, batch_statistics=False, predicts_after=True),
}


class Adapter:
    """A network whose tensors `names` adapt to streams; everything else in it stays as it is, buffers too.

    The network is in eval mode, except for BatchNorm where the rule normalises by the statistics of the batch. Every
    stream starts from the weights that the network had when this object was made. episodic: so does every batch.
    """

    def __init__(
        self, model: nn.Module, names: Collection[str], rule: Rule, machine: Machine, *, lr: float, steps: int,
        episodic: bool,
    ) -> None:  # fmt: skip
        self.model, self.rule, self.machine = model, rule, machine
        self.lr, self.steps, self.episodic = lr, steps, episodic
        self.tensors = [parameter for name, parameter in model.named_parameters() if name in names]
        # Where the weights start anew after every step, a prediction before the step would not depend on it.
        self.predicts_after = rule.predicts_after or episodic
        self.start = [tensor.detach().clone() for tensor in self.tensors]
        freeze_all_but(model, names)
        training_mode(model, "eval")

    def run(self, stream: Stream, name: str, checkpointer: Checkpointer | None, log: Log) -> "StreamPredictions":
        """The predictions along a stream and, unless episodic, by the weights at its end, which stay in the network.

        name: of the run, in messages and saved states. Raises RunError where a prediction is not finite.
        """
        self.restart()
        done = StreamPredictions()
        checkpoint = RunCheckpoint(checkpointer, name, lambda: done.state(self.adapted()))
        checkpoint.restore(lambda saved: self.resume(done, saved))
        log.begin_search(name)
        finished = done.batches >= stream.steps and (self.episodic or done.at_end is not None)
        log.begin_run(done.batches, stream.steps, unit="batch", resumed=done.batches > 0, finished=finished)
        checkpoint.begin_steps()
        batches = (stream.batches if self.tensors else stream.batches_without_views)(done.batches)
        with self.normalisation():
            for batch in log.track(batches, name, stream.steps - done.batches, STEP):
                if self.episodic:
                    self.restart()
                done.add(batch.rows, self.step(batch))
                checkpoint.after_step()
        if self.episodic:
            self.restore()
        if lost := int((~done.along().isfinite().all(1)).sum()):
            raise RunError(f"{name}: {lost} of {len(done.order())} answers are not finite.", "a smaller --lr")
        if not self.episodic and done.at_end is None:
            done.at_end, done.changed = self.predict(stream, log, f"{name}, again"), True
        done.complete = True
        if done.changed:
            checkpoint.after_epoch()
        checkpoint.end_steps()
        return done

    def step(self, batch: StreamBatch) -> Tensor:
        """Adapt to a batch; gives the logits of its images [B, K]."""
        logits = None
        for _ in range(self.steps if self.tensors else 0):
            logits = self.logits(batch.views)
            self.optimizer.zero_grad(set_to_none=True)
            self.rule.loss(logits).backward()
            self.optimizer.step()
        if logits is not None and not self.predicts_after:
            return logits.detach()
        with torch.no_grad():
            return self.logits(batch.images)

    @torch.no_grad()
    def predict(self, stream: Stream, log: Log, label: str) -> Tensor:
        """The logits of the whole stream by the weights of now, [N, K] in the set's order, on the CPU."""
        with self.normalisation():
            batches = log.track(stream.batches_without_views(), label, stream.steps, PASS)
            pairs = [(batch.rows, self.logits(batch.images)) for batch in batches]
        rows, logits = zip(*pairs, strict=True)
        return in_set_order(torch.cat(rows), torch.cat(logits).cpu())

    def logits(self, images: Tensor) -> Tensor:
        """[B, K] with a gradient; the body in the machine's format, the head in float32, as in every prediction."""
        body = compiled_features() if self.machine.compiled else features
        with self.machine.autocast():
            phi = body(self.model, images)  # [B, D]
        return head_of(self.model, gradients=True)(phi.float())

    def restart(self) -> None:
        """Restore the weights of the start, with a new optimizer."""
        self.restore()
        if self.tensors:
            self.optimizer = self.rule.optimizer(self.tensors, lr=self.lr)

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the weights of the start, to the bit."""
        for tensor, start in zip(self.tensors, self.start, strict=True):
            tensor.copy_(start)

    def adapted(self) -> dict[str, Tensor]:
        """Everything that the steps have changed, by name: weights, and what the optimizer holds."""
        if not self.tensors:
            return {}
        weights = {f"weight.{index}": tensor for index, tensor in enumerate(self.tensors)}
        return weights | {f"memory.{name}": tensor for name, tensor in optimizer_tensors(self.optimizer).items()}

    @torch.no_grad()
    def resume(self, done: "StreamPredictions", saved: SavedState) -> None:
        """Put predictions, weights and optimizer back to a saved state."""
        done.load(saved, self.machine.device)
        adapted = saved.under("learned.")
        for index, tensor in enumerate(self.tensors if adapted else ()):
            tensor.copy_(adapted[f"weight.{index}"])
        if of_optimizer := saved.under("learned.memory."):
            load_optimizer_tensors(self.optimizer, of_optimizer)

    def normalisation(self) -> AbstractContextManager[None]:
        """Inside, BatchNorm layers normalise as the rule says."""
        return batch_statistics(self.model) if self.rule.batch_statistics else nullcontext()


class StreamPredictions:
    """The predictions of an adapting network along a stream, so far.

    Attributes:
        batches: that have been predicted.
        at_end: [N, K], the logits of the whole set by the weights at the end, in the set's order; None if not known.
        changed: since the saved state. complete: no step follows, so that the weights are not needed any more.
    """

    def __init__(self) -> None:
        self.batches, self.changed, self.complete = 0, False, False
        self.rows, self.logits = list[Tensor](), list[Tensor]()
        self.at_end: Tensor | None = None

    def add(self, rows: Tensor, logits: Tensor) -> None:
        """The next batch: which examples of the set [b], and their logits [b, K]."""
        self.rows.append(rows)
        self.logits.append(logits)
        self.batches, self.changed = self.batches + 1, True

    def order(self) -> Tensor:
        """int64 [N]: which example of the set came when."""
        return torch.cat(self.rows)

    def along(self) -> Tensor:
        """[N, K] on the CPU, in the set's order: the logits as they were predicted along the stream."""
        return in_set_order(self.order(), torch.cat(self.logits).cpu())

    def state(self, adapted: Mapping[str, Tensor]) -> SavedState:
        tensors = {"rows": self.order(), "answers": torch.cat(self.logits)}
        if not self.complete:
            tensors |= {f"learned.{name}": tensor for name, tensor in adapted.items()}
        elif self.at_end is not None:
            tensors["again"] = self.at_end
        return SavedState(tensors, {"done": self.batches})

    def load(self, saved: SavedState, device: torch.device) -> None:
        """Raises ValueError for a state that no stream can have."""
        self.batches = saved.values["done"]
        rows, logits = saved.tensors["rows"], saved.tensors["answers"]
        if not (isinstance(self.batches, int) and self.batches > 0 and rows.ndim == 1 and len(logits) == len(rows)):
            raise ValueError("pieces, examples and answers do not fit")
        self.rows, self.logits, self.at_end = [rows], [logits.to(device)], saved.tensors.get("again")


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Inside, every BatchNorm normalises by the statistics of its batch, and its running statistics do not change."""
    layers = batch_norms(model)
    modes = [(layer.training, layer.track_running_stats) for layer in layers]
    for layer in layers:
        layer.training, layer.track_running_stats = True, False  # neither read nor updated
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training, layer.track_running_stats = mode


def in_set_order(rows: Tensor, values: Tensor) -> Tensor:
    """values [N, …] of the examples `rows` [N], sorted by example."""
    return values[rows.argsort()]

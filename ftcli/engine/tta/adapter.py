"""Test-time adaptation: a network learns from the very images that it is asked about, without their labels."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.optim import SGD, Adam, Optimizer

from ftcli.config.adapting import Adapt
from ftcli.engine.device import Machine
from ftcli.engine.optim import memory_of, remember
from ftcli.engine.predict import compiled_features
from ftcli.engine.resume.passage import Passage
from ftcli.engine.tta.stream import Piece, Stream
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.model.head import features, head_of
from ftcli.model.normalization import batch_norms
from ftcli.model.trainable import freeze_all_but, training_mode


@dataclass(frozen=True)
class Rule:
    """How a method learns from the images of a piece, and when it answers.

    loss: of logits [V, K], in nats, a scalar. answers_after: the answer is a pass of its own after the step; otherwise
    it is what the step has learned from, the logits before it.
    """

    loss: Callable[[Tensor], Tensor]
    optimizer: Callable[..., Optimizer]
    batch_statistics: bool
    answers_after: bool


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
    "tent": Rule(mean_entropy, Adam, batch_statistics=True, answers_after=False),
    "memo": Rule(entropy_of_mean, SGD, batch_statistics=False, answers_after=True),
}


class Adapter:
    """A network of which the tensors `names` follow a stream; everything else in it, buffers too, stays as it is.

    The network is in eval behaviour, but for the BatchNorm layers where the rule goes by the statistics of a batch.
    Every stream starts from the weights that the network had when this object was made; `restore` brings them back.
    """

    def __init__(self, model: nn.Module, names: Collection[str], config: Adapt, machine: Machine) -> None:
        self.model, self.config, self.machine, self.rule = model, config, machine, RULES[config.method]
        self.tensors = [parameter for name, parameter in model.named_parameters() if name in names]
        # An answer before the one step after which the weights are thrown away would not know of it.
        self.answers_after = self.rule.answers_after or config.episodic
        self.start = [tensor.detach().clone() for tensor in self.tensors]
        freeze_all_but(model, names)
        training_mode(model, "eval")

    def along(self, stream: Stream, passage: Passage, log: Log) -> tuple[Tensor, Tensor]:
        """The answers as they are given, logits [N, K] in the set's order, and the examples [N] in the stream's order.

        Raises RunError where the weights have run away: an answer is not finite.
        """
        self.restart()
        self.go_on_from(passage.learned)
        pieces = (stream.pieces if self.tensors else stream.without_views)(passage.done)
        with self.statistics():
            for piece in log.track(pieces, passage.name, stream.steps - passage.done):
                if self.config.episodic:
                    self.restart()
                passage.step(piece.rows, self.learn(piece), self.learned)
        if self.config.episodic:
            self.restore()
        order, given = torch.cat(passage.rows), torch.cat(passage.answers).cpu()  # [N], [N, K]
        if lost := int((~given.isfinite().all(1)).sum()):
            raise RunError(f"{passage.name}: {lost} of {len(order)} answers are not finite.", "a smaller --lr")
        return in_the_order_of_the_set(order, given), order

    def again(self, stream: Stream, log: Log, label: str) -> Tensor:
        """The answers of the weights of now to the whole stream: logits [N, K] in the set's order."""
        with self.statistics():
            pieces = log.track(stream.without_views(), label, stream.steps)
            pairs = [(piece.rows, self.answer(piece)) for piece in pieces]
        rows, answers = zip(*pairs, strict=True)
        return in_the_order_of_the_set(torch.cat(rows), torch.cat(answers).cpu())

    def learn(self, piece: Piece) -> Tensor:
        """The steps on one piece, and the answer to its images [B, K]."""
        logits = None
        for _ in range(self.config.steps if self.tensors else 0):
            logits = self.logits(piece.views)
            self.optimizer.zero_grad(set_to_none=True)
            self.rule.loss(logits).backward()
            self.optimizer.step()
        return self.answer(piece) if logits is None or self.answers_after else logits.detach()

    @torch.no_grad()
    def answer(self, piece: Piece) -> Tensor:
        return self.logits(piece.images)

    def logits(self, images: Tensor) -> Tensor:
        """[B, K] with a gradient; the body in the machine's format, the head in float32, as in every prediction."""
        body = compiled_features() if self.machine.compiled else features
        with self.machine.autocast():
            phi = body(self.model, images)  # [B, D]
        head = self.model.get_submodule(head_of(self.model).name)
        return linear(phi.float(), head.weight.flatten(1), head.bias)  # type: ignore[union-attr, operator, arg-type]

    def restart(self) -> None:
        """From the start once more: the weights, and an optimiser that remembers nothing."""
        self.restore()
        if self.tensors:
            self.optimizer = self.rule.optimizer(self.tensors, lr=self.config.lr)

    def learned(self) -> dict[str, Tensor]:
        """Everything that the steps have changed, by name."""
        if not self.tensors:
            return {}
        weights = {f"weight.{index}": tensor for index, tensor in enumerate(self.tensors)}
        return weights | {f"memory.{name}": tensor for name, tensor in memory_of(self.optimizer).items()}

    @torch.no_grad()
    def go_on_from(self, learned: Mapping[str, Tensor]) -> None:
        """Put what was learned back in its place."""
        for index, tensor in enumerate(self.tensors if learned else ()):
            tensor.copy_(learned[f"weight.{index}"])
        memory = {name.removeprefix("memory."): value for name, value in learned.items() if name.startswith("memory.")}
        if memory:
            remember(self.optimizer, memory)

    @torch.no_grad()
    def restore(self) -> None:
        """The weights of the start, to the bit."""
        for tensor, start in zip(self.tensors, self.start, strict=True):
            tensor.copy_(start)

    def statistics(self) -> AbstractContextManager[None]:
        """Inside, normalisation layers go by what the rule says."""
        return batch_statistics(self.model) if self.rule.batch_statistics else nullcontext()


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Inside, every BatchNorm normalises by the batch that it sees, and its running statistics are left alone."""
    layers = batch_norms(model)
    modes = [(layer.training, layer.track_running_stats) for layer in layers]
    for layer in layers:
        layer.training, layer.track_running_stats = True, False  # so it neither reads nor moves them
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training, layer.track_running_stats = mode


def in_the_order_of_the_set(rows: Tensor, values: Tensor) -> Tensor:
    """values [N, …] that belong to the examples `rows` [N], sorted by example."""
    return values[rows.argsort()]

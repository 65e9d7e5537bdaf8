"""The one prediction pass: images in, features and logits out. Every reported figure comes from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor, nn

from ftcli.data.loader import Loader
from ftcli.engine.device import Machine
from ftcli.engine.micro_batches import MicroBatches
from ftcli.log import Log
from ftcli.model.head import Head, features, head_of
from ftcli.workload import PASS


@dataclass(frozen=True)
class SuffixForward:
    """The rest of a model's forward pass, where its frozen prefix has been computed for a whole set.

    loader: gives the prefix's outputs as rows [B, D'] in the place of images. network: rows to the head's input [B, D],
    or to logits [B, K] where it is for training. head: of the model.
    """

    loader: Loader
    network: Callable[[Tensor], Tensor]
    head: Head


@dataclass(frozen=True)
class Outputs:
    """Consecutive examples of one set through one model, in the set's order, float32."""

    features: Tensor  # [N, D], the head's input
    logits: Tensor  # [N, K]


def predict(
    model: nn.Module, data: Loader | SuffixForward, machine: Machine, log: Log, label: str, kind: str = PASS
) -> Outputs:
    """The outputs of `passes` for a whole set, on the CPU."""
    chunks = list(passes(model, data, machine, log, label, kind))
    return Outputs(
        torch.cat([chunk.features for chunk in chunks]).cpu(), torch.cat([chunk.logits for chunk in chunks]).cpu()
    )


def passes(
    model: nn.Module, data: Loader | SuffixForward, machine: Machine, log: Log, label: str, kind: str = PASS
) -> Iterator[Outputs]:
    """The outputs a few batches at a time, in order, on the machine's device; the same in every process.

    The model is in eval behaviour. The body runs in the machine's number format, the head in float32. Each process
    makes whole batches, so that the number of processes changes no bit of any output. kind: of the loop, for its time.
    """
    if isinstance(data, Loader):
        model.eval()
        loader, head = data, head_of(model)
        body: Callable[[Tensor], Tensor] = partial(compiled_features() if machine.compiled else features, model)
    else:
        if model.training:  # switching the mode costs time, and a suffix is run many times
            model.eval()
        loader, head, body = data.loader, data.head, data.network
    own = iter(loader.ordered())
    K, D = head.weight.shape
    rounds = batch_sizes(loader.n, loader.batch_size, machine.processes)
    micro_batches = MicroBatches(f"a pass over {label or 'the images'}", min(loader.n, loader.batch_size), log)
    for sizes in log.track(rounds, label, len(rounds), kind):
        phi, logits = head.weight.new_empty(0, D), head.weight.new_empty(0, K)
        with torch.inference_mode():
            if sizes[machine.rank]:
                phi = in_micro_batches(body, next(own).images, micro_batches, machine).float()  # [B, D]
                logits = head(phi)  # [B, K]
        yield Outputs(machine.gather(phi, sizes), machine.gather(logits, sizes))


def in_micro_batches(
    network: Callable[[Tensor], Tensor], images: Tensor, micro_batches: MicroBatches, machine: Machine
) -> Tensor:
    """network(images) [B, D], in as many micro-batches as memory asks for."""
    while True:
        with micro_batches, machine.autocast():
            outputs = [network(micro_batch) for micro_batch in micro_batches.of_images(images)]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def batch_sizes(n: int, batch_size: int, processes: int) -> list[list[int]]:
    """The size of every process's batch, round by round: batches are dealt out to one process after the other."""
    sizes = [min(batch_size, n - start) for start in range(0, n, batch_size)]
    sizes += [0] * (-len(sizes) % processes)
    return [sizes[start : start + processes] for start in range(0, len(sizes), processes)]


@cache
def compiled_features():  # type: ignore[no-untyped-def]
    """`features`, compiled once for all the networks of a process."""
    return torch.compile(features)


def score(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy (a fraction) and mean cross-entropy (nats) of logits [N, K] on labels [N]; selection goes by these."""
    accuracy = correct(logits, labels).double().mean()
    return accuracy.item(), nn.functional.cross_entropy(logits.double(), labels).item()


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Which examples are predicted correctly, bool [N]; none whose logits [K] are not finite."""
    return (logits.argmax(1) == labels) & logits.isfinite().all(1)

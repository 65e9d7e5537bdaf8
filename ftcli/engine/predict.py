"""The one prediction pass: images in, features and logits out. Everything that is reported comes through here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor, nn

from ftcli.data.loaders import Loader
from ftcli.engine.device import Machine
from ftcli.engine.micro_batches import MicroBatches
from ftcli.log import Log
from ftcli.model.head import Head, features, head_of
from ftcli.model.prefix import Forward


@dataclass(frozen=True)
class Way:
    """How a model comes from what a loader gives of a batch to features [B, D], and from there to logits."""

    body: Forward
    head: Head


@dataclass(frozen=True)
class Outputs:
    """Consecutive examples of one set through one model, in the set's order, float32."""

    features: Tensor  # [N, D], the head's input
    logits: Tensor  # [N, K]


def predict(
    model: nn.Module, loader: Loader, machine: Machine, log: Log, label: str, way: Way | None = None
) -> Outputs:
    """Every example once, over all processes; on the CPU."""
    parts = list(passes(model, loader, machine, log, label, way))
    return Outputs(torch.cat([part.features for part in parts]).cpu(), torch.cat([part.logits for part in parts]).cpu())


def passes(
    model: nn.Module, loader: Loader, machine: Machine, log: Log, label: str, way: Way | None = None
) -> Iterator[Outputs]:
    """The outputs a few batches at a time, in order, on the machine's device; the same in every process.

    The model is in eval behaviour. The body runs in the machine's format, the head in float32. Each process makes whole
    batches, so that their number changes no bit of any output. `way`: another one than through the whole model, for a
    loader that gives something else than images.
    """
    if way is None or model.training:  # a shorter way is for a model that has been in eval behaviour already
        model.eval()
    way = way or Way(compiled_features() if machine.compiled else features, head_of(model))
    head, body = way.head, way.body
    own = iter(loader.ordered())
    K, D = head.weight.shape
    todo = rounds(loader.n, loader.batch_size, machine.processes)
    parts = MicroBatches(f"a pass over {label or 'the images'}", min(loader.n, loader.batch_size), log)
    for counts in log.track(todo, label, len(todo)):
        phi, logits = head.weight.new_empty(0, D), head.weight.new_empty(0, K)
        with torch.inference_mode():
            if counts[machine.rank]:
                phi = fitting(partial(body, model), next(own).images, parts, machine).float()  # [B, D]
                logits = head(phi)  # [B, K]
        yield Outputs(machine.gather(phi, counts), machine.gather(logits, counts))


def fitting(body: Callable[[Tensor], Tensor], images: Tensor, parts: MicroBatches, machine: Machine) -> Tensor:
    """The features of a batch [B, D], in as many parts as it takes."""
    while True:
        with parts, machine.autocast():
            found = [body(part) for part in parts.of_images(images)]
            return found[0] if len(found) == 1 else torch.cat(found)


def rounds(n: int, batch_size: int, processes: int) -> list[list[int]]:
    """Examples that each process looks at, round by round: batch after batch is dealt out to one after the other."""
    sizes = [min(batch_size, n - start) for start in range(0, n, batch_size)]
    sizes += [0] * (-len(sizes) % processes)
    return [sizes[start : start + processes] for start in range(0, len(sizes), processes)]


@cache
def compiled_features():  # type: ignore[no-untyped-def]
    """`features`, compiled once for all the networks of a process."""
    return torch.compile(features)


def score(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy (a fraction) and mean cross-entropy (nats) of logits [N, K] on labels [N]; what selection looks at."""
    accuracy = right(logits, labels).double().mean()
    return accuracy.item(), nn.functional.cross_entropy(logits.double(), labels).item()


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """Which examples are predicted right, bool [N]; none whose logits [K] are not finite."""
    return (logits.argmax(1) == labels) & logits.isfinite().all(1)

"""The one prediction pass: images in, features and logits out. Everything that is reported comes through here."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ftcli.data.loaders import Loader
from ftcli.engine.device import Machine
from ftcli.log import Log
from ftcli.model.head import features, head_of


@dataclass(frozen=True)
class Outputs:
    """One set through one model, in the set's order, float32 on the CPU."""

    features: Tensor  # [N, D], the head's input
    logits: Tensor  # [N, K]


def predict(model: nn.Module, loader: Loader, machine: Machine, log: Log, label: str) -> Outputs:
    """Every example once, in eval behaviour. The body runs in the machine's format, the head in float32."""
    model.eval()
    head = head_of(model)
    phi, logits = [], []
    with torch.inference_mode():
        for images, _ in log.track(loader.ordered(), label, loader.steps(skip_single=False)):
            with machine.autocast():
                batch = features(model, machine.send(images))  # [B, D]
            phi.append(batch.float())
            logits.append(head(phi[-1]))  # [B, K]
    return Outputs(torch.cat(phi).cpu(), torch.cat(logits).cpu())


def score(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy (a fraction) and mean cross-entropy (nats) of logits [N, K] on labels [N]; what selection looks at."""
    accuracy = (logits.argmax(1) == labels).double().mean()
    return accuracy.item(), nn.functional.cross_entropy(logits.double(), labels).item()

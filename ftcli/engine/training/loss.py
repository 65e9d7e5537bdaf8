"""The training loss: cross-entropy, with class weights, label smoothing and mixup, over a batch that may be divided."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ftcli.data.loader import Batch


@dataclass(frozen=True)
class BatchLoss:
    """The mean cross-entropy over a batch, of which a process or a micro-batch computes its share; shares add up.

    class_weights: float32 [K] on the device, the weight of each class in the mean; None weighs all alike.
    """

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """The share of these examples in the mean over the whole batch: logits [b, K] to a scalar, in nats.

        Of mixed images it is weight · CE(y) + (1 - weight) · CE(y'), each a mean over the batch as above.
        """
        loss = self.share(logits, batch.labels, batch)
        if batch.mixed is None:
            return loss
        weight, labels = batch.mixed
        return weight * loss + (1 - weight) * self.share(logits, labels, batch)

    def share(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """The share of these examples, with these labels [b]; those of the whole batch are a permutation of `whole`."""
        if self.class_weights is None and batch.counted and len(labels) == len(batch.whole):
            # All of the batch is here: torch's own mean costs two small operations less.
            return cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        total = cross_entropy(logits, labels, self.class_weights, reduction="sum", label_smoothing=self.label_smoothing)
        weight = len(batch.whole) if self.class_weights is None else self.class_weights[batch.whole].sum()
        return total / weight if batch.counted else total * 0


def balanced_class_weights(labels: np.ndarray, num_classes: int) -> Tensor:
    """float32 [K]: N / (K' n_k) for the K' classes with n_k > 0 of the N examples, 0 for the others."""
    counts = torch.bincount(torch.from_numpy(labels), minlength=num_classes)
    weights = counts.sum() / (torch.count_nonzero(counts) * counts)
    return torch.where(counts > 0, weights, 0.0).float()

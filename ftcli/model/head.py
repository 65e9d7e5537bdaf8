"""The classifier of a timm model: found, read, set, or drawn from a seed; and the features that go into it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ftcli.model.classifier import Linear, Source, classifier_of, find_classifier, sources_of, stated_tensors
from ftcli.seeds import derive_seed

POOLED = (Source(),)


@dataclass(frozen=True)
class LinearPart:
    """A linear layer on the columns of the features from `start` on: weight [K, d], bias [K]."""

    weight: Tensor
    bias: Tensor
    start: int

    @property
    def columns(self) -> slice:
        return slice(self.start, self.start + self.weight.shape[1])

    def __call__(self, features: Tensor) -> Tensor:
        return nn.functional.linear(features[:, self.columns], self.weight, self.bias)


@dataclass(frozen=True)
class HeadGroup:
    """Linear layers whose outputs are added: one, or several weighted by the softmax of `mix` [n]."""

    parts: tuple[LinearPart, ...]
    mix: Tensor | None

    def weights(self) -> list[Tensor]:
        """The weight of each part's output, scalars; of one part alone, 1."""
        return [self.parts[0].weight.new_ones(())] if self.mix is None else list(self.mix.softmax(-1))

    def __call__(self, features: Tensor) -> Tensor:
        if self.mix is None:
            return self.parts[0](features)
        weighted = [weight * part(features) for weight, part in zip(self.weights(), self.parts, strict=True)]
        return torch.stack(weighted).sum(0)  # in timm's order of operations, for the same bits


@dataclass(frozen=True)
class Head:
    """A linear classifier: logits = features @ weight.T + bias  # [B, K], the mean over groups of linear layers.

    `names` are those of the linear layers. The tensors are views of the model's, and follow it.
    """

    names: tuple[str, ...]
    groups: tuple[HeadGroup, ...]
    width: int

    @property
    def weight(self) -> Tensor:
        """[K, D]; of a single layer, a view of the model's."""
        if len(self.names) == 1:
            return self.groups[0].parts[0].weight
        first = self.groups[0].parts[0].weight
        weight = first.new_zeros(len(first), self.width)
        for share, part in self.shares():
            weight[:, part.columns] += share * part.weight
        return weight

    @property
    def bias(self) -> Tensor:
        """[K]; of a single layer, a view of the model's."""
        if len(self.names) == 1:
            return self.groups[0].parts[0].bias
        return torch.stack([share * part.bias for share, part in self.shares()]).sum(0)

    def shares(self) -> Iterator[tuple[Tensor, LinearPart]]:
        """The share of each linear layer in the logits, a scalar, and the layer; the shares add up to 1."""
        for group in self.groups:
            yield from ((w / len(self.groups), part) for w, part in zip(group.weights(), group.parts, strict=True))

    def __call__(self, features: Tensor) -> Tensor:
        """The classifier alone: features [B, D] -> logits [B, K], the bits that the model computes from them."""
        logits = [group(features) for group in self.groups]
        return logits[0] if len(logits) == 1 else cast(Tensor, sum(logits[1:], logits[0])) / len(logits)


def classifier_tensors(model: nn.Module) -> tuple[str, ...]:
    """Names of the parameters of the classifier's linear layers; where it is not of such layers alone, of all of it."""
    classifier = find_classifier(model)
    if classifier is None:
        return stated_tensors(model)
    prefixes = tuple(f"{name}." for name in classifier.names)
    return tuple(name for name, _ in model.named_parameters() if name.startswith(prefixes))


def head_of(model: nn.Module, *, gradients: bool = False) -> Head:
    """The classifier as one linear layer on `features`. gradients: they flow into the classifier's tensors.

    Raises RequestError where the classifier is anything but linear layers with biases, one or a mean of several.
    """

    def tensor(value: object) -> Tensor:
        return cast(Tensor, value) if gradients else cast(Tensor, value).detach()

    classifier = classifier_of(model)
    groups = []
    for group in classifier.groups:
        parts = []
        for part in group.parts:
            linear = model.get_submodule(part.name)
            parts.append(LinearPart(tensor(linear.weight).flatten(1), tensor(linear.bias), part.start))
        groups.append(HeadGroup(tuple(parts), tensor(getattr(model, group.mix)) if group.mix else None))
    return Head(classifier.names, tuple(groups), classifier.width)


def set_head(model: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Give the classifier this weight [K, D] and bias [K]; K may differ from what the model has. D must not.

    Only the parameters of the classifier's linear layers change: timm's reset_classifier also draws layers before the
    classifier anew in some families, and uses up random numbers. Layers that read the same features become equal.
    """
    head = head_of(model)
    K, D = weight.shape
    if head.width != D or bias.shape != (K,):
        raise ValueError(f"a head [{K}, {D}] with bias {tuple(bias.shape)} does not fit features of width {head.width}")
    shares = list(head.shares())
    layers = []
    for _, part in shares:
        share = sum(float(other) for other, same in shares if same.start == part.start)
        layers.append((weight[:, part.columns] / share, bias))
    set_linear_layers(model, layers)


def set_linear_layers(model: nn.Module, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Give each linear layer of the classifier, in the order of Head.names, its own weight [K, d] and bias [K]."""
    for name, (weight, bias) in zip(head_of(model).names, layers, strict=True):
        module = cast(Linear, model.get_submodule(name))
        if len(module.weight) != len(weight):
            _resize(model, name, module, len(weight))
        with torch.no_grad():
            module.weight.copy_(weight.view(module.weight.shape))
            cast(Tensor, module.bias).copy_(bias)


def fresh_head(model: nn.Module, num_classes: int, seed: int) -> None:
    """Draw a new classifier: weight [K, D], then bias [K], from U(-1/sqrt(D), 1/sqrt(D)), nn.Linear's own distribution.

    The generator belongs to the head alone: the same (K, D, seed) gives the same head in any model, and no other random
    number of the run moves.
    """
    D = head_of(model).width
    generator = torch.Generator().manual_seed(derive_seed("head", seed))
    bound = 1 / math.sqrt(D)
    weight = torch.empty(num_classes, D).uniform_(-bound, bound, generator=generator)  # [K, D]
    bias = torch.empty(num_classes).uniform_(-bound, bound, generator=generator)  # [K]
    set_head(model, weight, bias)


def features(model: nn.Module, images: Tensor) -> Tensor:
    """What goes into the classifier: images [B, C, H, W] -> features [B, D], of all its linear layers side by side."""
    sources, outputs = sources_of(model), model.forward_features(images)  # type: ignore[operator]
    if sources == POOLED:
        return model.forward_head(outputs, pre_logits=True)  # type: ignore[operator]
    return _side_by_side(model, sources, outputs)


def _side_by_side(model: nn.Module, sources: tuple[Source, ...], outputs: Tensor) -> Tensor:
    """What every source has: the outputs of forward_features [B, ...] -> [B, D]."""
    pooled: Tensor | None = None
    columns = []
    for source in sources:
        if source.token is not None:
            values = model.head_drop(outputs[:, source.token])  # type: ignore[operator]
        else:
            pooled = model.forward_head(outputs, pre_logits=True) if pooled is None else pooled  # type: ignore[operator]
            values = pooled
        for name in source.before:
            values = model.get_submodule(name)(values)
        columns.append(values)
    return columns[0] if len(columns) == 1 else torch.cat(columns, 1)


def _resize(model: nn.Module, name: str, module: Linear, num_classes: int) -> None:
    """Give the classifier `num_classes` rows, and every module around it that states their number the new one."""
    like = module.weight
    module.weight = nn.Parameter(like.new_empty(num_classes, *like.shape[1:]), like.requires_grad)
    module.bias = nn.Parameter(like.new_empty(num_classes), cast(Tensor, module.bias).requires_grad)
    if isinstance(module, nn.Linear):
        module.out_features = num_classes
    else:
        module.out_channels = num_classes
    parent = model
    for child in ("", *name.split(".")[:-1]):
        parent = parent.get_submodule(child)
        if hasattr(parent, "num_classes"):
            parent.num_classes = num_classes  # type: ignore[assignment]

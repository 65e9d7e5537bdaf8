"""Projections: the result of a step is drawn back towards the starting weights θ⁰, tensor by tensor.

SPD: Tian, Huang and Kira 2024 (arXiv 2411.01713). FTP: Tian, Liu, Smith and Kira 2023 (arXiv 2310.19182).
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

SMALLEST = 1e-8  # of a radius of FTP, and what is added to its norms
RADIUS_RATE, BETAS, EPSILON = 1e-2, (0.9, 0.999), 1e-8  # of the Adam that moves FTP's radii


class Projection(Protocol):
    """What the loop calls around every step of the optimizer."""

    def before_step(self) -> None:
        """The gradients are there, the weights are those that they were computed at."""

    def after_step(self) -> None:
        """The optimizer has moved the weights; they are projected in place."""

    def tensors(self) -> dict[str, Tensor]:
        """What it holds besides θ⁰, by "NAME.KIND"; the rest of the run depends on it."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the result of `tensors` back."""


class SelectiveProjection:
    """SPD. Where ⟨g, W - W⁰⟩ > 0, that is where descent leads back to W⁰, a step to W̃ that leads farther away is taken
    back by λρ(W̃ - W⁰), ρ = 1 - ‖W - W⁰‖/‖W̃ - W⁰‖ in [0, 1]: with λ = 1 to the radius before the step.

    parameters: by name, with the values W⁰ that they have now. λ is not multiplied by the learning rate.
    """

    def __init__(self, parameters: Mapping[str, Parameter], strength: float) -> None:
        self.strength = strength
        self.anchored = [(parameter, parameter.detach().clone()) for parameter in parameters.values()]
        self.before: list[tuple[Tensor, Tensor]] = []  # of each: ⟨g, W - W⁰⟩ and ‖W - W⁰‖

    @torch.no_grad()
    def before_step(self) -> None:
        self.before = []
        for parameter, start in self.anchored:
            if parameter.grad is None:
                self.before.append((start.new_zeros(()), start.new_zeros(())))
                continue
            offset = parameter - start
            self.before.append(((parameter.grad * offset).sum(), torch.linalg.vector_norm(offset)))

    @torch.no_grad()
    def after_step(self) -> None:
        for (parameter, start), (slope, radius) in zip(self.anchored, self.before, strict=True):
            if parameter.grad is None:
                continue
            offset = parameter - start
            length = torch.linalg.vector_norm(offset)
            rho = ((length - radius) / length).clamp(0, 1)
            parameter.sub_(offset * torch.where(slope > 0, self.strength * rho, 0.0))

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        pass


class FastTrainableProjection:
    """FTP. Every row of W̃ - W⁰ is cut to the radius γ, one for the tensor, which Adam moves by the gradient that the
    step before would have had with respect to γ.

    A row is all that has one index of the first dimension; a tensor of one dimension is one row. The norm of a row is
    the sum of its absolute values. The first step only sets γ to its smallest value, so it leads back to W⁰, and γ then
    grows by about 0.01 a step at most, whatever the learning rate. strength: k in [0, 1], the factor on gradients that
    shrink γ; with 0 it never shrinks.
    """

    def __init__(self, parameters: Mapping[str, Parameter], strength: float) -> None:
        self.strength = strength
        self.anchored = {name: (parameter, parameter.detach().clone()) for name, parameter in parameters.items()}
        self.kept: dict[str, Tensor] = {}  # by "NAME.KIND": offset W̃ - W⁰ of the last step, radius γ, m and v, count
        self.slopes: dict[str, Tensor] = {}  # by name: the gradient with respect to γ

    @torch.no_grad()
    def before_step(self) -> None:
        self.slopes = {}
        for name, (parameter, _) in self.anchored.items():
            offset = self.kept.get(f"{name}.offset")
            if parameter.grad is not None and offset is not None:
                rows = _rows(parameter.grad * offset).sum(1) / _norms(offset)
                self.slopes[name] = rows.sum().nan_to_num(0.0, 0.0, 0.0)  # not finite: the loss scaler leaves it out

    @torch.no_grad()
    def after_step(self) -> None:
        for name, (parameter, start) in self.anchored.items():
            if parameter.grad is None:
                continue
            offset = parameter - start
            norms = _norms(offset)
            radius = torch.minimum(self._radius(name, start), norms.max()).clamp_min(SMALLEST)
            self.kept |= {f"{name}.radius": radius, f"{name}.offset": offset}
            shape = (-1, *[1] * (parameter.ndim - 1)) if parameter.ndim > 1 else (1,) * parameter.ndim
            parameter.copy_(start + (radius / norms).clamp_max(1).view(shape) * offset)

    def _radius(self, name: str, start: Tensor) -> Tensor:
        """γ after Adam's step, before it is held within its bounds."""
        if name not in self.slopes:
            return self.kept.get(f"{name}.radius", start.new_tensor(SMALLEST))
        slope = self.slopes[name]
        slope = torch.where(slope > 0, self.strength * slope, slope)
        zero = start.new_zeros(())
        t = self.kept.get(f"{name}.count", zero) + 1
        m = torch.lerp(slope, self.kept.get(f"{name}.m", zero), BETAS[0])
        v = torch.lerp(slope.square(), self.kept.get(f"{name}.v", zero), BETAS[1])
        self.kept |= {f"{name}.count": t, f"{name}.m": m, f"{name}.v": v}
        corrected = m / (1 - BETAS[0] ** t), v / (1 - BETAS[1] ** t)
        return self.kept[f"{name}.radius"] - RADIUS_RATE * corrected[0] / (corrected[1].sqrt() + EPSILON)

    def tensors(self) -> dict[str, Tensor]:
        return self.kept

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        device = next(iter(self.anchored.values()))[1].device if self.anchored else None
        self.kept = {key: tensor.to(device, copy=True) for key, tensor in tensors.items()}


def _rows(values: Tensor) -> Tensor:
    """[R, …] as [R, rest]; of one dimension or none, [1, all]."""
    return values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)


def _norms(offset: Tensor) -> Tensor:
    """The norm of every row, [R]."""
    return _rows(offset).abs().sum(1) + SMALLEST


def projection_of(rule: str | None, parameters: Mapping[str, Parameter]) -> Projection | None:
    """The projection that "spd:λ" or "ftp:k" names, over these parameters."""
    if rule is None:
        return None
    name, _, strength = rule.partition(":")
    if name == "spd":
        return SelectiveProjection(parameters, float(strength))
    return FastTrainableProjection(parameters, float(strength))

"""Projections: the result of a step is drawn back towards the starting weights θ⁰, tensor by tensor.

SPD: Tian, Huang and Kira 2024 (arXiv 2411.01713). FTP: Tian, Liu, Smith and Kira 2023 (arXiv 2310.19182).
"""

from collections.abc import Iterable, Mapping
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
        """What it holds besides θ⁰, by name; the rest of the run depends on it."""

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
        self.moving: list[tuple[Parameter, Tensor]] = []  # those with a gradient in this step, M of them
        self.slopes, self.radii = torch.empty(0), torch.empty(0)  # [M], of each ⟨g, W - W⁰⟩ and ‖W - W⁰‖

    @torch.no_grad()
    def before_step(self) -> None:
        self.moving = [(parameter, start) for parameter, start in self.anchored if parameter.grad is not None]
        slopes, radii = [], []
        for parameter, start in self.moving:
            offset = (parameter - start).flatten()
            assert parameter.grad is not None
            slopes.append(torch.dot(parameter.grad.flatten(), offset))
            radii.append(torch.linalg.vector_norm(offset))
        self.slopes, self.radii = _stacked(slopes), _stacked(radii)

    @torch.no_grad()
    def after_step(self) -> None:
        lengths = _stacked([torch.linalg.vector_norm(parameter - start) for parameter, start in self.moving])
        rho = ((lengths - self.radii) / lengths).clamp(0, 1)
        shares = torch.where(self.slopes > 0, self.strength * rho, 0.0)
        for (parameter, start), share in zip(self.moving, shares.unbind(), strict=True):
            parameter.lerp_(start, share)

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
        like = next((start for _, start in self.anchored.values()), torch.empty(0))
        zeros = like.new_zeros(len(self.anchored))
        # [T], of every tensor γ, the moments of its Adam and their count.
        self.state = {"radius": zeros + SMALLEST, "m": zeros.clone(), "v": zeros.clone(), "count": zeros.clone()}
        self.offsets: dict[str, Tensor] = {}  # W̃ - W⁰ of the last step, of those that have had one
        self.norms: dict[str, Tensor] = {}  # of their rows, [R]
        self.slopes: dict[str, Tensor] = {}  # the gradient with respect to γ

    @torch.no_grad()
    def before_step(self) -> None:
        self.slopes = {}
        for name, (parameter, _) in self.anchored.items():
            if parameter.grad is not None and name in self.offsets:
                rows = _rows(parameter.grad * self.offsets[name]).sum(1) / self.norms[name]
                self.slopes[name] = rows.sum()

    @torch.no_grad()
    def after_step(self) -> None:
        moving = {name: pair for name, pair in self.anchored.items() if pair[0].grad is not None}
        if not moving:
            return
        for name, (parameter, start) in moving.items():
            self.offsets[name] = torch.sub(parameter, start, out=self.offsets.get(name))
            self.norms[name] = _norms(self.offsets[name])
        places = self._places(moving)
        longest = torch.stack([self.norms[name].max() for name in moving])
        self._move_radii()
        radii = torch.minimum(self.state["radius"][places], longest).clamp_min(SMALLEST)
        self.state["radius"][places] = radii
        for (name, (parameter, start)), radius in zip(moving.items(), radii.unbind(), strict=True):
            shares = (radius / self.norms[name]).clamp_max(1)
            shape = (-1, *[1] * (parameter.ndim - 1)) if parameter.ndim > 1 else (1,) * parameter.ndim
            torch.addcmul(start, self.offsets[name], shares.view(shape), out=parameter)

    def _move_radii(self) -> None:
        """Adam's step of the radii that have a gradient, before they are held within their bounds."""
        if not self.slopes:
            return
        places = self._places(self.slopes)
        radius, m, v, t = (self.state[key][places] for key in ("radius", "m", "v", "count"))
        slope = torch.stack(list(self.slopes.values())).nan_to_num(0.0, 0.0, 0.0)  # the loss scaler leaves it out
        slope = torch.where(slope > 0, self.strength * slope, slope)
        t, m, v = t + 1, torch.lerp(slope, m, BETAS[0]), torch.lerp(slope.square(), v, BETAS[1])
        corrected = m / (1 - BETAS[0] ** t), v / (1 - BETAS[1] ** t)
        radius = radius - RADIUS_RATE * corrected[0] / (corrected[1].sqrt() + EPSILON)
        for key, moved in {"radius": radius, "m": m, "v": v, "count": t}.items():
            self.state[key][places] = moved

    def _places(self, names: Iterable[str]) -> Tensor:
        """Where tensors are in the state."""
        known = {name: place for place, name in enumerate(self.anchored)}
        return torch.tensor([known[name] for name in names], device=self.state["radius"].device)

    def tensors(self) -> dict[str, Tensor]:
        return self.state | {f"{name}.offset": offset for name, offset in self.offsets.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        device = self.state["radius"].device
        own = {key: tensor.to(device, copy=True) for key, tensor in tensors.items()}
        self.state = {key: own.pop(key) for key in self.state}
        self.offsets = {key.removesuffix(".offset"): offset for key, offset in own.items()}
        self.norms = {name: _norms(offset) for name, offset in self.offsets.items()}


def _stacked(values: list[Tensor]) -> Tensor:
    """Scalars as one tensor."""
    return torch.stack(values) if values else torch.empty(0)


def _rows(values: Tensor) -> Tensor:
    """[R, …] as [R, rest]; of one dimension or none, [1, all]."""
    return values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)


def _norms(offset: Tensor) -> Tensor:
    """The norm of every row, [R]."""
    return torch.linalg.vector_norm(_rows(offset), ord=1, dim=1) + SMALLEST


def projection_of(rule: str | None, parameters: Mapping[str, Parameter]) -> Projection | None:
    """The projection that "spd:λ" or "ftp:k" names, over these parameters."""
    if rule is None:
        return None
    name, _, strength = rule.partition(":")
    if name == "spd":
        return SelectiveProjection(parameters, float(strength))
    return FastTrainableProjection(parameters, float(strength))

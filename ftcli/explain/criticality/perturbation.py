"""One block of a network off its place: on the line back to where it started, with noise on top, and home again."""

from collections.abc import Collection, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from ftcli.seeds import derive_seed


class Perturbed:
    """The named parameters of a model on the line from θ⁰ to the model's own θᶠ, where leaving the context puts them
    back, to the bit.

    Nothing else of the model moves: no other parameter, and no buffer.

    Args:
        start: θ⁰ by parameter name, at least of `tensors`, in the shapes of the model's.
    """

    def __init__(self, model: nn.Module, tensors: Collection[str], start: Mapping[str, Tensor]) -> None:
        own = dict(model.named_parameters())
        self.places = [own[name].detach() for name in tensors]
        self.end = [place.clone() for place in self.places]
        # In the memory order of the model's own: mixed orders would make every step through them slow.
        self.start = [
            torch.empty_like(place).copy_(start[name]) for name, place in zip(tensors, self.places, strict=True)
        ]
        self.keeping = [module for module in model.modules() if type(module).train is not nn.Module.train]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for place, value in zip(self.places, self.end, strict=True):
            place.copy_(value)
        self._forget()

    @property
    def distance(self) -> float:
        """‖θᶠ - θ⁰‖ over all elements, in float64."""
        squares = [
            (b.cpu().double() - a.cpu().double()).square().sum() for a, b in zip(self.start, self.end, strict=True)
        ]
        return float(torch.stack(squares).sum().sqrt())

    def noise(self, seed: int, name: str, draw: int) -> list[Tensor]:
        """z ~ N(0, I), one tensor per parameter: it depends on these three words and the shapes only."""
        generator = torch.Generator().manual_seed(derive_seed("criticality", seed, name, draw))
        return [torch.empty_like(place).copy_(torch.randn(place.shape, generator=generator)) for place in self.places]

    @torch.no_grad()
    def stand(self, alpha: float, sigma: float = 0.0, noise: Sequence[Tensor] = ()) -> None:
        """Put the block at (1 - α) θ⁰ + α θᶠ + σ z; α = 0 and α = 1 without noise are θ⁰ and θᶠ to the bit."""
        for place, a, b in zip(self.places, self.start, self.end, strict=True):
            torch.lerp(a, b, alpha, out=place)
        for place, z in zip(self.places, noise, strict=True) if noise else ():
            place.add_(z, alpha=sigma)
        self._forget()

    def _forget(self) -> None:
        """Some attention layers keep what they made of their parameters until they are told in which mode they are."""
        for module in self.keeping:
            module.train()  # timm's LeViT gives back nothing here
            module.eval()

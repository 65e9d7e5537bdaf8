"""A network that is built for a file may not outgrow that file by much: it is given up before it takes the memory."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ftcli.limits import EXTRA_NUMBERS, EXTRA_TENSORS, MAX_SIZE_RATIO


class TooLargeForFile(Exception):
    """Raised while a network is built: it becomes too large."""


@dataclass(frozen=True)
class Room:
    """How large a network may become: parameters, and numbers in all of them."""

    tensors: int
    numbers: int

    @classmethod
    def of(cls, shapes: Iterable[tuple[int, ...]]) -> "Room":
        """The room that a file with tensors of these shapes gives."""
        sizes = [prod(shape) for shape in shapes]
        return cls(MAX_SIZE_RATIO * len(sizes) + EXTRA_TENSORS, MAX_SIZE_RATIO * sum(sizes) + EXTRA_NUMBERS)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, every parameter that a network of this process gets is counted. Raises TooLargeForFile at the
        first one too many, before its values are drawn.
        """
        tensors = numbers = 0

        def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
            nonlocal tensors, numbers
            tensors, numbers = tensors + 1, numbers + (0 if parameter is None else parameter.numel())
            if tensors > self.tensors or numbers > self.numbers:
                raise TooLargeForFile

        handle = register_module_parameter_registration_hook(count)
        try:
            yield
        finally:
            handle.remove()

"""A network that is built for a file may not outgrow that file by much: it is given up before it takes the memory."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

TIMES = 4  # what a network may have of what its file has: position tables grow with the input, a head with its classes
MORE_TENSORS, MORE_NUMBERS = 4000, 10**8  # and so many besides, for files that hold only a part


class TooLargeForFile(Exception):
    """Raised while a network is built: it becomes too large."""


@dataclass(frozen=True)
class SizeLimit:
    """How large a network may become: parameters, and numbers in all of them."""

    tensors: int
    numbers: int

    @classmethod
    def of(cls, shapes: Iterable[tuple[int, ...]]) -> "SizeLimit":
        """The room that a file with tensors of these shapes gives."""
        sizes = [prod(shape) for shape in shapes]
        return cls(TIMES * len(sizes) + MORE_TENSORS, TIMES * sum(sizes) + MORE_NUMBERS)

    @contextmanager
    def enforced(self) -> Iterator[None]:
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

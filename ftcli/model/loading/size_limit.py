"""A limit on the size of a network that is built for a weights file, checked before it takes the memory."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ftcli.limits import EXTRA_NUMBERS, EXTRA_TENSORS, MAX_SIZE_RATIO


class TooLargeForFile(Exception):
    """Raised while a network is built that exceeds its SizeLimit."""


@dataclass(frozen=True)
class SizeLimit:
    """The most parameters that a network may have, and the most elements of all of them."""

    tensors: int
    elements: int

    @classmethod
    def for_shapes(cls, shapes: Iterable[tuple[int, ...]]) -> "SizeLimit":
        """The limit for a file with tensors of these shapes."""
        sizes = [prod(shape) for shape in shapes]
        return cls(MAX_SIZE_RATIO * len(sizes) + EXTRA_TENSORS, MAX_SIZE_RATIO * sum(sizes) + EXTRA_NUMBERS)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Inside, every parameter that this process gives to a network is counted. Raises TooLargeForFile at the first
        one over the limit, before its values are drawn.
        """
        tensors = elements = 0

        def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
            nonlocal tensors, elements
            tensors, elements = tensors + 1, elements + (0 if parameter is None else parameter.numel())
            if tensors > self.tensors or elements > self.elements:
                raise TooLargeForFile

        handle = register_module_parameter_registration_hook(count)
        try:
            yield
        finally:
            handle.remove()

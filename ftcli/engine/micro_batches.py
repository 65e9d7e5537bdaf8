"""Batches that do not fit into memory are cut into parts, and these into smaller ones, until they fit."""

from traceback import clear_frames
from types import TracebackType

from torch import Tensor

from ftcli.data.loaders import Batch
from ftcli.engine.device import give_memory_back
from ftcli.errors import ResourceLimit, ran_out_of_memory
from ftcli.log import Log
from ftcli.text import reason


class MicroBatches:
    """How many parts a batch is cut into: one, until that did not fit.

    As a context it swallows the error that says so, and cuts finer: a loop around it tries again.

    Args:
        what: is being done, in words. n: images of a batch in this process.
        fewest: images that a part needs. consequence: of cutting, in words.
    """

    def __init__(self, what: str, n: int, log: Log, *, fewest: int = 1, consequence: str = "") -> None:
        self.what, self.n, self.log, self.fewest, self.consequence = what, n, log, fewest, consequence
        self.number = 1

    def of_images(self, images: Tensor) -> tuple[Tensor, ...]:
        """images [b, …] in parts, equal in size to one image; of too few images for all parts, in fewer."""
        number = min(self.number, len(images) // self.fewest)
        return (images,) if number < 2 else images.tensor_split(number)

    def of(self, batch: Batch) -> list[Batch]:
        """This process's share of a batch in parts, each with the labels of the whole batch."""
        if self.number == 1:
            return [batch]
        pairs = zip(self.of_images(batch.images), self.of_images(batch.labels), strict=True)
        return [Batch(images, labels, batch.whole, batch.counted) for images, labels in pairs]

    def cut(self, number: int) -> None:
        """So many parts from now on."""
        self.number = number
        if number > 1:
            self.log.warn(
                "batch-split",
                f"{self.what}: a batch of {self.n} images does not fit into memory; it goes through the network in "
                f"{number} parts{self.consequence}",
            )

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None or not ran_out_of_memory(error):
            return False
        if self.n < 2 * self.number * self.fewest:
            raise ResourceLimit(
                f"out of memory: {self.what}, with {-(-self.n // self.number)} images at once ({reason(error)}).",
                "a smaller --batch-size, --image-size or model, which begins anew; or more memory",
            ) from None
        clear_frames(trace)  # what was tried holds what it has made
        give_memory_back()
        self.cut(2 * self.number)
        return True

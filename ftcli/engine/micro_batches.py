"""Batches that do not fit into memory go through the network as micro-batches, halved until they fit."""

from collections.abc import Sequence
from traceback import clear_frames
from types import TracebackType

from torch import Tensor

from ftcli.data.loader import Batch, Mixed
from ftcli.engine.device import free_memory
from ftcli.errors import ResourceLimit, ran_out_of_memory
from ftcli.log import Log
from ftcli.safe_text import reason


class MicroBatches:
    """How many micro-batches a batch is divided into: one, until the first error that says "out of memory".

    As a context manager it swallows that error and doubles the count; a loop around the context tries again. Raises
    ResourceLimit where a micro-batch cannot become smaller.

    Args:
        task: what runs, for messages: "training", "a pass over sketch".
        batch_size: images of a batch in this process.
        smallest: images that a micro-batch needs at least.
        consequence: what dividing changes, for the warning.
    """

    def __init__(self, task: str, batch_size: int, log: Log, *, smallest: int = 1, consequence: str = "") -> None:
        self.task, self.batch_size, self.log = task, batch_size, log
        self.smallest, self.consequence = smallest, consequence
        self.count = 1

    def of_images(self, images: Tensor) -> tuple[Tensor, ...]:
        """images [b, …] in `count` micro-batches, equal in size to one image; in fewer where b is too small."""
        count = min(self.count, len(images) // self.smallest)
        return (images,) if count < 2 else images.tensor_split(count)

    def of(self, batch: Batch) -> list[Batch]:
        """This process's share of a batch in micro-batches, each with the labels of the whole batch."""
        if self.count == 1:
            return [batch]
        images, labels = self.of_images(batch.images), self.of_images(batch.labels)
        mixed: Sequence[Mixed | None] = (None,) * len(images)
        if batch.mixed:
            mixed = [batch.mixed._replace(labels=part) for part in self.of_images(batch.mixed.labels)]
        rows: Sequence[Tensor | None] = (None,) * len(images)
        if batch.rows is not None:
            rows = self.of_images(batch.rows)
        parts = zip(images, labels, mixed, rows, strict=True)
        return [batch._replace(images=x, labels=y, mixed=m, rows=r) for x, y, m, r in parts]

    def set_count(self, count: int) -> None:
        """Divide every batch into so many from now on; warns where that is more than one."""
        self.count = count
        if count > 1:
            self.log.warn(
                "batch-split",
                f"{self.task}: a batch of {self.batch_size} images does not fit into memory; it goes through the "
                f"network in {count} parts{self.consequence}",
            )

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None or not ran_out_of_memory(error):
            return False
        if self.batch_size < 2 * self.count * self.smallest:
            raise ResourceLimit(
                f"out of memory: {self.task}, with {-(-self.batch_size // self.count)} images at once "
                f"({reason(error)}).",
                "a smaller --batch-size, --image-size or model, which begins anew; or more memory",
            ) from None
        clear_frames(trace)  # the local variables of the failed attempt hold its activations
        free_memory()
        self.set_count(2 * self.count)
        return True

"""A feature matrix read block by block: in memory on any device, or in a .npy file too large for memory."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ftcli.errors import RequestError, RunError

BLOCK_BYTES = {"cpu": 16 << 20, "cuda": 512 << 20}  # of one block: within the cache, or enough to fill the device


@dataclass(frozen=True)
class FeatureMatrix:
    """Float32 [N, D], optionally seen through (x - mean) / std with a scalar mean and a scalar std.

    Only a block of rows is in memory at a time when `source` is a file. Its bytes are read, not mapped: mapped pages
    would count as memory of the process.
    """

    source: Tensor | FileIO
    shape: tuple[int, int]
    device: torch.device
    start: int = 0  # byte of the file at which the numbers begin
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, features: Tensor) -> "FeatureMatrix":
        """A matrix in memory: features [N, D], converted to float32 where they are not."""
        N, D = features.shape
        return cls(features.float(), (N, D), features.device)

    @classmethod
    def open(cls, where: str | Path | FileIO, device: torch.device | str = "cpu") -> "FeatureMatrix":
        """A matrix in a .npy file, [N, D] float32, row after row. Raises RequestError for another kind of array.

        The file stays open, so that it can be read even where its name is removed.
        """
        file = where if isinstance(where, FileIO) else FileIO(where)
        path = file.name
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_column, dtype = read(file)
        except ValueError as error:
            raise RequestError(f"{path} is not a .npy file: {error}") from error
        start = file.tell()
        if len(shape) != 2 or by_column or dtype != np.dtype("<f4"):
            order = "column by column" if by_column else "row by row"
            raise RequestError(f"{path} must hold float32 [N, D] row by row: it holds {dtype} {list(shape)} {order}")
        return cls(file, shape, torch.device(device), start)

    def scaled(self, mean: float, std: float) -> "FeatureMatrix":
        """(x - mean) / std of every entry as it is seen now, computed when it is read."""
        return replace(self, mean=self.mean + self.std * mean, std=self.std * std)

    def blocks(self, rows: int | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Rows from the first to the last as (their slice, float32 [n, D] on the device), n about `rows` or fewer.

        A block is valid only until the next one is asked for. Raises RunError where the file ends too early.
        """
        rows = rows or max(64, BLOCK_BYTES[self.device.type] // (4 * max(1, self.shape[1])))
        for span, block in self._in_memory(rows) if isinstance(self.source, Tensor) else self._from_file(rows):
            if isinstance(self.source, FileIO):
                block.sub_(self.mean).div_(self.std)
            elif (self.mean, self.std) != (0.0, 1.0):
                block = (block - self.mean) / self.std
            yield span, block

    def moments(self) -> tuple[float, float]:
        """Mean and population standard deviation of all N·D entries, in float64, from the blocks' own moments."""
        count, mean, squares = 0, 0.0, 0.0  # squares: Σ (x - mean)² of the entries so far
        for _, block in self.blocks():
            wide, n = block.double(), block.numel()
            block_mean = float(wide.mean())
            delta = block_mean - mean
            squares += float((wide - block_mean).square().sum()) + delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        return mean, math.sqrt(squares / count)

    def _in_memory(self, rows: int) -> Iterator[tuple[slice, Tensor]]:
        assert isinstance(self.source, Tensor)
        for begin in range(0, self.shape[0], rows):
            span = slice(begin, min(begin + rows, self.shape[0]))
            yield span, self.source[span]

    def _from_file(self, rows: int) -> Iterator[tuple[slice, Tensor]]:
        """Two buffers: a thread fills one of them while the caller works on the other."""
        assert isinstance(self.source, FileIO)
        file = self.source
        N, D = self.shape
        spans = [slice(begin, min(begin + rows, N)) for begin in range(0, N, rows)]
        buffers = [np.empty((min(rows, N), D), dtype=np.float32) for _ in range(2)]
        with ThreadPoolExecutor(1) as reader:

            def fill(i: int) -> Tensor:
                span, target = spans[i], buffers[i % 2][: spans[i].stop - spans[i].start]
                view, offset = target.reshape(-1).view(np.uint8).data, self.start + 4 * D * span.start
                while view:
                    if not (count := os.preadv(file.fileno(), [view], offset)):
                        raise RunError(f"{file.name} ends before row {span.stop} of {N}: it is not complete")
                    view, offset = view[count:], offset + count
                return torch.from_numpy(target)

            next_block = reader.submit(fill, 0)
            for i, span in enumerate(spans):
                block = next_block.result()
                if i + 1 < len(spans):
                    next_block = reader.submit(fill, i + 1)
                yield span, block.to(self.device)

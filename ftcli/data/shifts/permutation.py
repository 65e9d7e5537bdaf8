"""Permutation: the blocks or the values of normalised images in another order, the same one for a whole set.

It takes the structure of natural images above the size of a block away and leaves their colours (Neyshabur et al.
2020, "What is being transferred in transfer learning?", section 3).
"""

from functools import lru_cache
from math import gcd

import numpy as np
import torch
from torch import Tensor

from ftcli.data.shifts.shift import Shuffle
from ftcli.errors import RequestError
from ftcli.seeds import derive_seed


def permute(images: Tensor, shuffle: Shuffle) -> Tensor:
    """Every image [B, H, W, C] permuted alike, on its device."""
    B, H, W, C = images.shape
    order = _order(shuffle, H, W, C, images.device)
    return images.reshape(B, len(order), -1).index_select(1, order).view(B, H, W, C)


def check_blocks(shuffle: Shuffle, size: tuple[int, int]) -> None:
    """Raises RequestError where blocks do not divide both sides (H, W) of a model's input."""
    common = gcd(*size)
    if shuffle.block is None or common % shuffle.block == 0:
        return
    fitting = [side for side in range(1, common + 1) if common % side == 0]
    raise RequestError(
        f"shuffle={shuffle}: blocks of {shuffle.block} x {shuffle.block} pixels do not fill the model's input of "
        f"{size[0]} x {size[1]}",
        f"choose a SIZE from {', '.join(map(str, fitting))}, or channels",
    )


@lru_cache(maxsize=16)
def _order(shuffle: Shuffle, H: int, W: int, C: int, device: torch.device) -> Tensor:
    """From where each pixel comes, int64 [H W]; with `channels`, each value, int64 [H W C], channels innermost."""
    random = np.random.Generator(np.random.PCG64(derive_seed("shuffle", shuffle.size, shuffle.seed)))
    if shuffle.block is None:
        order = random.permutation(H * W * C)
    else:
        b = shuffle.block
        blocks = np.arange(H * W).reshape(H // b, b, W // b, b).swapaxes(1, 2).reshape(-1, b, b)  # [blocks, b, b]
        moved = blocks[random.permutation(len(blocks))].reshape(H // b, W // b, b, b)
        order = moved.swapaxes(1, 2).reshape(-1)
    with torch.inference_mode(False):  # a prediction may come first, and training shall be able to use it too
        return torch.from_numpy(order).to(device)

"""A few images of every set that a method works with, under loaders that keep their decoded pixels in memory."""

import time
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ftcli.data.images import ImageSet
from ftcli.data.loader import BatchMaker, Loader
from ftcli.data.pixel_cache import DecodedPixels
from ftcli.data.transforms import Transform
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.engine.run_inputs import RunInputs


@dataclass
class KeptPixels:
    """Prepared pixels of images, each decoded once. seconds: that decoding took."""

    images: ImageSet
    transform: Transform
    seconds: float = 0.0
    kept: dict[int, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, i: int) -> np.ndarray:
        if i not in self.kept:
            started = time.perf_counter()
            self.kept[i] = DecodedPixels(self.images, self.transform)[i]
            self.seconds += time.perf_counter() - started
        return self.kept[i]


class TrialLoader(Loader):
    """Batches of `n` images, spread over the set of another loader. It neither reads nor fills the cache."""

    def __init__(self, like: Loader, n: int, batch_size: int) -> None:
        chosen = like.data.select(np.linspace(0, like.n - 1, min(n, like.n)).astype(np.int64))
        # Nothing is shuffled twice: the transform of `like` has the set's shuffling already.
        super().__init__(replace(chosen, shuffle=None), like.transform, batch_size=batch_size, device=like.device)
        self.pixels = KeptPixels(chosen, like.transform)

    @cached_property
    def _maker(self) -> BatchMaker:
        return BatchMaker(self.pixels, self.transform, pin=self.device.type == "cuda")

    def decoding_seconds(self) -> float:
        """Seconds that one image took to decode and to resize, on one core."""
        return self.pixels.seconds / max(1, len(self.pixels.kept))


def trial_inputs(inputs: RunInputs, n: int, batch_size: int) -> RunInputs:
    """The inputs of a method with `n` training images, no more of ID-val, no other set and no saved state."""
    train, plain, id_val = inputs.train, inputs.plain, inputs.sets["id_val"]
    assert train is not None and plain is not None
    small = TrialLoader(train, n, batch_size)
    plain_small = TrialLoader(plain, n, batch_size)
    if not train.transform.numbers:
        plain_small.pixels = small.pixels
    of_id_val = TrialLoader(id_val, n, batch_size)
    machine = replace(inputs.machine, compiled=False, workers=0)
    task = replace(inputs.task, train=small.data, id_val=of_id_val.data, id_test=None, ood={})
    return replace(
        inputs, task=task, machine=machine, sets={"id_val": of_id_val}, train=small, plain=plain_small,
        feature_cache=FeatureCache(machine, None), checkpointer=None,
    )  # fmt: skip

"""What the checksums of cache entries cost, of the time that a command needs to use what it finds there.

    python -m tests.benchmarks.checksums FOLDER_OF_THE_DATA [--pairs 9]

PACS photo at 112 px, MobileNetV2. Features: from the request to the last block read once, as a second `probe` does it,
the name of the entry and all. Pixels: a new loader's first pass over the training set, through the network, as a
second `evaluate` does it; and, as a bound, that pass without a network, in the training order. The seconds inside the
checksums are measured in the very turns whose seconds they are divided by; they are the processor's, so that other work
beside does not matter.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import torch

from ftcli.cache import entries as cache_entries
from ftcli.data.loader import Loader
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.predict import predict
from ftcli.log import Log
from tests.benchmarks.common import World, own_cache, parser, photo_world, print_machine


def share(work: Callable[[], Any], rounds: int) -> str:
    """Seconds in checksums over all seconds of a turn: the median with the smallest and the largest, after one turn
    that fills the cache and one that does not count.
    """
    plain, inside, shares = cache_entries.checksum, [0.0], []

    def timed(*arguments: Any) -> bytes:
        started = time.process_time()
        try:
            return plain(*arguments)
        finally:
            inside[0] += time.process_time() - started

    with mock.patch.object(cache_entries, "checksum", timed):
        for turn in range(rounds + 2):
            inside[0], started = 0.0, time.process_time()
            work()
            if turn > 1:
                shares.append((inside[0] / (time.process_time() - started), inside[0]))
    of_all = [one for one, _ in shares]
    milliseconds = 1000 * median(seconds for _, seconds in shares)
    return f"{median(of_all):.2%} ({min(of_all):.2%} … {max(of_all):.2%}), {milliseconds:.1f} ms"


def features(world: World) -> None:
    inputs = world.inputs
    assert inputs.train is not None
    body = FrozenBody(world.loaded.model, inputs.feature_cache, Log())
    for loader in (inputs.train, inputs.sets["id_val"]):
        for _ in body.features(loader, "").blocks():
            pass


def pixels(world: World, *, through: bool) -> None:
    inputs = world.inputs
    assert inputs.train is not None
    like, machine = inputs.train, inputs.machine
    loader = Loader(
        like.data,
        like.transform,
        batch_size=like.batch_size,
        device=machine.device,
        cache=inputs.feature_cache.disk,
    )
    if through:
        predict(world.loaded.model, loader, machine, Log(), "")
        return
    for _ in loader.shuffled(0, 0, skip_single=False):
        pass


def main() -> None:
    asked = parser(__doc__, images=None, rounds=9).parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    print_machine()
    with own_cache():
        for augment in ("none", "light"):
            world = photo_world(asked.data, None, augment=augment)
            if augment == "none":
                print(f"features: {share(partial(features, world), asked.pairs)}", flush=True)
            for through in (True, False):
                said = f"pixels, --augment {augment}, {'through the network' if through else 'without a network'}"
                print(f"{said}: {share(partial(pixels, world, through=through), asked.pairs)}", flush=True)


if __name__ == "__main__":
    main()

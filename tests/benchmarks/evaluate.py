"""The prediction pass from a warm image cache, beside a bare loop over tensors that are ready in memory.

    python -m tests.benchmarks.evaluate FOLDER_OF_THE_DATA

MobileNetV2, 112 px, batches of 64, float32 on the CPU, one process. The bare loops do nothing but model(x) under
inference_mode; their images are decoded, normalised and in the model's memory format before the clock starts. Ours
reads uint8 pixels from the cache and keeps features and logits of every image.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from ftcli.engine.predict import predict
from tests.benchmarks.common import own_cache, parser, photo_world, print_machine, print_rates, take_turns, timed


def bare(model: nn.Module, batches: list[Tensor]) -> list[Tensor]:
    """Logits [B, K] of batches [B, C, H, W]."""
    with torch.inference_mode():
        return [model(images) for images in batches]


def main() -> None:
    arguments = parser(__doc__, images=512).parse_args()
    with own_cache():
        world = photo_world(arguments.data, arguments.images, threads=arguments.threads)
        loader, machine = world.inputs.plain, world.inputs.machine
        assert loader is not None
        plain = world.loaded.model.eval()
        fast = machine.place(deepcopy(plain))
        ready = [batch.images.contiguous(memory_format=torch.channels_last) for batch in loader.ordered()]
        plain_ready = [images.contiguous() for images in ready]
        print_machine()
        contestants = {
            "ftcli, predict": timed(lambda: predict(fast, loader, machine, world.log, "")),
            "bare loop, channels-last": timed(lambda: bare(fast, ready), bare=True),
            "bare loop, plain format": timed(lambda: bare(plain, plain_ready), bare=True),
        }
        print_rates(take_turns(contestants, arguments.pairs), arguments.images)


if __name__ == "__main__":
    main()

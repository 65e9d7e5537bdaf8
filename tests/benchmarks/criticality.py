"""A grid of module criticality, beside the same grid with whole forward passes.

    python -m tests.benchmarks.criticality FOLDER_OF_THE_DATA

MobileNetV2, 112 px, float32 on the CPU, one process; the start is the network with noise on its weights. For every
block of the body one α, two σ and ten draws. The plain way moves the weights with the same code, and sends images
that are ready in memory, in batches of 64, through the whole network. Ours is whole: what lies in front of each block
is computed in it, which a larger grid pays no more for.
"""

import torch
from torch import Tensor, nn

from ftcli.config.declare import Numbers
from ftcli.explain.criticality.measure import images_for, measure_criticality
from ftcli.explain.criticality.options import Criticality
from ftcli.explain.criticality.perturbation import Perturbed
from ftcli.log import Log
from ftcli.model.blocks import blocks_of
from tests.benchmarks.common import own_cache, parser, photo_world, print_machine, ratio, take_turns, timed

Batches = list[tuple[Tensor, Tensor]]


def plain_way(model: nn.Module, start: dict[str, Tensor], batches: Batches, config: Criticality) -> list[int]:
    """Mistakes of every pass of the grid, block after block."""
    wrong = []
    for block in blocks_of(model)[0]:
        with Perturbed(model, block.tensors, start) as moved:
            for alpha in (*config.alphas, 0.0):
                moved.move_to(alpha)
                wrong.append(mistakes(model, batches))
            for draw in range(config.draws):
                noise = moved.noise(config.seed, block.name, draw)
                for alpha in config.alphas:
                    for sigma in config.sigmas:
                        moved.move_to(alpha, sigma, noise)
                        wrong.append(mistakes(model, batches))
    return wrong


def mistakes(model: nn.Module, batches: Batches) -> int:
    with torch.inference_mode():
        return sum(int((model(images).argmax(1) != labels).sum()) for images, labels in batches)


def main() -> None:
    asked = parser(__doc__, images=128, rounds=3).parse_args()
    config = Criticality(
        models=["start", "end"], train="-", images=asked.images, draws=10, alphas=Numbers((0.5,)),
        sigmas=Numbers((1e-3, 1e-2)),
    )  # fmt: skip
    with own_cache():
        world = photo_world(asked.data, None, threads=asked.threads)
        inputs, model = world.inputs, world.inputs.machine.place(world.loaded.model).eval()
        images = images_for(inputs, config.images, config.seed)
        batches = [(batch.images, batch.labels) for batch in images.ordered()]
        generator = torch.Generator().manual_seed(0)
        start = {
            name: own.detach() + 0.01 * torch.randn(own.shape, generator=generator)
            for name, own in model.named_parameters()
        }
        print_machine()
        contestants = {
            "ours": timed(lambda: measure_criticality(model, start, images, inputs, config, Log())),
            "whole passes": timed(lambda: plain_way(model, start, batches, config)),
        }
        seconds = take_turns(contestants, asked.pairs)
        print(
            f"{len(blocks_of(model)[0])} blocks; whole passes / ours: {ratio(seconds['whole passes'], seconds['ours'])}"
        )


if __name__ == "__main__":
    main()

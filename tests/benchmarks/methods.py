"""What the methods beside plain fine-tuning cost: epochs of the loop with and without each, in turns.

    python -m tests.benchmarks.methods FOLDER_OF_THE_DATA [--images 480] [--size 64] [--pairs 5] [--threads N]

Every turn is two epochs of `finetune` on photographs of PACS, from a copy of the same network, with the default
augmentation. The figure of a method is its seconds over those of the plain loop in the same round.
"""

from typing import Any

from ftcli.config.declare import Numbers
from tests.benchmarks.common import our_epoch as our_epochs
from tests.benchmarks.common import own_cache, parser, photo_world, print_machine, ratio, take_turns

METHODS: dict[str, dict[str, Any]] = {
    "plain": {},
    "--ma": {"ma": True},
    "--project spd": {"project": "spd:1"},
    "--project ftp": {"project": "ftp:1"},
    "--ldifs 1": {"ldifs": 1.0},
    "--l2-sp 0.01": {"l2_sp": 0.01},
    "--optimizer adamw": {"optimizer": "adamw"},
    "--optimizer adamw --project spd": {"optimizer": "adamw", "project": "spd:1"},
}


def main() -> None:
    arguments = parser(__doc__, images=480)
    arguments.add_argument("--size", type=int, default=64, help="width of the images in pixels (64)")
    asked = arguments.parse_args()
    with own_cache():
        contestants = {}
        for name, options in METHODS.items():
            options = {"image_size": asked.size, "epochs": 2, "lr": Numbers((1e-4,))} | options
            world = photo_world(asked.data, asked.images, threads=asked.threads, **options)
            contestants[name] = our_epochs(world, world.loaded.model, world.inputs)
        print_machine()
        seconds = take_turns(contestants, asked.pairs)
    plain = seconds["plain"]
    for name, taken in seconds.items():
        base = seconds["--optimizer adamw"] if name == "--optimizer adamw --project spd" else plain
        print(f"{name:32} {sum(taken) / len(taken):7.2f} s   {ratio(taken, base)}")


if __name__ == "__main__":
    main()

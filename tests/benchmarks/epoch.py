"""One epoch of fine-tuning, beside a bare PyTorch loop, Hugging Face's Trainer, and timm's own training script.

    python -m tests.benchmarks.epoch FOLDER_OF_THE_DATA [--timm-script train.py]

MobileNetV2, 112 px, batches of 64, float32 on the CPU; all read the same decoded and resized pixels, and crop and flip
them at random. Ours is `fit`, whole, with one picture for ID-val: the training part of an epoch. It is shown again with
the ID-val set of the task, as users run it. The bare loop does forward, cross_entropy, backward and a step of SGD in
the faster memory format, channels-last. Trainer is as it comes, in a process of its own, and once more in this one,
where it profits from the memory that ftcli has told the C library to keep. timm's script is not in its wheel: fetch
train.py from its repository, at the installed version; its figure is the rate that it states for its second epoch.
Trainer comes with `python -m pip install '.[benchmarks]'` in a clone.
"""

import sys
import tempfile
from copy import deepcopy
from pathlib import Path

from ftcli.config.declare import Numbers
from tests.benchmarks.common import (
    CHECKPOINT,
    Contestant,
    World,
    our_epoch,
    own_cache,
    parser,
    photo_world,
    print_machine,
    print_rates,
    take_turns,
    without_id_val,
)
from tests.benchmarks.peers import Pictures, bare_epoch, trainer_epoch
from tests.benchmarks.timm_script import Script
from tests.benchmarks.trainer import export, own_process

LR = 1e-3


def timm_epoch(path: Path, data: Path, world: World, pictures: Pictures, folder: Path) -> tuple[str, Contestant]:
    """timm's script with the number of workers at which it is fastest here, tried once each."""
    args = dict(world.loaded.create_args)
    architecture = args.pop("model_name")
    model_args = {name: repr(value) for name, value in args.items() if name not in ("num_classes", "pretrained_cfg")}
    script = Script(path, folder, data / CHECKPOINT / "model.safetensors", architecture, model_args, pictures, LR)
    script.export()
    seconds = {workers: script.epoch(workers) for workers in (0, 1, 2)}
    print({workers: f"{taken:.2f} s" for workers, taken in seconds.items()}, file=sys.stderr)
    best = min(seconds, key=lambda workers: seconds[workers])
    return f"timm's train.py, {best} workers", lambda: script.epoch(best)


def main() -> None:
    arguments = parser(__doc__, images=512)
    arguments.add_argument("--timm-script", type=Path, metavar="train.py", help="timm's training script")
    arguments.add_argument("--skip-trainer", action="store_true", help="without Hugging Face's Trainer")
    asked = arguments.parse_args()
    with own_cache(), tempfile.TemporaryDirectory() as folder:
        world = photo_world(asked.data, asked.images, lr=Numbers((LR,)), threads=asked.threads)
        pictures, plain = Pictures.of(world), world.loaded.model
        fast = world.inputs.machine.place(deepcopy(plain))
        print_machine()
        contestants = {
            "ftcli, training part": our_epoch(world, fast, without_id_val(world)),
            "ftcli, with its ID-val pass": our_epoch(world, fast, world.inputs),
            "bare loop, channels-last": lambda: bare_epoch(fast, pictures, LR),
        }
        if not asked.skip_trainer:
            contestants["Hugging Face Trainer, in this process"] = lambda: trainer_epoch(plain, pictures, LR)
            export(Path(folder), plain, world.loaded.create_args, pictures)
            contestants["Hugging Face Trainer, in its own"] = lambda: own_process(Path(folder), LR)
        if asked.timm_script:
            name, contestant = timm_epoch(asked.timm_script, asked.data, world, pictures, Path(folder))
            contestants[name] = contestant
        else:
            print("timm's training script: not run, for want of --timm-script")
        print_rates(take_turns(contestants, asked.pairs), asked.images)


if __name__ == "__main__":
    main()

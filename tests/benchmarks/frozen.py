"""What is frozen costs nothing: epochs of `surgical` from the second on, beside bare loops and beside each other.

    python -m tests.benchmarks.frozen FOLDER_OF_THE_DATA

MobileNetV2, 112 px, batches of 64, Adam, no augmentation, float32 on the CPU. `last` and `head` train the end of the
network: beside them a bare PyTorch loop over that end alone, on inputs that it has in memory, in a new order every
epoch. `first`, the stem and the first stage, and `rgn`, everything but normalisation at shares of the rate, stand
beside `all`; what `rgn` spends on scoring five batches is shown and left out. Ours is `fit`, whole, with one picture
for ID-val; `head` is shown with the ID-val set of the task too, as users run it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.config.declare import Numbers, Words
from ftcli.config.surgical import Surgical
from ftcli.engine.frozen_prefix import RowLoader, frozen_prefix_of
from ftcli.engine.gradient_scores import Scoring
from ftcli.engine.plan import Plan
from ftcli.engine.predict import SuffixForward
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.train import fit
from ftcli.log import Log
from ftcli.methods.surgical import plans_of
from ftcli.model.block_names import model_blocks
from ftcli.model.trainable import freeze_all_but, training_mode
from tests.benchmarks.common import (
    BATCH,
    Contestant,
    World,
    as_torch_comes,
    own_cache,
    parser,
    photo_options,
    print_machine,
    ratio,
    take_turns,
    without_id_val,
    world_of,
)

LR = 1e-3
EPOCHS = {"head": 41, "last": 3, "first": 2, "all": 2, "rgn": 2}  # the first of each does not count
PAIRS = {  # who is held against whom
    "head": ("head", "head, bare loop"),
    "head, as it runs": ("head, with its ID-val pass", "head, bare loop"),
    "last": ("last", "last, bare loop"),
    "first": ("first", "all"),
    "rgn": ("rgn", "all"),
}


class Clock(Log):
    """Knows when each epoch was over, and how long scoring took in each."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []
        self.scoring: list[float] = []

    def epoch(self, *_: Any) -> None:
        self.ends.append(time.perf_counter())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the time that scores take is noted."""
        scores = Scoring.scores

        def timed(*arguments: Any) -> dict[str, float]:
            started = time.perf_counter()
            found = scores(*arguments)
            self.scoring.append(time.perf_counter() - started)
            return found

        with mock.patch.object(Scoring, "scores", timed):
            yield


def ours(world: World, model: nn.Module, inputs: RunInputs, choice: str, plan: Plan) -> Contestant:
    """Seconds of an epoch of `fit`, the mean from the second on, without what scoring took."""
    config = replace(world.config, epochs=EPOCHS[choice])

    def turn() -> float:
        clock = Clock()
        with clock.watching():
            fit(deepcopy(model), plan, LR, config, inputs, 0, clock)
        if clock.scoring:
            print(f"scoring: {sum(clock.scoring[1:]) / len(clock.scoring[1:]):.3f} s an epoch", flush=True)
        return (clock.ends[-1] - clock.ends[0] - sum(clock.scoring[1:])) / (len(clock.ends) - 1)

    return turn


def shortened(world: World, model: nn.Module, plan: Plan) -> SuffixForward:
    """The end of the network that trains under a plan, and the loader of what goes into it."""
    trainable = plan.tensors_in(1)
    freeze_all_but(model, trainable)
    training_mode(model, world.config.bn)
    config = world.config
    prefix = frozen_prefix_of(model, plan, config, world.inputs, world.log)
    suffix = prefix and prefix.training_forward(trainable)
    assert suffix is not None
    return suffix


def bare(world: World, model: nn.Module, choice: str, plan: Plan) -> Contestant:
    """Seconds of an epoch of a loop over the end of the network alone."""
    copy = deepcopy(model)
    suffix = shortened(world, copy, plan)
    assert isinstance(suffix.loader, RowLoader)
    rows, labels = suffix.loader.rows.clone(), torch.from_numpy(suffix.loader.data.labels)
    epochs = EPOCHS[choice] - 1

    @as_torch_comes()
    def turn() -> float:
        tuned = [parameter for parameter in copy.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(tuned, LR, weight_decay=world.config.weight_decay)
        training_mode(copy, world.config.bn)
        started = time.perf_counter()
        for _ in range(epochs):
            bare_epoch(suffix.network, optimizer, rows, labels)
        return (time.perf_counter() - started) / epochs

    return turn


def bare_epoch(
    network: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, rows: Tensor, labels: Tensor
) -> None:
    for batch in torch.randperm(len(labels)).split(BATCH):
        loss = cross_entropy(network(rows[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def contestant(world: World, model: nn.Module, alone: RunInputs, plans: dict[str, Plan], name: str) -> Contestant:
    """The one of this name; `alone`: the setting with one picture for ID-val."""
    choice, _, how = name.partition(", ")
    if how == "bare loop":
        return bare(world, model, choice, plans[choice])
    return ours(world, model, world.inputs if how else alone, choice, plans[choice])


def main() -> None:
    arguments = parser(__doc__, images=None)
    arguments.add_argument("--images", type=int, help="training images (all)")
    arguments.add_argument("--only", choices=["head", "last", "first", "rgn"], help="one comparison alone (all)")
    asked = arguments.parse_args()
    with own_cache():
        options = photo_options(
            asked.data, lr=Numbers((LR,)), threads=asked.threads, augment="none",
            blocks=Words(("head", "last", "first", "all")), auto=Words(("rgn",)),
        )  # fmt: skip
        config = Surgical(**options)
        world = world_of(config, asked.images)
        model = world.inputs.machine.place(world.loaded.model)
        plans, alone = plans_of(model, model_blocks(model), config), without_id_val(world)
        print_machine()
        pairs = {name: pair for name, pair in PAIRS.items() if asked.only in (None, name.split(",")[0])}
        contestants = {
            name: contestant(world, model, alone, plans, name) for name in dict.fromkeys(chain(*pairs.values()))
        }
        seconds = take_turns(contestants, asked.pairs)
        for name, theirs in seconds.items():
            print(f"{name:26}  {1000 * median(theirs):9.2f} ms an epoch")
        for above, below in pairs.values():
            print(f"{above} / {below}: {ratio(seconds[above], seconds[below])}")


if __name__ == "__main__":
    main()

"""Stage 1 of `lpft`, with no feature kept from before, beside one epoch of its stage 2.

    python -m tests.benchmarks.stages FOLDER_OF_THE_DATA

Stage 1 is the whole probe: features of the training and the ID-val set, the path over 100 values of C, the pick, and
the check of the saved head. Stage 2 is one epoch of `fit` from that head, with its ID-val pass and without.
MobileNetV2, 112 px, all of the training part of PACS photo; the decoded pixels are in the cache for both.
"""

from dataclasses import replace
from statistics import median

from ftcli.config.declare import Numbers
from ftcli.config.tuning import Lpft
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.methods.probe import linear_probe
from tests.benchmarks.common import (
    our_epoch,
    own_cache,
    parser,
    photo_options,
    print_machine,
    ratio,
    take_turns,
    timed,
    without_id_val,
    world_of,
)

LR = 1e-4


def main() -> None:
    arguments = parser(__doc__, images=None)
    arguments.add_argument("--images", type=int, help="training images (all)")
    asked = arguments.parse_args()
    with own_cache():
        config = Lpft(**photo_options(asked.data, lr=Numbers((LR,)), threads=asked.threads))
        world = world_of(config, asked.images)
        model = world.inputs.machine.place(world.loaded.model)
        memory_only = FeatureCache(world.inputs.machine, None)  # the loaders keep their cache: pixels stay warm
        no_features = replace(world.inputs, feature_cache=memory_only)
        assert world.inputs.plain is not None
        linear_probe(world.loaded, no_features, config, world.log)  # gives stage 2 its head
        print_machine()
        seconds = take_turns(
            {
                "stage 1": timed(lambda: linear_probe(world.loaded, no_features, config, world.log)),
                "one epoch of stage 2": our_epoch(world, model, world.inputs),
                "its training part": our_epoch(world, model, without_id_val(world)),
            },
            asked.pairs,
        )
        first = seconds["stage 1"]
        print(f"stage 1: {median(first):.2f} s for {world.inputs.plain.n} training images")
        for name in ("one epoch of stage 2", "its training part"):
            print(f"{name}: {median(seconds[name]):.2f} s; stage 1 over it: {ratio(first, seconds[name])}")


if __name__ == "__main__":
    main()

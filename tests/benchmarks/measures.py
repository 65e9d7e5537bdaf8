"""What the measures of two models add to the passes that they cannot do without.

    python -m tests.benchmarks.measures FOLDER_OF_THE_DATA

MobileNetV2, 112 px, batches of 64, float32 on the CPU, one process, pixels kept. `distortion` with every block
(distances, CKA, subspaces, weights) stands beside a plain pass of each model over the same images, a line of eleven
points beside eleven evaluations. The second model is the first with noise on its weights.
"""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from ftcli.averages.evaluator import WeightEvaluator
from ftcli.engine.evaluate import figures_on
from ftcli.engine.predict import predict
from ftcli.engine.run_inputs import RunInputs
from ftcli.explain.distortion.measure import Extras, NamedModel, compare_models
from ftcli.explain.interpolation.measure import evaluate_line, points
from ftcli.log import Log
from tests.benchmarks.common import own_cache, parser, photo_world, print_machine, ratio, take_turns, timed

POINTS = 11


def noisy(model: nn.Module) -> nn.Module:
    """A copy with normal noise on every parameter."""
    copy, generator = deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=1e-3)
    return copy


def main() -> None:
    asked = parser(__doc__, images=512).parse_args()
    with own_cache():
        world = photo_world(asked.data, asked.images, threads=asked.threads)
        machine, task, loader = world.inputs.machine, world.inputs.task, world.inputs.plain
        assert loader is not None and task.train is not None
        inputs: RunInputs = replace(
            world.inputs, task=replace(task, id_val=task.train, id_test=None, ood={}), sets={"id_val": loader}
        )
        A = machine.place(world.loaded.model).eval()
        B = machine.place(noisy(A)).eval()
        states = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in (A, B)]
        evaluator = WeightEvaluator(deepcopy(B), inputs, ("raw",), False, 0, Log())
        print_machine()
        contestants = {
            "distortion": timed(
                lambda: compare_models(NamedModel("A", A), [NamedModel("B", B)], inputs, Extras(), Log())
            ),
            "two passes": timed(lambda: [predict(model, loader, machine, Log(), "") for model in (A, B)]),
            "line": timed(lambda: evaluate_line(*states, points(0.0, 1.0, POINTS), evaluator)),
            "evaluations": timed(lambda: [figures_on(B, "id_val", inputs, Log()) for _ in range(POINTS)]),
        }
        seconds = take_turns(contestants, asked.pairs)
        print(f"distortion / two passes: {ratio(seconds['distortion'], seconds['two passes'])}")
        print(f"line of {POINTS} points / {POINTS} evaluations: {ratio(seconds['line'], seconds['evaluations'])}")


if __name__ == "__main__":
    main()

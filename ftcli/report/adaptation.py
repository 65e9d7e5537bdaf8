"""Test-time adaptation in a report: for each choice and set, accuracy before, along the stream, and after."""

from collections.abc import Mapping

from torch import nn

from ftcli.config.adapting import Adapt
from ftcli.data.task import Task
from ftcli.measures.results import Results
from ftcli.measures.stream_accuracy import accuracy_curve, correct_predictions
from ftcli.methods.adapt import Adapted
from ftcli.model.block_names import model_blocks
from ftcli.report.types import Adaptation, Choice, CurvePoint


def adaptation_choices(
    adapted: Mapping[str, Adapted], results: Mapping[str, Results], before: Results, task: Task, model: nn.Module,
    config: Adapt,
) -> dict[str, Choice]:  # fmt: skip
    """The report's `choices`. `results`: of the answers along the stream, by choice."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    blocks = model_blocks(model, config.merge).blocks
    return {
        name: Choice(
            blocks=[block.name for block in blocks if set(choice.tensors) & set(block.tensors)],
            trainable=sum(sizes[tensor] for tensor in choice.tensors),
            tensors="norm" if config.norms_only else "all",
            mode="episodic" if config.episodic else "online",
            results=results[name].figures,
            adaptation=adaptation_by_set(choice, results[name], before, task),
            seconds=round(choice.seconds, 3),
        )
        for name, choice in adapted.items()
    }


def adaptation_by_set(adapted: Adapted, results: Results, before: Results, task: Task) -> dict[str, Adaptation]:
    """Accuracies of one choice on each set with labels. Episodic adaptation leaves no weights to measure: `after` is
    what the stream gave.
    """
    by_set = {}
    for name, data in task.labelled_sets().items():
        correct = correct_predictions(adapted.stream[name], data)  # [N]
        after = correct_predictions(adapted.after[name], data) if name in adapted.after else correct
        by_set[name] = Adaptation(
            before=before.figures.by_set()[name].accuracy,
            stream=results.figures.by_set()[name].accuracy,
            after=float(after.mean()),
            curve=[CurvePoint(int(n), accuracy) for n, accuracy in accuracy_curve(correct[adapted.order[name]])],
        )
    return by_set

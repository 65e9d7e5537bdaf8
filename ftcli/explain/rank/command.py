"""The command `rank`."""

import time
from collections.abc import Sequence

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace

from ftcli.console.answer import Answer
from ftcli.context import Context, open_context
from ftcli.data.task import Task
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RequestError
from ftcli.explain.models import warn_identical_files
from ftcli.explain.rank.held_out import FOLDS, folds_of
from ftcli.explain.rank.measure import MOST_GROUPS, CheckpointScores, TrainingSet, scores_of
from ftcli.explain.rank.options import Rank
from ftcli.explain.rank.tables import panels
from ftcli.explain.rank.types import RankedCheckpoint
from ftcli.figures.plots import check_plot, save_panels
from ftcli.log import Log
from ftcli.measures.calibration import softmax
from ftcli.measures.estimates.by_set import FEWEST, warn_of_high
from ftcli.measures.intervals import wilson
from ftcli.measures.paired import holm, mcnemar
from ftcli.model.head import head_of
from ftcli.model.loading.from_options import load_all_with_heads
from ftcli.model.loading.load import Loaded
from ftcli.report.models import describe_models, names_of


def rank(config: Rank) -> Answer:
    """`rank`: how well the features of each checkpoint fit a training set, without any fine-tuning."""
    check_plot(config.plot)
    with open_context(config) as context:
        loaded = load_all_with_heads(config, config.models, [True] * len(config.models), context.log)
        warn_identical_files(config.models, loaded, context.log)
        task = context.read(context.open_sets(), loaded[0].data_config)
        training = training_set(task, config.seed, context.log)
        scored, rows = [], []
        for label, where, model in zip(names_of(config.models), config.models, loaded, strict=True):
            started = time.perf_counter()
            scores = measure(context, model, task, training, label)
            scored.append(scores)
            rows.append(row_of(scores, where, label, model, len(training.labels), time.perf_counter() - started))
        models = describe_models(config.models, loaded)
        answer = context.answer(task, loaded[0], parts={"models": models, "ranking": ranked(rows, scored)})
        if config.plot:
            save_panels(config.plot, panels(answer.content))
        return answer


def training_set(task: Task, seed: int, log: Log) -> TrainingSet:
    """The labels, folds and groups of the training set. Raises RequestError where it is too small for the folds."""
    assert task.train is not None
    data = task.train
    if (different := len(set(data.pixel_digests))) < FOLDS:
        raise RequestError(
            f"the training set has {different} different images, and the probe's accuracy is that of {FOLDS} folds.",
            f"give --train a set of {FOLDS} images at least; many more tell checkpoints apart",
        )
    groups = data.groups
    if groups is not None and (count := len(np.unique(groups))) > MOST_GROUPS:
        log.warn(
            "many-groups",
            f"{data.spec} has {count} groups: no probe leaves one out where there are more than {MOST_GROUPS}",
        )
    if len(data) < FEWEST and any(not images.labelled for images in task.ood.values()):
        log.warn(
            "few-for-estimates",
            f"estimates of accuracy rest on the {len(data)} examples of the training set: below {FEWEST} they are "
            "uncertain by several points",
        )
    folds = folds_of(data.labels, task.classes, data.pixel_digests, seed)
    return TrainingSet(data.labels, len(task.classes), folds, groups, seed)


def measure(context: Context[Rank], loaded: Loaded, task: Task, training: TrainingSet, label: str) -> CheckpointScores:
    """The scores of one checkpoint: a pass over the training set and one over each OOD set."""
    model, log = context.machine.place(loaded.model), context.log
    inputs: RunInputs = context.inputs(task, loaded.data_config)
    assert inputs.plain is not None
    body = FrozenBody(model, inputs.feature_cache, log)
    features = body.whole(inputs.plain, f"{label}: features of train")
    own = None
    if loaded.head_loaded:
        own = softmax(body.logits(inputs.plain, f"{label}: features of train").double().numpy())
    outside = {name: body.whole(inputs.sets[name], f"{label}: features of {name}") for name in task.ood}
    scores = scores_of(features, own, training, outside, task.ood, label, log)
    for name, ranked_set in scores.ood.items():
        if ranked_set.estimates is not UNSET and scores.values["probe"] is not None:
            warn_of_high(f"{label}, {name}", ranked_set.estimates, scores.values["probe"], len(training.labels), log)
    return scores


def row_of(
    scores: CheckpointScores, where: str, label: str, loaded: Loaded, n: int, seconds: float
) -> RankedCheckpoint:
    """A checkpoint's row of the report. n: examples of the training set."""
    probe = scores.values["probe"]
    return RankedCheckpoint(
        checkpoint=where,
        label=label,
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        features=head_of(loaded.model).width,
        input=list(loaded.data_config["input_size"][1:]),
        probe_ci95=None if probe is None else wilson(probe, n),
        C=scores.C,
        **scores.values,
        groups=scores.groups,
        ood=scores.ood or UNSET,
        seconds=round(seconds, 3),
    )


def ranked(rows: Sequence[RankedCheckpoint], scored: Sequence[CheckpointScores]) -> list[RankedCheckpoint]:
    """The rows by the accuracy of the probe, the highest first, ties as typed; each tested against the first."""
    accuracies = [-1.0 if row.probe is None else row.probe for row in rows]
    order = sorted(range(len(rows)), key=accuracies.__getitem__, reverse=True)
    first, *others = [(rows[i], scored[i].correct) for i in order]
    tested = [correct for _, correct in others if correct is not None]
    p_values = iter(holm([mcnemar_of(first[1], correct) for correct in tested]) if first[1] is not None else [])
    return [
        first[0], *(row if correct is None else replace(row, p_holm=next(p_values)) for row, correct in others)
    ]  # fmt: skip


def mcnemar_of(one: np.ndarray | None, other: np.ndarray) -> float:
    """The p value of two checkpoints' probes on the same examples: bool [N] each, whether they are right."""
    assert one is not None
    return mcnemar(int((one & ~other).sum()), int((other & ~one).sum()))

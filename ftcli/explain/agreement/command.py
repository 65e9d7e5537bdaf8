"""The command `agreement`."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ftcli.arrow import repeated
from ftcli.console.answer import Answer
from ftcli.data.task import Task
from ftcli.engine.evaluate import all_logits
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RequestError
from ftcli.explain.agreement.measure import Pair, agreement_of, describe_pair, kappa_of
from ftcli.explain.agreement.mistake_sheet import mistake_rows
from ftcli.explain.agreement.options import Agreement
from ftcli.explain.agreement.types import Agreement as AgreementPart
from ftcli.explain.agreement.types import PairMistakes, SharedPredictions
from ftcli.explain.models import ComparedModels, compared_models, order_heads
from ftcli.figures.contact_sheet import check_sheet, save_rows
from ftcli.measures.accuracy import predictions
from ftcli.measures.results import Results, results_from
from ftcli.methods.initial_head import class_names
from ftcli.model.loading.load import Loaded
from ftcli.report.models import describe_models
from ftcli.safe_text import counted, listed


def agreement(config: Agreement) -> Answer:
    """`agreement`: which mistakes each pair of models shares, and which only one of them makes."""
    if config.sheet:
        check_sheet(config.sheet, "--sheet")
    with compared_models(config) as compared:
        check_same_classes(compared)
        task, names = compared.task, compared.names
        results, predicted = zip(*(evaluate_on_sets(compared, one) for one in compared.loaded), strict=True)
        mistakes_by_pair = [
            {name: Pair(data.labels, one[name], other[name]) for name, data in task.labelled_sets().items()}
            for one, other in combinations(predicted, 2)
        ]
        ids = {name: list(data.ids) for name, data in task.sets().items()}
        pairs = [
            PairMistakes(a, b, describe_pair(both, task.classes, ids, config.seed), agreement_without_labels(task, *of))
            for (a, b), of, both in zip(
                combinations(names, 2), combinations(predicted, 2), mistakes_by_pair, strict=True
            )
        ]
        if config.sheet and not task.labelled_sets():
            raise RequestError("--sheet shows mistakes, and no set has labels.", "leave it out")
        sheet_rows = list(mistake_rows(mistakes_by_pair[0], task, config.mistakes)) if config.sheet else []
        if config.sheet and not sheet_rows:
            compared.log.warn(
                "no-sheet", f"{names[0]} and {names[1]}: no mistake is {config.mistakes}, so there is no sheet"
            )
        described = zip(describe_models(config.models, compared.loaded), results, strict=True)
        models = [replace(model, results=of_model.figures) for model, of_model in described]
        parts = {"models": models, "agreement": AgreementPart(pairs)}
        answer = compared.answer(parts, results=results[:1], predictions=predictions_of(names, results))
        if config.sheet and sheet_rows:
            save_rows(sheet_rows, config.sheet)
        return answer


def agreement_without_labels(
    task: Task, one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> dict[str, SharedPredictions] | UnsetType:
    """How far two models agree on each set without labels. one, other: the class predicted for each example, by set."""
    shared = {
        name: SharedPredictions(len(data), agreement_of(one[name], other[name]), kappa_of(one[name], other[name]))
        for name, data in task.unlabelled_sets().items()
    }
    return shared or UNSET


def check_same_classes(compared: ComparedModels) -> None:
    """Put every head in the order of the first one's classes. Raises RequestError where a model has others."""
    typed, classes = compared.config.every_model(), compared.task.classes
    for where, one, fits in zip(typed, compared.loaded, order_heads(compared, classes), strict=True):
        if not fits:
            names = class_names(one)
            raise RequestError(
                f"{where} has {counted(len(names), 'class', 'classes')}, {listed(names)}; {typed[0]} has "
                f"{len(classes)}, {listed(classes)}.",
                f"give models of the same classes, or measure each alone: ftcli evaluate {where}",
            )


def evaluate_on_sets(compared: ComparedModels, loaded: Loaded) -> tuple[Results, dict[str, np.ndarray]]:
    """The figures of one model on every set, and the class that it predicts for each example: int64 [N] by set."""
    inputs, task = inputs_for(compared, loaded), compared.task
    logits = all_logits(loaded.model, inputs, compared.log, frozen=True)
    predicted = {name: predictions(logits[name].numpy(), data.restrict)[0] for name, data in task.sets().items()}
    return results_from(logits, task, 0, compared.log), predicted


def inputs_for(compared: ComparedModels, loaded: Loaded) -> RunInputs:
    """The same sets as this model needs its images: models may differ in input size and normalisation."""
    if loaded.data_config == compared.loaded[0].data_config:
        return compared.inputs
    return compared.context.inputs(compared.task, loaded.data_config)


def predictions_of(names: Sequence[str], results: Sequence[Results]) -> pa.Table:
    """The rows of every model, one model after another, with its name in the first column."""
    tables = [one.predictions for one in results]
    columns = [repeated(name, len(table)) for name, table in zip(names, tables, strict=True)]
    return pa.concat_tables([t.add_column(0, "model", column) for t, column in zip(tables, columns, strict=True)])

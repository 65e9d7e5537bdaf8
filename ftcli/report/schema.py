"""The JSON Schema of report.json, and the check that a file from elsewhere keeps it."""

from collections.abc import Iterator
from math import inf
from typing import Any

from ftcli.commands import COMMANDS
from ftcli.text import shortened

Schema = dict[str, Any]

STRING, BOOLEAN, NUMBER, INTEGER = ({"type": kind} for kind in ("string", "boolean", "number", "integer"))
COUNT: Schema = {"type": "integer", "minimum": 0}
FRACTION: Schema = {"type": "number", "minimum": 0, "maximum": 1}


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def listing(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def mapping(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def record(required: dict[str, Schema], **optional: Schema) -> Schema:
    """An object with these keys; others may stand beside them, so that a report can grow."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


INTERVAL: Schema = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
ACCURACY = record(
    {"accuracy": FRACTION}, accuracy_std=NUMBER, ci90=maybe(INTERVAL), ci90_paper=maybe(INTERVAL), n_seeds=COUNT
)
PER_CLASS = record(
    {"name": STRING, "n": COUNT, "recall": maybe(FRACTION), "precision": maybe(FRACTION), "f1": FRACTION}
)
CONFUSION = record({"classes": listing(STRING), "counts": listing(listing(COUNT))})
FIGURES = record(
    {
        "n": COUNT, "accuracy": FRACTION, "accuracy_ci95": INTERVAL, "loss": NUMBER, "balanced_accuracy": FRACTION,
        "worst_class_recall": FRACTION, "ece": FRACTION,
    },
    top5=FRACTION, worst_group_accuracy=FRACTION, ece_calibrated=FRACTION, accuracy_all_classes=FRACTION,
    accuracy_std=NUMBER, ci90=maybe(INTERVAL), ci90_paper=maybe(INTERVAL), n_seeds=COUNT,
    per_class=listing(PER_CLASS), confusion=CONFUSION,
)  # fmt: skip
RESULTS = record({"ood": mapping(FIGURES), "ood_mean": maybe(ACCURACY)}, id_val=FIGURES, id_test=FIGURES)
ID_VAL = record({"accuracy": FRACTION, "loss": NUMBER})
SELECTED = record(
    {
        "seed": INTEGER, "lr": maybe(NUMBER), "epoch": maybe(COUNT), "C": maybe(NUMBER), "edge_of_grid": BOOLEAN,
        "id_val": ID_VAL,
    },
    choice=STRING,
)  # fmt: skip
ORACLE = record(
    {"seed": INTEGER, "lr": maybe(NUMBER), "epoch": COUNT, "accuracy": FRACTION, "loss": NUMBER, "id_val": ID_VAL},
    choice=STRING,
)
EPOCH = record({"epoch": COUNT, "loss": maybe(NUMBER), "id_val": ID_VAL, "seconds": NUMBER}, ood=mapping(ID_VAL))
RUN = record(
    {"seed": INTEGER, "id_val": maybe(ID_VAL), "diverged": BOOLEAN},
    choice=STRING, lr=NUMBER, C=NUMBER, epoch=maybe(COUNT), reason=maybe(STRING), history=listing(EPOCH),
)  # fmt: skip
SCORES = record(
    {
        "seed": INTEGER, "lr": NUMBER,
        "epochs": listing(record({"epoch": COUNT, "tensors": mapping(NUMBER), "blocks": mapping(NUMBER)})),
    }
)  # fmt: skip
DIFFERENCE = record({"difference": NUMBER, "ci95": INTERVAL, "p": FRACTION})
ADAPTATION = record(
    {
        "before": FRACTION, "stream": FRACTION, "after": FRACTION,
        "curve": listing({"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}),
    }
)  # fmt: skip
CHOICE = record(
    {"blocks": listing(STRING), "trainable": COUNT, "results": maybe(RESULTS), "seconds": NUMBER},
    selected=maybe(SELECTED), scores=listing(SCORES), against=record({"choice": STRING, "sets": mapping(DIFFERENCE)}),
    tensors={"enum": ["norm", "all"]}, mode={"enum": ["online", "episodic"]}, adaptation=mapping(ADAPTATION),
)  # fmt: skip
SET = record(
    {"spec": STRING, "n": COUNT, "classes": COUNT, "fingerprint": STRING, "dropped": COUNT, "damaged": COUNT},
    restricted_to=maybe(listing(COUNT)),
)
MODEL = record(
    {
        "name": STRING, "checkpoint": maybe(STRING), "sha256": maybe(STRING), "parameters": COUNT, "trainable": COUNT,
        "blocks": listing(record({"name": STRING, "parameters": COUNT})),
    },
    input={"type": "object"},
)  # fmt: skip
MODELS = listing(record({"label": STRING, "name": STRING}, made_by=maybe({"type": "object"}), results=RESULTS))
FEATURE_DISTANCE = record(
    {
        "mean": NUMBER, "se": maybe(NUMBER), "rms": NUMBER, "relative": maybe(NUMBER), "cosine": maybe(NUMBER),
        "dropped": COUNT,
    }
)  # fmt: skip
SUBSPACE = record({"k": COUNT, "d": maybe(NUMBER), "angles": listing(NUMBER)})
DISTORTION: Schema = {
    **record({"ratio": mapping(mapping(maybe(NUMBER))), "subspace": mapping(SUBSPACE)}),
    "additionalProperties": mapping(FEATURE_DISTANCE),
}
MATRIX = record({"rows": listing(STRING), "columns": listing(STRING), "values": listing(listing(maybe(NUMBER)))})
SIMILARITY = mapping(
    {
        "type": "object",
        "properties": {"matrix": MATRIX, "unbiased": mapping(maybe(NUMBER))},
        "additionalProperties": maybe(FRACTION),
    }
)
PARAMETERS = mapping(record({"l2": NUMBER, "relative": maybe(NUMBER)}))
APART = {"distortion": DISTORTION, "similarity": SIMILARITY, "parameters": PARAMETERS}
WORTH = record({"accuracy": FRACTION, "loss": maybe(NUMBER)})
POINT = record({"lambda": NUMBER}, raw=mapping(WORTH), reestimated=mapping(WORTH))
BARRIER = mapping(mapping(record({"loss": maybe(NUMBER), "lambda": maybe(NUMBER)})))
INTERPOLATION = record(
    {"head": {"enum": ["interpolated", "a", "b", "probe"]}, "points": listing(POINT), "barrier": BARRIER},
    soups={"type": "object"}, best=record({"kind": STRING, "statistics": STRING, "id_val": WORTH}),
)  # fmt: skip
CRITICAL_BLOCK = record(
    {
        "mu": maybe(NUMBER),
        "rewind": NUMBER,
        "distance": NUMBER,
        "grid": listing(listing(FRACTION)),
        "plain": listing(FRACTION),
    }
)
CRITICALITY = record(
    {
        "epsilon": NUMBER, "error": FRACTION, "images": COUNT, "draws": COUNT, "blocks": mapping(CRITICAL_BLOCK),
        "sum": maybe(NUMBER),
    },
    alphas=listing(NUMBER), sigmas=listing(NUMBER),
)  # fmt: skip
SHARED = record({"n": COUNT, "jaccard": maybe(FRACTION), "agreement": FRACTION, "kappa": maybe(NUMBER)})
AGREEMENT = record({"pairs": listing(record({"a": STRING, "b": STRING, "sets": mapping(SHARED)}))})
QUANTILES = record({"median": NUMBER, "q10": NUMBER, "q90": NUMBER})
BOUND = record({"positive": COUNT, "violated": COUNT, "slack": NUMBER, "nearest": maybe(NUMBER)})
SIMULATED = record({"ood": mapping(QUANTILES), "ratio": mapping(maybe(QUANTILES)), "bound": BOUND})
THEORY = record(
    {
        "point": SIMULATED,
        "sweeps": mapping(record({"points": listing(SIMULATED)}, slope=maybe(NUMBER))),
        "descent": record({"ood": mapping(QUANTILES), "from_flow": mapping(maybe(NUMBER))}),
        "claims": listing(record({"claim": STRING, "seen": STRING, "value": NUMBER, "holds": BOOLEAN})),
    }
)
ENVIRONMENT = record(
    {
        "python": STRING, "torch": STRING, "timm": STRING, "device": STRING, "precision": STRING, "processes": COUNT,
        "threads": COUNT,
    }
)  # fmt: skip
ALWAYS: dict[str, Schema] = {
    "schema": {"type": "string", "pattern": "^ftcli/report/1"},
    "command": {"enum": sorted(COMMANDS)},
    "version": STRING,
    "created": STRING,
    "argv": listing(STRING),
    "config": {"type": "object"},
    "timing": record(
        {"total_s": NUMBER}, features_s=maybe(NUMBER), train_s=maybe(NUMBER), images_per_s=maybe(NUMBER)
    ),
    "warnings": listing(record({"code": STRING, "text": STRING})),
}  # fmt: skip
OF_MODELS: dict[str, Schema] = {
    "environment": ENVIRONMENT,
    "model": MODEL,
    "data": record({"classes": listing(STRING), "ood": mapping(SET)}, train=SET, id_val=SET, id_test=SET),
    "runs": listing(RUN),
    "selected": maybe(SELECTED),
    "results": RESULTS,
}
REPORT_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "ftcli/report/1",
    "title": "Report of ftcli",
    "description": "Accuracies are fractions, losses are in nats, times in seconds. NaN and Infinity never occur.",
    **record(
        ALWAYS,
        **OF_MODELS,
        request=STRING,
        stages=mapping(record({"selected": SELECTED, "results": RESULTS}, runs=listing(RUN))),
        temperature=maybe(NUMBER),
        seeds=listing(record({"selected": SELECTED, "results": RESULTS}, temperature=maybe(NUMBER))),
        oracle=mapping(ORACLE),
        before=RESULTS,
        choices=mapping(CHOICE),
        models=MODELS,
        others=listing(record({"label": STRING, **APART})),
        **APART,
        agreement=AGREEMENT,
        interpolation=INTERPOLATION,
        criticality=CRITICALITY,
        theory=THEORY,
    ),
    # Networks of a theory are made in the run: they come from no file and see no images.
    "if": {"properties": {"command": {"const": "theory"}}},
    "then": {"required": ["theory"]},
    "else": {"required": list(OF_MODELS)},
}


def problem_with(content: Any) -> str:
    """What breaks the schema first, in words; empty where nothing does."""
    from jsonschema import Draft202012Validator as Draft  # takes 0.2 s to import, and only reading needs it
    from jsonschema.validators import extend

    def items(validator: Any, schema: Schema, values: Any, whole: Schema) -> Iterator[Any]:
        """A row of a matrix at once: number by number, a thousand classes would take ten seconds."""
        if not all_numbers(values, schema):
            yield from Draft.VALIDATORS["items"](validator, schema, values, whole)

    error = next(extend(Draft, {"items": items})(REPORT_SCHEMA).iter_errors(content), None)
    if error is None:
        return ""
    where = "/".join(str(part) for part in error.absolute_path) or "the whole"
    return f"{shortened(where)}: {error.message[:120]}"


def all_numbers(values: Any, schema: Schema) -> bool:
    """Whether these are numbers that keep a schema of numbers alone. False may also mean that it is not known."""
    kinds = {"integer": (int,), "number": (int, float)}.get(str(schema.get("type")))
    if kinds is None or not isinstance(values, list) or schema.keys() - {"type", "minimum", "maximum"}:
        return False
    least, most = schema.get("minimum", -inf), schema.get("maximum", inf)
    return all(type(value) in kinds and least <= value <= most for value in values)

"""The command to run next, as it is typed: quoted, with the options that say how the model and its images are read."""

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from ftcli.config.shared import Common, Running
from ftcli.explain.advise.options import TARGET, Advise
from ftcli.explain.advise.rule import Decision
from ftcli.safe_text import redacted_spec

DESCRIBE_WEIGHTS = ("model", "strip_prefix", "drop_prefix", "mean", "std", "model_arg", "model_config")
SOURCE = "source"  # the name of ID-val as an OOD set, on which what is forgotten is seen


def next_command(config: Advise, decision: Decision, folder: Path, *, labelled: bool, batch_norm: bool) -> str:
    """What to type after this decision.

    folder: of the corrected model, where the class shares have shifted. labelled: whether the target has labels to tune
    on. batch_norm: whether the model has BatchNorm, whose statistics can be estimated on the target without labels.
    """
    target = str(config.target_spec() or config.unlabelled)
    model = ["--checkpoint", config.checkpoint, *processing(config)]
    if decision.shift in ("label", "none"):
        opened = [str(folder), *processing(config, saved=True)] if decision.shift == "label" else model[1:]
        id_val = ["--id-val", str(config.id_val)] if config.id_val else []  # from which an estimate is made
        return line(["evaluate", *opened, *id_val, "--ood", f"{TARGET}={target}"])
    if not labelled:
        method = [] if batch_norm else ["--method", "memo"]
        return line(["adapt", *model, "--ood", f"{TARGET}={target}", *method])
    source = ["--ood", f"{SOURCE}={config.id_val}"] if config.id_val else []
    if decision.shift == "output":  # the head alone: its exact solution, which steps of any rate only approach
        return line(["probe", *model, "--train", target, *source])
    blocks = ["each", "--budget", "halving"] if decision.shift == "mixed" else [",".join(decision.blocks)]
    return line(["surgical", *model, "--train", target, *source, "--blocks", *blocks])


def processing(config: Advise, *, saved: bool = False) -> list[str]:
    """The options of this command that another one needs to open the same model and see the same images. saved: a model
    that ftcli has saved since, which describes its weights itself.
    """
    words: list[str] = []
    shared = {field.name for field in fields(Running)} - {field.name for field in fields(Common)}
    shared -= {*DESCRIBE_WEIGHTS} if saved else set()
    for field in fields(Running):
        value: Any = getattr(config, field.name)
        if field.name not in shared or value == field.default:
            continue
        name = f"--{field.name.rstrip('_').replace('_', '-')}"
        if isinstance(value, bool):
            words.append(name)
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [name, str(one)]
    return words


def line(words: list[str]) -> str:
    return shlex.join(["ftcli", *map(redacted_spec, words)])

"""Options that describe a model whose checkpoint does not, as --mean, and those that replace its own preparation of
images, as --crop-pct.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftcli.config.preparation import PREPARATION
from ftcli.config.shared import Loading, Running
from ftcli.errors import RequestError
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.checkpoints.config_values import TimmConfig, checked_args, checked_cfg, excerpt


@dataclass(frozen=True)
class ModelOverrides:
    """What options state of a model. `cfg`: mean and std, each [3], of timm's pretrained_cfg; `args`: arguments of the
    architecture; `config`: the file of --model-config; `preparation`: crop_mode, crop_pct and interpolation of timm's
    data configuration, which replace whatever a checkpoint states.
    """

    cfg: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None
    preparation: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_options(cls, config: Loading) -> "ModelOverrides":
        """Raises RequestError for a value that no model has."""
        cfg = {name: tuple(value) for name in ("mean", "std") if (value := getattr(config, name)) is not None}
        args = dict(argument(text) for text in config.model_arg or ())
        names = PREPARATION if isinstance(config, Running) else ()
        preparation = {name: value for name in names if (value := getattr(config, name)) is not None}
        where = "the command line"
        return cls(
            checked_cfg(cfg, where), checked_args(args, where), config.model_config, checked_cfg(preparation, where)
        )

    def not_stated_by(self, checkpoint: Checkpoint | None) -> tuple[TimmConfig, TimmConfig]:
        """`cfg` and `args` without what the checkpoint states itself. One that names its architecture states all of its
        arguments: those that it does not mention have their defaults.
        """
        if checkpoint is None or self.describes(checkpoint):
            return dict(self.cfg), dict(self.args)
        cfg = {name: value for name, value in self.cfg.items() if name not in checkpoint.pretrained_cfg}
        return cfg, {} if checkpoint.architecture else dict(self.args)

    def describes(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint is described by the file of --model-config, over which --mean, --std and --model-arg
        win.
        """
        return self.config is not None and checkpoint.described_by == str(self.config)

    def check_used(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Raises RequestError for an option that would change nothing, as every checkpoint states this itself."""
        if not checkpoints or any(self.describes(checkpoint) for checkpoint in checkpoints):
            return
        first = checkpoints[0]
        stated = {
            f"--{name}": (value, [checkpoint.pretrained_cfg.get(name) for checkpoint in checkpoints])
            for name, value in self.cfg.items()
        }
        if self.args:
            own = [checkpoint.architecture and checkpoint.model_args for checkpoint in checkpoints]
            stated["--model-arg"] = (dict(self.args), own)
        if self.config:
            stated["--model-config"] = (str(self.config), [checkpoint.described_by for checkpoint in checkpoints])
        for option, (value, values) in stated.items():
            if None not in values:
                raise RequestError(
                    f"{option} {excerpt(value)} is for weights that do not state this, and {first.where} does: "
                    f"{excerpt(values[0])}, from {first.described_by}",
                    f"leave {option} out; where the statement is wrong, correct it there",
                )


def argument(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value in JSON or Python, else a word: pad_type=same, img_size=[96,96], qkv_bias=False."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip().isidentifier()):
        raise RequestError(f"--model-arg {excerpt(text)} is not NAME=VALUE.", "type it as --model-arg pad_type=same")
    if name.strip() == "num_classes":
        raise RequestError(
            f"--model-arg {excerpt(text)}: the head of the weights, or the data, says it.", "leave it out"
        )
    for read in (json.loads, ast.literal_eval):
        try:
            return name.strip(), read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    return name.strip(), value

"""Models opened and loaded with the options of a command."""

import os
from collections.abc import Sequence

import timm
from torch import nn

from ftcli.config.looking import Blocks
from ftcli.config.shared import Loading
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import Checkpoint, open_checkpoint
from ftcli.model.loading.architecture import build_without_values, resolve_model_config
from ftcli.model.loading.import_user_file import import_file
from ftcli.model.loading.load import Loaded, load_model
from ftcli.model.loading.overrides import ModelOverrides


def open_from_options(config: Loading, where: str, log: Log) -> Checkpoint:
    """`open_checkpoint` with the options of a command, after the file of --import."""
    if config.import_:
        import_file(str(config.import_))
    return open_checkpoint(
        where, strip_prefix=config.strip_prefix, drop_prefix=config.drop_prefix or (), model_config=config.model_config,
        log=log,
    )  # fmt: skip


def load_with_head(config: Loading, where: str, log: Log) -> Loaded:
    """A model with the head of its checkpoint."""
    return load_all_with_heads(config, [where], [False], log)[0]


def load_all_with_heads(config: Loading, where: Sequence[str], headless: Sequence[bool], log: Log) -> list[Loaded]:
    """Models with the heads of their checkpoints; a `headless` one gets a head of zeros where it has none.

    Options that describe a model hold for each that does not state this itself.
    """
    overrides = ModelOverrides.from_options(config)
    checkpoints = [open_from_options(config, path, log) for path in where]
    overrides.check_used(checkpoints)
    return [
        load_model(
            name=config.model, checkpoint=checkpoint, num_classes=None, image_size=config.image_size, log=log,
            headless=may_lack, overrides=overrides,
        )
        for checkpoint, may_lack in zip(checkpoints, headless, strict=True)
    ]  # fmt: skip


def load_structure(config: Blocks) -> tuple[str, nn.Module]:
    """Name and network of `config.checkpoint`. For a name that timm knows the network is built on the meta device, and
    nothing is downloaded; a checkpoint is loaded and checked as by every command.
    """
    if config.import_:
        import_file(str(config.import_))
    if timm.is_model(config.checkpoint.partition(".")[0]) and not os.path.exists(config.checkpoint):
        model_config = resolve_model_config(config.checkpoint, None, ModelOverrides.from_options(config))
        num_classes = model_config.pretrained_cfg.get("num_classes") or 1000
        return model_config.name, build_without_values(model_config, num_classes, config.image_size)
    loaded = load_all_with_heads(config, [config.checkpoint], [True], Log())[0]
    return loaded.name, loaded.model

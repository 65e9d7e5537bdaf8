"""Models as the options of a command ask for them: opened, described where they do not describe themselves, loaded."""

import os
from collections.abc import Sequence

import timm
from torch import nn

from ftcli.config import Blocks, Loading
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import Checkpoint, open_checkpoint
from ftcli.model.loading.architecture import build_without_values, resolve_model_config
from ftcli.model.loading.load import Loaded, import_file, load_model
from ftcli.model.loading.overrides import ModelOverrides


def open_from_options(config: Loading, where: str, log: Log) -> Checkpoint:
    """`open_checkpoint` with the options of a command, once the architectures of `--import` are known."""
    if config.import_:
        import_file(str(config.import_))
    return open_checkpoint(
        where, strip_prefix=config.strip_prefix, drop_prefix=config.drop_prefix or (), described_by=config.model_config,
        log=log,
    )  # fmt: skip


def load_with_head(config: Loading, where: str, log: Log) -> Loaded:
    """A model with the very head that its checkpoint holds."""
    return load_all_with_heads(config, [where], [False], log)[0]


def load_all_with_heads(config: Loading, where: Sequence[str], headless: Sequence[bool], log: Log) -> list[Loaded]:
    """Models with the very heads that their checkpoints hold; one that is `headless`, with zeros where it holds none.

    What the request states of weights holds for each that does not state it itself.
    """
    given = ModelOverrides.of(config)
    checkpoints = [open_from_options(config, place, log) for place in where]
    given.check_used(checkpoints)
    return [
        load_model(
            name=config.model, checkpoint=one, num_classes=None, image_size=config.image_size, log=log,
            headless=may_lack, given=given,
        )
        for one, may_lack in zip(checkpoints, headless, strict=True)
    ]  # fmt: skip


def load_structure(config: Blocks) -> tuple[str, nn.Module]:
    """Name and network of `config.checkpoint`: of a name that timm knows the structure alone, its tensors on the meta
    device, and nothing is downloaded; of a checkpoint the whole, checked as every command checks it.
    """
    where, given = config.checkpoint, ModelOverrides.of(config)
    if config.import_:
        import_file(str(config.import_))
    if timm.is_model(where.partition(".")[0]) and not os.path.exists(where):
        recipe = resolve_model_config(where, None, given)
        num_classes = recipe.pretrained_cfg.get("num_classes") or 1000
        return recipe.name, build_without_values(recipe, num_classes, config.image_size)
    checkpoint = open_from_options(config, where, Log())
    given.check_used([checkpoint])
    loaded = load_model(
        name=config.model, checkpoint=checkpoint, num_classes=None, image_size=config.image_size, log=Log(),
        headless=True, given=given,
    )  # fmt: skip
    return loaded.name, loaded.model

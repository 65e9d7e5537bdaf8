"""The variants of fine-tuning that the papers compare: what trains, when, how fast, under which penalties.

Kumar et al. 2022 (head rate, layer-wise rates, L2-SP), Neyshabur et al. 2020, Lee et al. 2022 (gradual unfreezing, L1).
"""

from collections.abc import Collection
from dataclasses import replace

from torch import nn

from ftcli.config.tuning import Tuning
from ftcli.engine.plan import Plan
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.blocks import Block, blocks_of
from ftcli.model.loading.load import Loaded
from ftcli.model.low_rank import LowRank, low_rank_layers
from ftcli.model.normalization import norm_tensors
from ftcli.safe_text import counted, listed


def tuning_plan(model: nn.Module, config: Tuning, low_rank: LowRank | None = None) -> Plan:
    """The plan that the options ask for, on this model. low_rank: of `--tune lora:R`, the layers that it is about.

    Raises RequestError where only BatchNorm's parameters shall train and there are none, where an epoch trains nothing,
    and where no layer of `low_rank` trains in any.
    """
    body, head = blocks_of(model)
    factors = rate_factors(body, head, config)
    of_body = low_rank.tensors if low_rank else trainable_of_body(model, body, config.tune)
    select = {name for name in of_body if factors[name]}
    head_tensors = [name for name in head.tensors if factors[name]]
    order = {"at-once": body, "first-to-last": body, "last-to-first": body[::-1]}[config.unfreeze]
    at_once = config.unfreeze == "at-once"

    def tensors_in(epoch: int) -> Collection[str]:
        started = order if at_once else order[: blocks_started(epoch, config.epochs, len(body))]
        return [name for block in started for name in block.tensors if name in select] + head_tensors

    if not all(tensors_in(epoch) for epoch in range(1, config.epochs + 1)):
        raise RequestError(
            "Nothing trains in some epoch.", "raise --head-rate or --layer-decay above 0, or leave --unfreeze at-once"
        )
    plan = Plan(
        tensors_in, factors, select, config.l2_sp, config.l1_sp, mixup=config.mixup, project=config.project,
        ldifs=config.ldifs,
    )  # fmt: skip
    if low_rank is None:
        return plan
    changed = low_rank.within(plan.trainable(config.epochs))
    if not changed.parameters:
        raise RequestError(
            f"--tune {config.tune}: in no epoch does a layer train that it is about.",
            "raise --layer-decay above 0, or leave --unfreeze at-once",
        )
    return replace(plan, low_rank=changed)


def low_rank_of(loaded: Loaded, config: Tuning, log: Log) -> LowRank | None:
    """The layers that `--tune lora:R` is about; None where something else trains. Warns of those that it leaves out.

    Raises RequestError where there are none.
    """
    if config.lora_rank is None:
        return None
    low_rank = low_rank_layers(loaded.model, config.lora_rank, loaded.data_config["input_size"])
    for why, paths in low_rank.left_out.items():
        layers = counted(len(paths), "layer stays", "layers stay")
        log.warn("lora-left-out", f"--tune {config.tune}: {layers} as in the checkpoint, {why}: {listed(paths)}")
    return low_rank


def trainable_of_body(model: nn.Module, body: list[Block], tune: str) -> set[str]:
    """The tensors of the body that train at all."""
    if tune == "bn-affine":
        return affine_tensors(model)
    return {name for block in (body[1:] if tune == "no-embedding" else body) for name in block.tensors}


def affine_tensors(model: nn.Module) -> set[str]:
    """Scale and shift of every BatchNorm. Raises RequestError where there is none."""
    tensors = set(norm_tensors(model, batch_only=True))
    if not tensors:
        raise RequestError(
            f"--tune bn-affine: {type(model).__name__} has no BatchNorm with parameters.", "--tune all or no-embedding"
        )
    return tensors


def blocks_started(epoch: int, epochs: int, L: int) -> int:
    """How many of L blocks move in this epoch: one from the start, then one more every epochs/L epochs."""
    return min(L, 1 + (epoch - 1) * L // epochs)


def rate_factors(body: list[Block], head: Block, config: Tuning) -> dict[str, float]:
    """Each tensor's factor on the rate: decay^(L - i) for block i of L, the head rate for the head.

    A factor of 0 freezes: such a tensor's gradient must not count when gradients are clipped.
    """
    L = len(body)
    factors = {name: config.layer_decay ** (L - i) for i, block in enumerate(body) for name in block.tensors}
    return factors | dict.fromkeys(head.tensors, config.head_rate)

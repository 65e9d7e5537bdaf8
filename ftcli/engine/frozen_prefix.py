"""The frozen part in front of everything that trains: its outputs are computed once per set, not in every epoch."""

from collections.abc import Collection, Iterator
from functools import cached_property
from math import ceil

import torch
from torch import Tensor, nn

from ftcli.config.training import Training
from ftcli.data.loader import Job, Loader
from ftcli.engine.device import Machine
from ftcli.engine.features.feature_cache import IN_MEMORY, bytes_of, feature_key, network_digest
from ftcli.engine.micro_batches import MicroBatches
from ftcli.engine.plan import Plan
from ftcli.engine.predict import SuffixForward, in_micro_batches
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.model.head import features, head_of
from ftcli.model.prefix import CutNetwork, Forward, Prefix, cut_network, full_forward
from ftcli.workload import PREFIX

TRIAL_IMAGES = 3  # on which prefix and suffix are compared with the whole network


class RowLoader(Loader):
    """The batches of another loader in the same order, with the rows of a matrix [N, D] in place of its images."""

    def __init__(self, like: Loader, rows: Tensor) -> None:
        super().__init__(like.data, like.transform, batch_size=like.batch_size, device=like.device)
        self.rows = rows

    def _made(self, plans: list[Job]) -> Iterator[Tensor]:
        # Copies, even of neighbouring rows: a network may change its input in place.
        return (self.rows.index_select(0, plan.indices.to(self.rows.device)) for plan in plans)

    def _send(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device)


class FrozenPrefix:
    """The frozen prefix of a model of which only the parameters `tuned` train, and its outputs for whole sets.

    Training images that are drawn or mixed anew in every epoch are different ones: their outputs are not kept.
    """

    def __init__(
        self, model: nn.Module, tuned: Collection[str], inputs: RunInputs, log: Log, mixup: bool = False
    ) -> None:
        self.model, self.tuned, self.inputs, self.log, self.mixup = model, tuned, inputs, log, mixup
        self._training: dict[frozenset[str], SuffixForward | None] = {}
        self._evaluation: dict[str, SuffixForward | None] = {}
        self._digests: dict[Prefix, str] = {}

    def training_forward(self, trainable: Collection[str]) -> SuffixForward | None:
        """From the prefix's outputs to logits, in the mode that the model has while `trainable` parameters train.

        None where the whole network has to run.
        """
        mode = frozenset(trainable)
        if mode not in self._training:
            loader = self.inputs.train
            assert loader is not None
            cut = self.cut(full_forward) if same_in_every_epoch(loader, self.mixup) else None
            self._training[mode] = self.suffix_forward(cut, loader, "the frozen part, of train")
        return self._training[mode]

    def evaluation_forward(self, name: str) -> SuffixForward | None:
        """From the prefix's outputs for a set to its features, in eval mode; None where the whole network must run."""
        if name not in self._evaluation:
            loader = self.inputs.sets[name]
            self._evaluation[name] = self.suffix_forward(self.evaluation_cut, loader, f"the frozen part, of {name}")
        return self._evaluation[name]

    @cached_property
    def evaluation_cut(self) -> CutNetwork | None:
        self.model.eval()
        return self.cut(features)

    def cut(self, forward: Forward) -> CutNetwork | None:
        with self.inputs.machine.autocast():
            return cut_network(self.model, self.tuned, self.trial_images, forward)

    @cached_property
    def trial_images(self) -> Tensor:
        assert self.inputs.train is not None
        return next(iter(self.inputs.train.ordered())).images[:TRIAL_IMAGES]

    def suffix_forward(self, cut: CutNetwork | None, loader: Loader, label: str) -> SuffixForward | None:
        if cut is None or (rows := self.outputs(cut, loader, label)) is None:
            return None
        return SuffixForward(RowLoader(loader, rows), cut.suffix, head_of(self.model))

    def outputs(self, cut: CutNetwork, loader: Loader, label: str) -> Tensor | None:
        """The prefix's outputs for a set, float32 [N, D]; None where there is no room for them."""
        shape, cache, machine = (loader.n, cut.width), self.inputs.feature_cache, self.inputs.machine
        small = bytes_of(shape) <= IN_MEMORY
        if not small and machine.device.type != "cpu":
            return None  # copying so much to the device would take longer than computing it there
        key = feature_key(self.digest(cut.prefix), loader, machine)
        if (rows := cache.in_memory(key)) is not None:
            return rows

        def blocks() -> Iterator[Tensor]:
            return self.blocks(cut.prefix, loader, label)

        matrix = cache.from_disk(key, shape, blocks) if self.on_disk else None
        if matrix is None and small:
            matrix = cache.compute(shape, blocks)
        return None if matrix is None else cache.put_in_memory(key, matrix)

    @cached_property
    def on_disk(self) -> bool:
        return self.inputs.feature_cache.stores(self.model)

    def blocks(self, prefix: Prefix, loader: Loader, label: str) -> Iterator[Tensor]:
        """The prefix's outputs [b, D] of one batch after the other."""
        micro_batches = MicroBatches(label, min(loader.n, loader.batch_size), self.log)
        for batch in self.log.track(loader.ordered(), label, ceil(loader.n / loader.batch_size), PREFIX):
            with torch.inference_mode():
                rows = in_micro_batches(prefix, batch.images, micro_batches, self.inputs.machine)
            yield rows

    def digest(self, prefix: Prefix) -> str:
        """Of all that the prefix's outputs depend on, besides the images."""
        if prefix not in self._digests:
            self._digests[prefix] = f"{network_digest(prefix)} {prefix.layouts} {prefix.graph.code}"
        return self._digests[prefix]


def frozen_prefix_of(
    model: nn.Module, plan: Plan, config: Training, inputs: RunInputs, log: Log
) -> FrozenPrefix | None:
    """The frozen prefix of a model under a plan; None where every epoch needs the whole network."""
    if not has_frozen_prefix(model, plan, config, inputs.machine):
        return None
    return FrozenPrefix(model, plan.trainable(config.epochs), inputs, log, plan.mixup is not None)


def same_in_every_epoch(train: Loader, mixup: bool) -> bool:
    """Whether training images are: not where a transform draws random numbers, nor where they are mixed, as a network's
    outputs of mixed images are not mixed outputs.
    """
    return not (train.transform.numbers or mixup)


def has_frozen_prefix(model: nn.Module, plan: Plan, config: Training, machine: Machine) -> bool:
    """Whether some of the network is the same in every epoch of a plan, and its outputs can be stored.

    They cannot with a running mean of the weights, or where weights train as W + BA: a network of its own is evaluated
    then; where gradients are scored, or the outputs of all blocks are held against those of the start; in several
    processes, which would need each other's rows; and compiled, because every run would compile anew.
    """
    other = config.ema is not None or config.ma or plan.low_rank is not None
    whole = other or plan.scoring is not None or plan.ldifs > 0 or machine.processes > 1 or machine.compiled
    return not whole and not plan.trainable(config.epochs) >= {name for name, _ in model.named_parameters()}

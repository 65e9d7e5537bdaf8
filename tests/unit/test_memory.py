"""A batch that does not fit into memory gives, in parts, what it would have given whole."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from timm.models.resnet import ResNet
from torch import Tensor
from torch.nn.functional import cross_entropy

from ftcli.commands import method_of
from ftcli.engine.micro_batches import MicroBatches
from ftcli.errors import ResourceLimit
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from tests.helpers.plain_loop import difference, float64, precise, small, tuned, unbalanced
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.worlds import coloured

TOLD = "CUDA out of memory. Tried to allocate 2.00 GiB."


def refuse(_: Tensor) -> None:
    raise torch.OutOfMemoryError(TOLD)


@contextmanager
def memory_for(most: int, *, after: int = 0, where: str = "forward", training: bool = True) -> Iterator[list[int]]:
    """A device with room for so many images at once, in passes that make gradients or in those that make none, once so
    many passes are made; gives the sizes of those that went through.
    """
    plain, seen = ResNet.forward_features, list[int]()

    def forward(self: ResNet, images: Tensor) -> Tensor:
        too_many = len(images) > most and torch.is_grad_enabled() == training and len(seen) >= after
        if too_many and where == "forward":
            refuse(images)
        found = plain(self, images)
        if torch.is_grad_enabled() == training:
            seen.append(len(images))
        if too_many:
            found.register_hook(refuse)
        return found

    with mock.patch.object(ResNet, "forward_features", forward):
        yield seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("memory") / "set")


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("after", [0, 3], ids=["first step", "a later step"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adam", "class_weights": "balanced", "clip_norm": 0.5},
        {"class_weights": "balanced", "mixup": 0.7},
    ],
    ids=str,
)
def test_the_weights_are_those_of_an_unhindered_run(
    folder: Path, where: str, after: int, options: dict[str, Any]
) -> None:
    """Batches of nine in parts of at most two: five of them, unequal."""
    whole = tuned("test_resnet", folder, bn="eval", **options)
    with memory_for(2, after=after, where=where) as seen:
        split = tuned("test_resnet", folder, bn="eval", **options)
    assert difference(split.best.state, whole.best.state) < 1e-5
    assert max(seen[after + 2 :]) <= (2 if where == "forward" else 9) and 2 in seen
    losses = [[epoch["loss"] for epoch in run["history"]] for run in (split.runs[0], whole.runs[0])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_batch_norm_that_trains_goes_by_the_parts_and_says_so(folder: Path) -> None:
    """A plain loop over the same parts, each normalised by its own statistics, gives the same weights."""
    inputs, config = small("test_resnet", folder, bn="train", epochs=1)
    log = Log()
    with memory_for(5), float64:
        state = method_of("finetune")(precise("test_resnet"), inputs, config, log).best.state
        network = copy_with_fresh_head(precise("test_resnet").model, inputs, seed=0).train()
        assert inputs.train is not None
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-2, momentum=0.9)
        batches = list(inputs.train.shuffled(0, 1, skip_single=True))
        for step, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = 1e-2 * (1 + math.cos(math.pi * step / len(batches))) / 2
            optimizer.zero_grad()
            for images, labels in zip(batch.images.tensor_split(2), batch.labels.tensor_split(2), strict=True):
                (cross_entropy(network(images), labels, reduction="sum") / len(batch.labels)).backward()
            optimizer.step()
    assert difference(state, network.state_dict()) < 1e-6
    (warning,) = [one["text"] for one in log.warnings if one["code"] == "batch-split"]
    assert "9 images" in warning and "2 parts" in warning and "BatchNorm goes by the statistics of a part" in warning


def test_parts_are_as_few_and_as_equal_as_can_be() -> None:
    parts = MicroBatches("training", 9, Log(), smallest=2)
    assert [len(part) for part in parts.of_images(torch.zeros(9, 1))] == [9]
    parts.set_count(4)
    assert [len(part) for part in parts.of_images(torch.zeros(9, 1))] == [3, 2, 2, 2]
    assert [len(part) for part in parts.of_images(torch.zeros(5, 1))] == [3, 2]
    assert [len(part) for part in parts.of_images(torch.zeros(1, 1))] == [1]


def test_other_errors_are_not_swallowed_and_one_image_is_the_end() -> None:
    parts = MicroBatches("training", 2, Log())
    with pytest.raises(RuntimeError, match="shapes"), parts:
        raise RuntimeError("shapes do not match")
    with parts:
        refuse(torch.zeros(1))
    assert parts.count == 2
    with pytest.raises(ResourceLimit, match="training, with 1 images at once"), parts:
        refuse(torch.zeros(1))


@pytest.mark.parametrize("auto", ["rgn", "snr-code"])
def test_scores_and_passes_are_split_too(folder: Path, auto: str, tmp_path: Path) -> None:
    """Through the command: scoring, training and predictions each in parts, and the report says so."""
    coloured(tmp_path / "train", each=16, noise=150)
    checkpoint(tmp_path / "start", classes=3)
    words = ["surgical", "--checkpoint", tmp_path / "start", "--train", tmp_path / "train", "--auto", auto, *SMALL]
    words += ["--epochs", 2, "--lr", "1e-2", "--batch-size", 8]
    assert inside(*words, "--out", tmp_path / "whole").returncode == 0
    with memory_for(3), memory_for(3, training=False):
        done = inside(*words, "--out", tmp_path / "split", "--no-cache")
    assert done.returncode == 0, done.stderr
    whole, split = read(tmp_path / "whole"), read(tmp_path / "split")
    codes = [one["text"] for one in split["warnings"] if one["code"] == "batch-split"]
    assert any(text.startswith("training") for text in codes) and any("pass over" in text for text in codes)
    for one, other in zip(whole["runs"], split["runs"], strict=True):
        assert other["id_val"]["loss"] == pytest.approx(one["id_val"]["loss"], rel=1e-3)
    assert not any(one["code"] == "batch-split" for one in whole["warnings"])


def test_no_memory_for_one_image_ends_with_one_line(folder: Path, tmp_path: Path) -> None:
    checkpoint(tmp_path / "start", classes=3)
    words = ["finetune", "--checkpoint", tmp_path / "start", "--train", folder, *SMALL, "--out", tmp_path / "out"]
    with memory_for(0):
        done = inside(*words, "--epochs", 1, "--lr", "1e-2", "--bn", "eval")
    assert done.returncode == 1 and "out of memory: training, with 1 images at once" in done.stderr
    assert "--batch-size" in done.stderr and "Traceback" not in done.stderr

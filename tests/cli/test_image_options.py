"""How images are prepared, as options say it: the figures, what is saved, and what timm alone makes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.transforms import functional as F

from ftcli.data.loader import Loader
from ftcli.data.task import without_labels
from ftcli.data.transforms import evaluation
from ftcli.log import Log
from tests.helpers.program import checkpoint, inside, read

PREPARED = ["--crop-mode", "squash", "--crop-pct", 1, "--interpolation", "bicubic"]
SIDE = 32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of several aspect ratios, none of them square, and a checkpoint that crops the centre of 90 %."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for label in range(3):
        (root / "train" / f"class{label}").mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 256, (30 + 5 * (i % 4), 70 - 3 * (i % 5), 3)) // (label + 1)
            Image.fromarray(pixels.astype(np.uint8)).save(root / "train" / f"class{label}" / f"{i}.png")
    checkpoint(root / "start", classes=3)
    return root


def words(place: Path, *more: Any) -> list[Any]:
    small = ["--image-size", SIDE, "--batch-size", 8, "--threads", 1, "--epochs", 1, "--lr", "1e-2", "--json"]
    return ["finetune", "--checkpoint", place / "start", "--train", place / "train", *small, *more]


@pytest.fixture(scope="module")
def tuned(place: Path) -> Path:
    done = inside(*words(place, *PREPARED, "--augment", "light", "--mixup", 0.7, "--out", place / "tuned"))
    assert done.returncode == 0, done.stderr
    return place / "tuned"


def test_the_report_and_config_json_state_it(tuned: Path) -> None:
    said = {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bicubic"}
    assert said.items() <= read(tuned)["model"]["input"].items() and said.items() <= read(tuned)["config"].items()
    assert read(tuned)["config"]["mixup"] == 0.7


def test_timm_alone_prepares_images_the_same_way(place: Path, tuned: Path) -> None:
    """From the folder, and by torchvision's own words: the whole image resized to the input."""
    cfg = resolve_data_config(model=timm.create_model(f"local-dir:{tuned}", pretrained=True))
    theirs, data = create_transform(**cfg, is_training=False), without_labels(
        str(place / "train"), damaged="stop", log=Log()
    )  # fmt: skip
    mine = torch.cat([batch.images for batch in Loader(data, evaluation(cfg), batch_size=8).ordered()])
    for i in range(len(data)):
        assert torch.equal(mine[i], theirs(data.image(i)))
        squashed = F.resize(data.image(i), [SIDE, SIDE], F.InterpolationMode.BICUBIC)
        assert torch.equal(mine[i], F.normalize(F.to_tensor(squashed), cfg["mean"], cfg["std"]))


def test_evaluation_of_the_folder_needs_no_option(place: Path, tuned: Path) -> None:
    """The figures of training; an option that says otherwise gives others, and one that says the same the same."""
    sets = ["--id-val", place / "train", "--batch-size", 8, "--threads", 1, "--json"]

    def loss(*more: Any) -> float:
        done = inside("evaluate", tuned, *sets, *more, "--out", place / f"evaluated-{len(more)}", "--overwrite")
        assert done.returncode == 0, done.stderr
        return done.report["results"]["id_val"]["loss"]

    assert loss() == loss(*PREPARED)
    assert (
        len({loss(), loss("--crop-mode", "center"), loss("--crop-pct", 0.5), loss("--interpolation", "nearest")}) == 4
    )


def test_predict_and_training_use_it(place: Path, tuned: Path) -> None:
    plain, cropped = (
        inside("predict", tuned, place / "train", *more).stdout for more in ([], ["--crop-pct", 0.5, "--quiet"])
    )
    assert plain and cropped and plain != cropped
    inside(*words(place, "--augment", "none", "--out", place / "own"))
    inside(*words(place, "--augment", "none", *PREPARED, "--out", place / "squashed"))
    one, other = (read(place / name)["runs"][0]["history"] for name in ("own", "squashed"))
    assert one[0]["loss"] != other[0]["loss"] and one[0]["id_val"] != other[0]["id_val"]


def test_a_cache_keeps_both_apart(place: Path, tmp_path: Path) -> None:
    environment = {"FTCLI_CACHE": str(tmp_path / "cache")}

    def found(name: str, *more: Any) -> dict[str, Any]:
        done = inside(
            "probe", *words(place)[1:], *more, "--out", tmp_path / name, "--overwrite", **environment
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.report["results"]["id_val"]

    fresh = found("fresh", *PREPARED, "--no-cache")
    assert found("own") != fresh and found("prepared", *PREPARED) == fresh == found("again", *PREPARED)


def test_mixup_is_taken_back_by_none(tmp_path: Path, place: Path) -> None:
    (tmp_path / "mixed.toml").write_text('mixup = 0.7\nschedule = "step:1,2"\nepochs = 3\n')
    for more, expected in (([], 0.7), (["--mixup", "none"], None)):
        done = inside(
            *words(place)[:-1], "--config", tmp_path / "mixed.toml", "--epochs", 3, *more, "--dry-run", "--json"
        )
        assert done.returncode == 0 and done.report["config"]["mixup"] == expected
        assert done.report["config"]["schedule"] == "step:1,2"


@pytest.mark.parametrize(("name", "policy"), [("randaugment", "rand-m9-mstd0.5-inc1"), ("augmix", "augmix-m3-w3")])
def test_policies_of_timm_are_named_and_train_on_grey_images(
    name: str, policy: str, tmp_path: Path, place: Path
) -> None:
    """With workers or without: the same weights. `light` alone gives others."""
    for label in range(3):
        (tmp_path / "grey" / f"class{label}").mkdir(parents=True)
        for i in range(10):
            pixels = np.random.default_rng(10 * label + i).integers(0, 256, (33, 40)) // (label + 1)
            file = tmp_path / "grey" / f"class{label}" / f"{i}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)  # of mode L
    weights = {}
    for augment, workers in ((name, 0), (name, 2), ("light", 0)):
        out = tmp_path / f"{augment}{workers}"
        more = ["--train", tmp_path / "grey", "--augment", augment, "--workers", workers, "--out", out]
        done = inside(*words(place, *more))
        assert done.returncode == 0, done.stderr
        weights[augment, workers] = (out / "model.safetensors").read_bytes()
        assert read(out)["data"].get("policy") == (None if augment == "light" else policy)
    assert weights[name, 0] == weights[name, 2] != weights["light", 0]


def test_a_policy_that_nothing_uses_is_not_named(tmp_path: Path, place: Path) -> None:
    """The exact probe sees images as evaluation does."""
    more = ["--image-size", SIDE, "--threads", 1, "--augment", "augmix", "--json", "--out", tmp_path / "probe"]
    done = inside("probe", "--checkpoint", place / "start", "--train", place / "train", *more)
    assert done.returncode == 0, done.stderr
    assert "policy" not in read(tmp_path / "probe")["data"]
    views = ["--method", "memo", "--augment", "augmix", "--augmentations", 2, "--json", "--out", tmp_path / "memo"]
    done = inside("adapt", "--checkpoint", tmp_path / "probe", "--ood", f"far={place / 'train'}", *views)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "memo")["data"]["policy"] == "augmix-m3-w3"

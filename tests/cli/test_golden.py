"""Golden numbers through the command line: what the methods find must not drift unseen.

Tolerances leave room for other processors and library versions, and none for a method that does something else.
`python -m tests.cli.test_golden` prints the numbers anew, for when the preset or its checkpoint are changed on purpose.
"""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import real_data
from tests.helpers.program import inside

ACCURACY, LOSS = 0.02, 0.05  # absolute; relative
Figures = dict[str, tuple[float, float]]  # by set: accuracy, loss

# One epoch at one rate; the probe is the first stage of lpft.
COMMANDS: dict[str, list[Any]] = {
    "lpft": ["lpft", "--preset", "digits", "--epochs", 1, "--lr", "1e-2", "--threads", 1],
    "finetune": ["finetune", "--preset", "digits", "--epochs", 1, "--lr", "1e-2", "--threads", 1],
    "mixup": [
        *["finetune", "--preset", "digits", "--epochs", 2, "--lr", "1e-2", "--threads", 1, "--mixup", 0.7],
        *["--schedule", "step:1", "--augment", "standard", "--crop-scale", 0.3, "--crop-mode", "squash"],
        *["--crop-pct", 0.9, "--interpolation", "bilinear"],
    ],
}  # fmt: skip

DIGITS: dict[str, Figures] = {
    "probe": {
        "id_val": (0.9769, 0.128), "id_test": (0.954, 0.1626), "photo": (0.74, 1.0486), "inverted": (0.818, 0.7212),
        "coloured": (0.848, 0.4834),
    },
    "lpft": {
        "id_val": (0.9615, 0.1064), "id_test": (0.954, 0.15), "photo": (0.738, 1.098), "inverted": (0.81, 0.7411),
        "coloured": (0.854, 0.4911),
    },
    "finetune": {
        "id_val": (0.8462, 0.7232), "id_test": (0.834, 0.7595), "photo": (0.658, 1.1777), "inverted": (0.706, 1.114),
        "coloured": (0.708, 1.1644),
    },
    "mixup": {
        "id_val": (0.8538, 0.9222), "id_test": (0.786, 0.9618), "photo": (0.596, 1.3538), "inverted": (0.55, 1.4504),
        "coloured": (0.518, 1.5062),
    },
}  # fmt: skip
PACS: Figures = {
    "id_val": (0.87, 0.4039), "id_test": (0.91, 0.3149), "art": (0.315, 1.9392), "sketch": (0.23, 2.1763),
}  # fmt: skip


def pacs(data: Path) -> list[Any]:
    """A probe of 1000 photos at 64 pixels, with 200 pictures of each other domain."""
    ood = [f"{name}={data}/pacs/{file}.parquet?limit=200:0" for name, file in
           (("art", "art_painting"), ("sketch", "sketch"))]  # fmt: skip
    words = ["probe", "--checkpoint", data / "checkpoints" / "mobilenetv2-imagenet", "--image-size", 64]
    return [*words, "--train", f"{data}/pacs/photo.parquet?limit=1000:0", "--ood", ood[0], "--ood", ood[1]]


def found(words: list[Any], out: Path) -> dict[str, Figures]:
    """Figures of every stage of a command."""
    report = inside(*words, "--json", "--out", out).report
    stages = report.get("stages") or {report["command"]: {"results": report["results"]}}
    return {stage: figures(content["results"]) for stage, content in stages.items()}


def figures(results: dict[str, Any]) -> Figures:
    sets = {"id_val": results["id_val"], "id_test": results["id_test"], **results["ood"]}
    return {name: (round(entry["accuracy"], 4), round(entry["loss"], 4)) for name, entry in sets.items()}


def assert_golden(new: Figures, golden: Figures) -> None:
    assert new.keys() == golden.keys()
    far = {
        name: (new[name], golden[name])
        for name in golden
        if abs(new[name][0] - golden[name][0]) > ACCURACY or abs(new[name][1] / golden[name][1] - 1) > LOSS
    }
    assert not far, f"(accuracy, loss) found and golden: {far}"


@pytest.mark.parametrize("command", COMMANDS)
def test_digits(tmp_path: Path, command: str) -> None:
    new = found(COMMANDS[command], tmp_path / "o")
    names = {
        "lpft": {"probe": "probe", "finetune": "lpft"},
        "finetune": {"finetune": "finetune"},
        "mixup": {"finetune": "mixup"},
    }[command]
    assert new.keys() == names.keys()
    for stage, name in names.items():
        assert_golden(new[stage], DIGITS[name])


def test_the_golden_numbers_tell_the_methods_apart() -> None:
    for one, other in (("probe", "lpft"), ("probe", "finetune"), ("lpft", "finetune"), ("finetune", "mixup")):
        with pytest.raises(AssertionError):
            assert_golden(DIGITS[one], DIGITS[other])


@pytest.mark.real
def test_pacs(data_dir: Path, tmp_path: Path) -> None:
    assert_golden(found(pacs(data_dir), tmp_path / "o")["probe"], PACS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for name, words in COMMANDS.items():
            print(name, found(words, Path(place) / name))
        if data := real_data():
            print("pacs", found(pacs(data), Path(place) / "pacs"))

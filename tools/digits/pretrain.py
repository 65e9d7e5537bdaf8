"""Make the demo's checkpoint: render digits, then train a small network on them from scratch with `ftcli finetune`.

    python -m tools.digits.pretrain [--out FOLDER]

Run it in the root of the repository. FOLDER/glyphs.parquet are the rendered digits, FOLDER/run is the output folder of
`ftcli finetune`; its model.safetensors and config.json are the files in `ftcli/presets/digits/checkpoint`.
"""

import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageColumn
from PIL import Image

from tools.digits.glyphs import SIDE, glyph

COUNT, SEED = 40_000, 0  # glyphs: 80 % train, 10 % ID-val, 10 % ID-test
RECIPE = {
    "--model": "test_resnet",
    "--init": "random",
    "--image-size": SIDE,
    "--augment": "none",
    "--optimizer": "adamw",
    "--lr": 2e-3,
    "--weight-decay": 0.05,
    "--batch-size": 128,
    "--epochs": 10,
    "--bn": "train",
    "--seed": 2202,  # draws the head too: a fine-tuning run of the same seed would start from the head trained here
}


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for the glyphs and the run.")] = Path("runs/digits-pretraining"),
) -> None:
    """Render the glyphs into a folder and pretrain on them; about five minutes on two cores."""
    out.mkdir(parents=True, exist_ok=True)
    table = out / "glyphs.parquet"
    render(COUNT, SEED).to_parquet(table)
    options = [str(word) for option in RECIPE.items() for word in option]
    command = [sys.executable, "-m", "ftcli", "finetune", "--train", str(table), *options, "--out", str(out / "run")]
    sys.exit(subprocess.run(command, check=False).returncode)


def render(count: int, seed: int) -> Dataset:
    """The first `count` glyphs of a seed as a table: column `image`, PNG of 32 x 32, and `label`, classes "0" … "9"."""
    features = Features({"image": ImageColumn(), "label": ClassLabel(names=[str(digit) for digit in range(10)])})
    rows = list(_rows(count, seed))
    return Dataset.from_list(rows, features=features)


def _rows(count: int, seed: int) -> Iterator[dict]:
    for index in range(count):
        picture, digit = glyph(seed, index)
        png = BytesIO()
        Image.fromarray(picture).save(png, format="PNG")
        yield {"image": {"bytes": png.getvalue(), "path": None}, "label": digit}


if __name__ == "__main__":
    typer.run(pretrain)

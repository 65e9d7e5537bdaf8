"""A head from a file: its rows are found by class name, and training and the line between models start from it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.head_weights import read_head_weights
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.worlds import coloured

ROWS = {"class1": torch.tensor([1.0, 2.0]), "class0": torch.tensor([3.0, 4.0]), "other": torch.zeros(7)}


def written(folder: Path, rows: dict[str, torch.Tensor]) -> Path:
    save_file(rows, folder / "rows.safetensors")
    return folder / "rows.safetensors"


def test_rows_are_found_by_name(tmp_path: Path) -> None:
    rows = read_head_weights(written(tmp_path, ROWS), ("class0", "class1"), 2, Log())
    assert rows.tolist() == [[3.0, 4.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"class0": torch.zeros(2)}, "no row for .class1."),
        ({"class0": torch.zeros(2), "class1": torch.zeros(3)}, "has 2 features"),
        ({"class0": torch.zeros(2), "class1": torch.tensor([0.0, float("nan")])}, ".class1. is not of finite"),
        ({"class0": torch.zeros(2), "class1": torch.zeros(2, dtype=torch.int64)}, ".class1. is not of finite"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, rows: dict[str, torch.Tensor], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        read_head_weights(written(tmp_path, rows), ("class0", "class1"), 2, Log())


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights", encoding="utf-8")
    for name in ("text", "absent"):
        with pytest.raises(RequestError, match="--head-weights"):
            read_head_weights(tmp_path / name, ("a",), 2, Log())


def test_fine_tuning_and_the_line_start_from_the_file(tmp_path: Path) -> None:
    start, train, out = checkpoint(tmp_path / "start"), coloured(tmp_path / "train", each=10), tmp_path / "out"
    width = open_checkpoint(str(start), strip_prefix=None, log=Log()).shapes["fc.weight"][1]
    generator = torch.Generator().manual_seed(0)
    rows = {f"class{i}": torch.randn(width, generator=generator) for i in range(3)}
    given = ["--head-weights", written(tmp_path, rows), "--train", train, *SMALL[:2], "--threads", 1]
    words = ["--lr", 1e-12, "--weight-decay", 0, "--bn", "eval", "--epochs", 1, "--augment", "none"]
    done = inside("finetune", "--checkpoint", start, *given, *words, "--out", out)
    assert done.returncode == 0, done.stderr
    saved = open_checkpoint(str(out), strip_prefix=None, log=Log()).tensors()
    torch.testing.assert_close(
        saved["fc.weight"], torch.stack([rows[f"class{i}"] for i in range(3)]), rtol=0, atol=1e-6
    )
    assert saved["fc.bias"].abs().max() < 1e-6

    line = inside("interpolate", start, out, *given, "--bn", "raw", "--points", 2, "--json").report["interpolation"]
    first, last = (point["raw"]["id_val"] for point in line["points"])
    assert line["head"] == "file" and first["loss"] == pytest.approx(last["loss"], rel=1e-6)
    trained = read(out)["results"]["id_val"]
    assert last["loss"] == pytest.approx(trained["loss"], rel=1e-6) and last["loss"] > 0

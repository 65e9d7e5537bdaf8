"""`report --plot`, `--figures` and `--sheet`, `compare --plot`: files as asked for, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ftcli.figures.contact_sheet import GAP, LABEL_WIDTH, LINE_HEIGHT, PER_ROW, SIDE, square
from tests.helpers.program import PAINT, Work, inside, work


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny task and two finished runs: probe, and two epochs of fine-tuning."""
    root = tmp_path_factory.mktemp("drawn")
    tiny: Work = work(root)
    for command, more in (("probe", ()), ("finetune", ("--lr", "1e-4", "--epochs", 2, "--confusion"))):
        done = inside(command, *tiny.words, *more, "--out", root / command)
        assert done.returncode == 0, done.stderr
    return root


def test_a_report_and_a_comparison_are_drawn(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = inside("report", place / "finetune", "--plot", tmp_path / "new" / "all.svg")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "new" / "all.svg").read_text(encoding="utf-8")
    for words in ("ID and OOD accuracy", "Training loss at", "Calibration on", "Confusion on ID-test"):
        assert words in text, words
    assert PAINT not in text and "\x1b" not in text
    done = inside("compare", place / "probe", place / "finetune", "--plot", tmp_path / "two.pdf", "--figures", "id-ood")
    assert done.returncode == 0 and (tmp_path / "two.pdf").read_bytes().startswith(b"%PDF"), done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--plot", "a.eps"), "a PDF, an SVG or a PNG"),
        (("--plot", "a.pdf", "--figures", "distortion"), "nothing to draw of this kind"),
        (("--plot", "a.pdf", "--figures", "everything"), "not one of id-ood"),
        (("--figures", "id-ood"), "names what --plot draws"),
        (("--sheet", "a.jpg"), ".png"),
    ],
)
def test_refused(
    place: Path, tmp_path: Path, words: tuple[str, ...], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    done = inside("report", place / "probe", *words)
    assert done.returncode == 2 and problem in done.stderr, done.stderr
    assert not [*tmp_path.iterdir()]


def test_the_sheet_shows_the_most_confident_mistakes(place: Path, tmp_path: Path) -> None:
    """The pictures of each row, in the order of their probability, against the table itself."""
    done = inside("report", place / "probe", "--sheet", tmp_path / "a.png")
    table = pq.read_table(place / "probe" / "predictions.parquet").to_pylist()
    rows = [
        sorted((row for row in table if row["set"] == name and row["label"] != row["predicted"]),
               key=lambda row: -row["probability"])[:PER_ROW]
        for name in dict.fromkeys(row["set"] for row in table)
    ]  # fmt: skip
    rows = [row for row in rows if row]
    assert done.returncode == 0 and rows, done.stderr
    with Image.open(tmp_path / "a.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    down = SIDE + GAP + 3 * LINE_HEIGHT
    assert pixels.shape[0] == down * len(rows)
    for i, row in enumerate(rows):
        for j, one in enumerate(row):
            folder = place / ("far" if one["set"] not in ("id_val", "id_test") else "train")
            with Image.open(folder / one["example"]) as image:
                expected = np.asarray(square(image.convert("RGB")))
            x = LABEL_WIDTH + j * (SIDE + GAP)
            np.testing.assert_array_equal(pixels[i * down : i * down + SIDE, x : x + SIDE], expected)


def test_a_sheet_of_data_that_changed_is_refused(place: Path, tmp_path: Path) -> None:
    table = pq.read_table(place / "probe" / "predictions.parquet").to_pylist()
    wrong = max((row for row in table if row["label"] != row["predicted"]), key=lambda row: row["probability"])
    folder = place / ("far" if wrong["set"] not in ("id_val", "id_test") else "train")
    image, aside = folder / wrong["example"], tmp_path / "aside"
    shutil.move(image, aside)
    try:
        done = inside("report", place / "probe", "--sheet", tmp_path / "a.png")
    finally:
        shutil.move(aside, image)
    assert done.returncode == 2 and "any more" in done.stderr and not (tmp_path / "a.png").exists(), done.stderr


def test_a_sheet_needs_predictions(place: Path, tmp_path: Path) -> None:
    shutil.copy(place / "probe" / "report.json", tmp_path / "report.json")
    done = inside("report", tmp_path, "--sheet", tmp_path / "a.png")
    assert done.returncode == 2 and "no predictions.parquet" in done.stderr, done.stderr

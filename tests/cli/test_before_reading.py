"""What can be said of SPECs, columns and classes is said before a picture is read, and all damage of a set at once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from ftcli.data.decoding.column import ImageColumn
from ftcli.data.examples import open_images
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import folder, picture
from tests.helpers.program import Work, checkpoint, inside, work

ROOT = Path(__file__).parents[2]
QUICK = ["--image-size", 32, "--batch-size", 16, "--threads", 1]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows whose pictures are read from here on."""
    rows: list[int] = []
    content = ImageColumn.content

    def counting(self: ImageColumn, row: int) -> Any:
        rows.append(row)
        return content(self, row)

    monkeypatch.setattr(ImageColumn, "content", counting)
    return rows


def others(tiny: Work, tmp_path: Path) -> dict[str, list[Any]]:
    """What may be wrong with a set that is not the first, and what is typed."""
    folder(tmp_path / "strange", {"wolf": 2, "lynx": 2})
    (tmp_path / "map.json").write_text('{"no such class": null}')
    ood = {
        "nowhere": tmp_path / "nowhere", "setting": f"{tiny.far}?limt=3", "group": f"{tiny.far}?group=site",
        "map": f"{tiny.far}?classes={tmp_path}/map.json", "where": f"{tiny.far}?where=label:none",
        "classes": tmp_path / "strange", "split": f"{tiny.far}?split=test",
    }  # fmt: skip
    return {name: ["--ood", f"x={spec}"] for name, spec in ood.items()} | {"id-test": ["--id-test", tmp_path / "gone"]}


WRONG = ("nowhere", "setting", "map", "group", "where", "classes", "split", "id-test")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_set_is_refused_before_any_picture_is_read(
    tiny: Work, tmp_path: Path, unread: list[int], name: str
) -> None:
    wrong = others(tiny, tmp_path)[name]
    right = ["--checkpoint", tiny.checkpoint, "--train", tiny.train, *QUICK, "--out", tmp_path / "o"]
    done = inside("probe", *right, *wrong)
    assert done.returncode == 2 and "  try: " in done.stderr, done.stderr
    assert unread == []


@pytest.mark.parametrize("command", ["distortion", "agreement"])
def test_so_it_is_where_models_are_held_against_each_other(
    tiny: Work, tmp_path: Path, unread: list[int], command: str
) -> None:
    models = [tiny.checkpoint, tiny.checkpoint, "--train", tiny.train, "--ood", f"x={tmp_path}/nowhere"]
    done = inside(command, *models, *QUICK, "--out", tmp_path / "o")
    assert done.returncode == 2 and "nowhere" in done.stderr
    assert unread == []


def test_one_class_is_refused_before_any_picture_is_read(tiny: Work, tmp_path: Path, unread: list[int]) -> None:
    folder(tmp_path / "set", {"a": 12})
    done = inside("probe", "--checkpoint", tiny.checkpoint, "--train", tmp_path / "set", *QUICK)
    assert done.returncode == 2 and "one class" in done.stderr and unread == []


def test_weights_and_sizes_that_do_not_fit_are_refused_before_any_picture_is_read(
    tiny: Work, tmp_path: Path, unread: list[int]
) -> None:
    right = ["--train", tiny.train, "--batch-size", 16, "--threads", 1, "--epochs", 1, "--lr", "1e-3"]
    vit = checkpoint(tmp_path / "vit", "test_vit")
    (spoilt := tmp_path / "spoilt").mkdir()
    for file in tiny.checkpoint.iterdir():
        (spoilt / file.name).write_bytes(file.read_bytes())
    tensors = load_file(spoilt / "model.safetensors")
    save_file({name: tensor / 0 for name, tensor in tensors.items()}, spoilt / "model.safetensors")
    shuffled = ["--ood", f"x={tiny.far}?shuffle=7:0"]
    for said, words in {
        "does not take": ["--checkpoint", vit, "--image-size", 33],
        "NaN": ["--checkpoint", spoilt, "--image-size", 32],
        "shuffle": ["--checkpoint", tiny.checkpoint, "--image-size", 32, *shuffled],
    }.items():
        done = inside("finetune", *right, *words, "--out", tmp_path / "o")
        assert done.returncode == 2 and said in done.stderr and unread == [], done.stderr


def test_a_sheet_of_another_kind_is_refused_before_any_picture_is_read(tiny: Work, unread: list[int]) -> None:
    done = inside("data", tiny.train, "--save", "grid.jpeg")
    assert done.returncode == 2 and ".png" in done.stderr and unread == []


@pytest.mark.parametrize("command", ["probe", "evaluate", "adapt", "interpolate"])
@pytest.mark.parametrize("ood", ["night", "=night", "a b=night", "train=night"])
def test_an_odd_ood_is_refused_before_torch_is_imported(command: str, ood: str) -> None:
    models = {"evaluate": ["m"], "interpolate": ["a", "b"], "adapt": ["--checkpoint", "m"]}
    code = (
        "import sys\nfrom ftcli.cli.main import run\n"
        f"code = run({[command, *models.get(command, ['--train', 't']), '--ood', ood]!r})\n"
        "print(code, sorted({'torch', 'timm', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "2 []" and "--ood" in done.stderr, done.stdout + done.stderr


def spoilt(root: Path, count: int, whole: int = 3) -> Path:
    folder(root, {"a": whole, "b": whole})
    for i in range(count):
        (root / "a" / f"bad{i:03d}.jpg").write_bytes(b"no picture")
    return root


@pytest.mark.parametrize("count", [1, 2, 10, 11, 150])
def test_all_damaged_pictures_are_counted_and_some_named(tmp_path: Path, count: int) -> None:
    with pytest.raises(RequestError) as error:
        open_images(parse(str(spoilt(tmp_path / "set", count))), Log())
    said = error.value.problem
    assert said.count("bad") == min(count, 10) and all(f"bad{i:03d}" in said for i in range(min(count, 10)))
    assert (f"{count - 1} more of {count + 6}" in said) is (count > 1)
    assert (f"and {count - 10} more" in said.rpartition("bad")[2]) is (count > 10)
    log = Log()
    images = open_images(parse(f"{tmp_path}/set"), log, damaged="skip")
    assert images.damaged == count and log.warnings[0]["text"].startswith(f"{count} of {count + 6} images")


def test_a_set_with_classes_of_others_is_counted_as_before(tiny: Work, tmp_path: Path) -> None:
    """Of a class that the task lacks no picture is read, and what is dropped is counted the same."""
    far = folder(tmp_path / "far", {"class0": 4, "wolf": 3}, first=50)
    picture(1).save(far / "class0" / "x.png")
    (far / "class0" / "x.png").write_bytes(b"damaged")
    out = tmp_path / "o"
    words = ["--train", tiny.train, "--ood", f"far={far}", "--damaged", "skip", *QUICK, "--out", out]
    done = inside("probe", "--checkpoint", tiny.checkpoint, *words)
    assert done.returncode == 0, done.stderr
    entry = json.loads((out / "report.json").read_text())["data"]["ood"]["far"]
    assert (entry["n"], entry["dropped"], entry["damaged"]) == (4, 3, 1)

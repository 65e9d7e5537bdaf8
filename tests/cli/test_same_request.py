"""A run goes on, and a finished one is shown, only where all that gives its figures their meaning is the same."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pytest

from ftcli.run_folder.names import STATE
from tests.cli.test_resume import stopped
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.worlds import coloured

NAMES = ("class0", "class1", "class2")
PLUG = "import sys\nsys.path.insert(0, {folder!r})\nimport beside_the_plug\n"


@dataclass(frozen=True)
class Place:
    """A tiny task in a table, a checkpoint, and a file to import, all of which a test may change."""

    folder: Path

    def write(self, names: tuple[str, ...] = NAMES, cameras: int = 2) -> None:
        """The same pictures in the same order, each with the same class by its name."""
        pictures = sorted((self.folder / "pictures").rglob("*.png"))
        columns = {
            "image": [{"bytes": one.read_bytes(), "path": None} for one in pictures],
            "label": [names.index(one.parent.name) for one in pictures],
            "camera": [str(i % cameras) for i in range(len(pictures))],
        }
        kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
        features = datasets.Features({**kinds, "camera": datasets.Value("string")})
        datasets.Dataset.from_dict(columns, features=features).to_parquet(self.folder / "train.parquet")

    def words(self, out: Path, *more: Any) -> list[Any]:
        where = ["--checkpoint", self.folder / "start", "--train", f"{self.folder}/train.parquet?group=camera"]
        far = ["--ood", f"far={self.folder / 'far'}", "--import", self.folder / "plugged.py"]
        return ["finetune", *where, *far, *SMALL, "--epochs", 2, "--lr", "1e-2", "--out", out, *more]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    coloured(tmp_path / "pictures", each=12)
    coloured(tmp_path / "far", each=3, seed=1)
    checkpoint(tmp_path / "start", classes=3)
    (tmp_path / "beside_the_plug.py").write_text("width = 8\n")
    (tmp_path / "plugged.py").write_text(PLUG.format(folder=str(tmp_path)))
    made = Place(tmp_path)
    made.write()
    yield made
    for name in ("plugged", "beside_the_plug"):
        sys.modules.pop(name, None)
    sys.path[:] = [one for one in sys.path if one != str(tmp_path)]


def other_order(place: Place) -> None:
    place.write(("class0", "class2", "class1"))


def one_class_more(place: Place) -> None:
    """Of which there is no picture."""
    place.write((*NAMES, "class3"))


def other_groups(place: Place) -> None:
    place.write(cameras=3)


def other_names(place: Place) -> None:
    """In the same order."""
    (place.folder / "far" / "class1" / "1.png").rename(place.folder / "far" / "class1" / "1a.png")


def other_mean(place: Place) -> None:
    """What is subtracted from a picture stands beside the weights."""
    file = place.folder / "start" / "config.json"
    config = json.loads(file.read_text())
    config["pretrained_cfg"]["mean"] = [0.1, 0.2, 0.3]
    file.write_text(json.dumps(config))


def other_helper(place: Place) -> None:
    (place.folder / "beside_the_plug.py").write_text("width = 9\n")


CHANGES: list[tuple[Callable[[Place], None], str]] = [
    (other_order, 'its classes in another order: class 1 was "class1", and is "class2" now'),
    (one_class_more, 'other classes: 3 then, 4 now ("class3" is new)'),
    (other_groups, "other groups in train"),
    (other_names, "other names of the examples in far"),
    (other_mean, "images of its model"),
    (other_helper, 'other imported code in "beside_the_plug"'),
]


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_a_run_of_another_meaning_does_not_go_on(
    change: Callable[[Place], None], told: str, place: Place, tmp_path: Path
) -> None:
    asked = place.words(tmp_path / "o")
    assert stopped(2, *asked).returncode == 130
    before = {path.name: path.read_bytes() for path in (tmp_path / "o" / STATE).iterdir()}
    change(place)
    done = inside(*asked)
    assert done.returncode == 2 and f"holds an unfinished run with {told}" in flat(done.stderr), done.stderr
    assert "--overwrite to begin anew" in flat(done.stderr)
    assert {path.name: path.read_bytes() for path in (tmp_path / "o" / STATE).iterdir()} == before


@pytest.mark.parametrize(
    ("part", "value"),
    [("libraries", {"numpy": "0.1"}), ("libraries", {"libjpeg": "1"}), ("machine", {"precision": "x"})],
)
def test_another_library_or_number_format_is_another_request(
    part: str, value: dict[str, str], place: Place, tmp_path: Path
) -> None:
    asked = place.words(tmp_path / "o")
    assert stopped(2, *asked).returncode == 130
    file = tmp_path / "o" / STATE / "request.json"
    request = json.loads(file.read_text())
    file.write_text(json.dumps(request | {part: request[part] | value}))
    done, (name, was) = inside(*asked), *value.items()
    assert done.returncode == 2 and f"with {name} {was}, and this one has {request[part][name]}" in flat(done.stderr)


def test_a_finished_run_is_shown_only_for_the_same_files(place: Place, tmp_path: Path) -> None:
    asked = place.words(tmp_path / "o", "--resume")
    assert inside(*asked).returncode == 0
    report = (tmp_path / "o" / "report.json").read_bytes()
    assert len(read(tmp_path / "o")["request"]) == 64
    shown = inside(*asked, "--json")
    assert shown.returncode == 0 and shown.stdout.encode() == report
    for change, told in (
        (other_order, "holds a finished run with its classes in another order"),
        (other_groups, "holds a finished run with other data"),
    ):
        change(place)
        done = inside(*asked)
        assert done.returncode == 2 and told in flat(done.stderr), done.stderr
        assert "ftcli report" in flat(done.stderr) and (tmp_path / "o" / "report.json").read_bytes() == report
    place.write()
    assert inside(*asked, "--json").stdout.encode() == report


def test_what_changes_no_figure_may_differ(place: Place, tmp_path: Path) -> None:
    """The same bytes at the same place, written anew; workers, and how often is saved."""
    asked = place.words(tmp_path / "o")
    assert stopped(2, *asked).returncode == 130
    place.write()
    done = inside(*asked, "--save-every", 1)
    assert done.returncode == 0, done.stderr


def test_label_names_in_another_order_are_another_model(tmp_path: Path) -> None:
    """Where rows of the head are put in the order of the task's classes, by the names that the file gives them."""
    coloured(tmp_path / "i", each=12)
    file = checkpoint(tmp_path / "start", classes=3) / "config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "label_names": NAMES}))
    words = ["surgical", "--checkpoint", tmp_path / "start", "--train", tmp_path / "i", *SMALL, "--blocks", "head"]
    asked = [*words, "--epochs", 2, "--lr", "1e-2", "--out", tmp_path / "o"]
    assert stopped(1, *asked).returncode == 130
    file.write_text(json.dumps({**told, "label_names": NAMES[::-1]}))
    done = inside(*asked)
    assert done.returncode == 2 and "this one has ['class2', 'class1', 'class0']" in flat(done.stderr)

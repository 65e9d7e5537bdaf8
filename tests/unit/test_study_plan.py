"""The cells of a study: which there are, which are found again, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from ftcli.cli.main import configuration_of
from ftcli.config.study import PASSED_ON, Study
from ftcli.errors import DataNotHere, RequestError
from ftcli.studies.cells import Cell, cells_as_text, read_cells
from ftcli.studies.evaluations import commands_that_open
from ftcli.studies.plan import plan_cells
from ftcli.studies.settings import read_settings

OUT = Path("s")


def options(*words: str) -> Study:
    found = configuration_of(["study", "--out", str(OUT), *words])
    assert isinstance(found, Study)
    return found


def cells(*words: str, earlier: list[Cell] | None = None) -> list[Cell]:
    return [one.cell for one in plan_cells(options(*words), earlier or [], OUT)[0]]


TYPED = ("--checkpoint", "m", "--train", "photo", "--ood", "art=a")


def test_methods_times_settings_times_seeds() -> None:
    found = cells(*TYPED, "--methods", "finetune,lpft", "--set", "l2_sp=0,0.1", "--set", "epochs=2", "--seeds", "3")
    assert len(found) == 2 * 2 * 3
    assert {cell.method for cell in found} == {
        "finetune --l2-sp=0", "finetune --l2-sp=0.1", "lpft --l2-sp=0", "lpft --l2-sp=0.1",
    }  # fmt: skip
    assert len({cell.name for cell in found}) == len(found)
    for cell in found:
        assert "--epochs=2" in cell.words and f"--seed={cell.seed}" in cell.words and "--train=photo" in cell.words


def test_the_exact_probe_has_one_cell() -> None:
    """It draws no numbers and takes no steps: neither seeds nor rates make cells of it."""
    found = cells(*TYPED, "--methods", "probe", "--seeds", "3", "--set", "lr=1e-3;1e-2")
    assert len(found) == 1 and not any(word.startswith(("--seed", "--lr")) for word in found[0].words)
    by_steps = cells(*TYPED, "--method", "probe --solver sgd", "--seeds", "3", "--set", "lr=1e-3;1e-2")
    assert len(by_steps) == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "lr=1e-3;1e-2", "--lr", "1e-4"], "--set lr=1e-3,1e-2: the study also has --lr 0.0001"),
        (["--method", "lpft --ma", "--method", "lpft  --ma"], "--method 'lpft --ma' is given twice"),
    ],
)
def test_what_is_given_twice_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(RequestError) as error:
        cells(*TYPED, *words)
    assert said in error.value.problem


def test_a_budget_is_for_the_methods_with_epochs() -> None:
    found = {cell.command: cell.words for cell in cells(*TYPED, "--budget", "halving")}
    assert {name for name, words in found.items() if "--budget=halving" in words} == {"finetune", "lpft"}
    assert "probe" in found


def test_a_grid_is_parted_by_semicolons() -> None:
    found = cells(*TYPED, "--methods", "finetune", "--set", "lr=1e-4,1e-3;1e-2")
    assert [word for cell in found for word in cell.words if word.startswith("--lr")] == ["--lr=1e-4,1e-3", "--lr=1e-2"]
    assert {cell.method for cell in found} == {"finetune"}  # rows are joined


def test_every_c_of_the_probe_is_a_row_of_its_own() -> None:
    found = cells(*TYPED, "--methods", "lpft", "--set", "probe_c=1e-3,1")
    assert [word for cell in found for word in cell.words if word.startswith("--probe-c")] == [
        "--probe-c=1e-3", "--probe-c=1",
    ]  # fmt: skip
    assert len({cell.method for cell in found}) == 2
    found = cells(*TYPED, "--methods", "lpft", "--set", "probe_c=1e-3,1;10")
    assert [word for cell in found for word in cell.words if word.startswith("--probe-c")] == [
        "--probe-c=1e-3,1", "--probe-c=10",
    ]  # fmt: skip


def test_every_checkpoint_is_a_comparison_of_its_own(tmp_path: Path) -> None:
    """Rows have no checkpoint in their names; folders, lines and comparisons tell checkpoints apart."""
    several = ("--set", "checkpoint=x/m,y/m,z", "--methods", "finetune", "--set", "l2_sp=0,1", "--ood", "art=a")
    found = cells("--train", "photo", *several)
    assert {cell.method for cell in found} == {"finetune --l2-sp=0", "finetune --l2-sp=1"}
    assert list(dict.fromkeys(cell.comparison for cell in found)) == ["data, x/m", "data, y/m", "data, z"]
    assert {cell.benchmark for cell in found} == {"data"} and len({cell.name for cell in found}) == 6
    assert [word for word in found[-1].words if word.startswith("--checkpoint")] == ["--checkpoint=z"]
    (tmp_path / "study.jsonl").write_text(cells_as_text(found, tmp_path), "utf-8")
    assert read_cells(tmp_path) == found
    with pytest.raises(RequestError) as error:
        cells("--train", "other", *several, "--set", "batch_size=8", earlier=found)
    assert "--train photo" in error.value.problem
    one = cells("--train", "photo", "--set", "checkpoint=x/m", "--methods", "finetune", "--ood", "art=a")
    assert [(cell.comparison, cell.name) for cell in one] == [("data", "data/finetune/seed-0")]
    evaluation = cells("--train", "photo", *several, "--ood", "new=n", earlier=found)[len(found)]
    assert evaluation.command == "evaluate" and evaluation.comparison == "data, x/m"


def test_every_cell_has_its_threads() -> None:
    """Figures depend on them."""
    for cell in cells(*TYPED, "--jobs", "2"):
        assert sum(word.startswith("--threads=") for word in cell.words) == 1
    (given,) = cells(*TYPED, "--methods", "lpft", "--threads", "3")
    assert "--threads=3" in given.words
    later = cells(*TYPED, "--methods", "lpft,finetune", "--jobs", "7", earlier=[given])
    assert "--threads=3" in later[1].words


def test_one_goes_first_where_the_cache_is_shared() -> None:
    found = cells(*TYPED, "--methods", "finetune,probe,lpft", "--seeds", "2")
    probe = next(cell for cell in found if cell.command == "probe")
    assert probe.first == ""
    assert {cell.first for cell in found if cell is not probe} == {probe.name}


@pytest.mark.parametrize(
    "again",
    [
        ("--methods", "finetune,lpft", "--seeds", "2", "--epochs", "3"),
        ("--methods", "lpft,finetune", "--seed", "0,1", "--set", "epochs=3"),
        ("--method", "lpft --epochs 3", "--method", "finetune --epochs=3", "--seeds", "2"),
        ("--methods", "finetune", "--seed", "1", "--epochs", "3"),
    ],
)
def test_typed_again_in_other_words_nothing_is_new(again: tuple[str, ...]) -> None:
    before = cells(*TYPED, "--methods", "finetune,lpft", "--seeds", "2", "--epochs", "3")
    assert cells(*TYPED, *again, earlier=before) == before


@pytest.mark.parametrize(
    ("more", "added"),
    [
        (("--methods", "finetune", "--method", "surgical --blocks first", "--seeds", "2"), 2),
        (("--methods", "finetune", "--seeds", "3"), 1),
        (("--methods", "finetune", "--seeds", "2", "--set", "l2_sp=0,0.1"), 2),
    ],
)
def test_only_what_is_new_is_added(more: tuple[str, ...], added: int) -> None:
    before = cells(*TYPED, "--methods", "finetune", "--seeds", "2")
    after = cells(*TYPED, *more, earlier=before)
    assert after[: len(before)] == before and len(after) == len(before) + added


def test_a_new_set_is_measured_and_nothing_is_trained() -> None:
    before = cells(*TYPED, "--methods", "finetune", "--seeds", "2", "--batch-size", "8")
    more = ("--ood", "sketch=s", "--methods", "finetune", "--seeds", "2", "--batch-size", "8")
    after = cells(*TYPED, *more, earlier=before)
    added = after[len(before) :]
    assert [cell.command for cell in added] == ["evaluate"] * 2
    for cell, model in zip(added, before, strict=True):
        assert cell.model == cell.first == model.name and "--ood=sketch=s" in cell.words
        assert "--batch-size=8" in cell.words
        assert cell.words_in(OUT)[-3:] == [str(OUT / model.name), "--out", str(OUT / cell.name)]
    assert cells(*TYPED, *more, earlier=after) == after


def test_what_opens_a_new_set() -> None:
    """The evaluation of a model that is there, else the training of that model with the set; each set once."""
    before = cells(*TYPED, "--methods", "finetune,lpft", "--seeds", "2")
    after, _ = plan_cells(options(*TYPED, "--methods", "finetune,lpft", "--seeds", "2", "--ood", "new=n"), before, OUT)
    assert commands_that_open(after, OUT) == [(*before[0].words, "--ood=new=n")]
    evaluation = after[-4]
    assert commands_that_open(after[-4:], OUT) == [(*evaluation.cell.words, str(OUT / evaluation.cell.model))]
    assert commands_that_open(after[:4], OUT) == []


def test_a_new_set_that_could_not_be_opened_is_corrected(tmp_path: Path) -> None:
    """The cell that measures it is replaced, unless it is finished."""

    def planned(spec: str, earlier: list[Cell]) -> list[Cell]:
        typed = options(*TYPED, "--methods", "finetune", "--ood", f"sketch={spec}")
        return [one.cell for one in plan_cells(typed, earlier, tmp_path)[0]]

    wrong = planned("wrong", cells(*TYPED, "--methods", "finetune"))
    right = planned("right", wrong)
    assert [cell.name for cell in right] == [cell.name for cell in wrong]
    assert "--ood=sketch=wrong" in wrong[-1].words and "--ood=sketch=right" in right[-1].words
    (tmp_path / right[-1].name).mkdir(parents=True)
    (tmp_path / right[-1].name / "report.json").write_text("{}")
    with pytest.raises(RequestError, match="--ood sketch right, and this one has other"):
        planned("other", right)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--train", "other"), "--train photo, and this one has other"),
        (("--image-size", "64"), "--image-size None, and this one has 64"),
        (("--ood", "art=b"), "--ood art a, and this one has b"),
        (("--split-seed", "1"), "--split-seed 0, and this one has 1"),
    ],
)
def test_another_study_under_the_same_name_is_refused(words: tuple[str, ...], said: str) -> None:
    before = cells(*TYPED, "--methods", "finetune")
    own = {"--train": "photo", "--ood": "art=a", words[0]: words[1]}
    typed = ["--checkpoint", "m", *(word for pair in own.items() for word in pair)]
    with pytest.raises(RequestError) as error:
        cells(*typed, "--methods", "finetune", earlier=before)
    assert said in error.value.problem and str(OUT) in error.value.problem


def test_values_of_a_list_are_suggested_as_they_are_typed() -> None:
    before = cells(*TYPED, "--methods", "finetune", "--set", "lr=1e-2")
    with pytest.raises(RequestError) as error:
        cells(*TYPED, "--methods", "finetune", "--set", "lr=1e-3", earlier=before)
    assert "--set 'lr=A;B'" in error.value.fix
    with pytest.raises(RequestError) as error:
        cells(*TYPED, "--set", "lr=1e-2", "--set", "lr=1e-3")
    assert "--set 'lr=A;B'" in error.value.fix
    with pytest.raises(RequestError) as error:
        cells(*TYPED, "--set", "epochs=1,,2")
    assert "--set epochs=A,B" in error.value.fix


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "finetun"), "finetun"),
        (("--methods", "adapt"), "trains"),
        (("--method", "lpft --seed 3"), "--seed"),
        (("--method", "lpft --out x"), "--out"),
        (("--method", "lpft -o x"), "-o"),
        (("--method", "lpft 'x"), "parted"),
        (("--set", "epoch=3"), "--epoch"),
        (("--set", "epochs"), "OPTION=VALUES"),
        (("--set", "seeds=3"), "seeds"),
        (("--preset", "digits", "--preset", "living17"), "--preset is given twice"),
        (("--methods=lpft", "--methods", "finetune"), "--methods is given twice"),
        (("--checkpoint", "n"), "--checkpoint is given twice"),
        (("--set", "ood=x=a;y=b"), "--set ood"),
        (("--set", "l2_sp=1", "--method", "lpft --l2-sp=2"), "has a value for it"),
        (("--set", "train=x;y"), "the same data"),
        (("--method", "lpft --train x"), "--train is decided by the study"),
        (("--set", "epoch_zero=true"), "--epoch-zero is on or off"),
        (("--methods", "finetune", "--seeds", "100000"), "at most 20,000"),
        (("--set", "epochs=1,,2"), "empty"),
        (("--set", "epochs=1", "--set", "epochs=2"), "twice"),
        (("--set", "epochs=x"), "x"),
        (("--seeds", "2", "--seed", "1"), "both"),
        (("--jobs", "2", "--engine", "ray"), "--jobs"),
        (("--engine", "ray",), "threads"),
    ],
)  # fmt: skip
def test_wrong_requests(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(RequestError) as error:
        cells(*TYPED, *words)
    assert said in error.value.problem and error.value.fix


@pytest.mark.parametrize(
    ("option", "fix"),
    [
        ("seeds", "give --seeds to the study itself"), ("dry_run", "give --dry-run to the study itself"),
        ("out", "give --out to the study itself"), ("resume", "leave it out"),
    ],
)  # fmt: skip
def test_what_a_study_decides_is_no_setting(option: str, fix: str) -> None:
    with pytest.raises(RequestError) as error:
        read_settings([f"{option}=3"])
    assert error.value.fix == fix


def test_a_file_may_name_a_recipe(tmp_path: Path) -> None:
    """What is beside it in the file is stronger, and what is typed is strongest."""
    path = tmp_path / "study.toml"
    path.write_text('recipe = "early-stopping"\nseeds = 2\n', "utf-8")
    plain, of_file = options("--recipe", "early-stopping"), options(str(path))
    assert of_file.recipe == "early-stopping" and of_file.method_lines() == plain.method_lines()
    assert of_file.tables == plain.tables and of_file.seed_list() == (0, 1) != plain.seed_list()
    for words in ([str(path), "--recipe", "ten"], ["--recipe", "ten", str(path)]):
        assert options(*words).recipe == "ten" and options(*words).tables == ("published",)


def test_one_word_in_a_file_is_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('set = "epochs=1"\nmethods = "finetune"\n', "utf-8")
    assert [cell.words[-3] for cell in cells(*TYPED, str(path))] == ["--epochs=1"]


@pytest.mark.parametrize(("name", "text"), [("none.toml", None), ("bad.toml", "x ="), ("report.json", "{}")])
def test_a_file_is_named_as_it_is_typed(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(RequestError) as error:
        options(str(tmp_path / name))
    assert error.value.problem.startswith(repr(str(tmp_path / name))) and "--config" not in error.value.fix


def test_presets_whose_data_are_not_here(tmp_path: Path) -> None:
    found, not_here = plan_cells(options("--preset", "digits,living17", "--root", str(tmp_path)), [], OUT)
    assert {one.cell.benchmark for one in found} == {"digits"} and list(not_here) == ["living17"]
    with pytest.raises(DataNotHere):
        cells("--preset", "living17", "--root", str(tmp_path))


def test_every_shared_option_is_passed_on() -> None:
    """Of the options that all training commands have, none is lost but those that the study decides."""
    assert {"checkpoint", "train", "ood", "lr", "epochs", "image_size", "device"} <= set(PASSED_ON)
    found = cells(*TYPED, "--methods", "finetune", "--ema", "0.5", "--epoch-zero", "--clip-norm", "2", "--no-cache")
    words = {"--ema=0.5", "--epoch-zero", "--clip-norm=2.0", "--no-cache"}
    assert words <= set(found[0].words)


def test_a_setting_may_have_a_dash_or_none() -> None:
    assert read_settings(["l2-sp=1,2"]) == read_settings(["l2_sp=1,2"]) == read_settings(["--l2-sp=1,2"])


def test_cells_are_read_back(tmp_path: Path) -> None:
    before = cells(*TYPED, "--seeds", "2")
    (tmp_path / "study.jsonl").write_text(cells_as_text(before, tmp_path), "utf-8")
    assert read_cells(tmp_path) == before
    assert read_cells(tmp_path / "none") == []


def line(**changes: Any) -> str:
    import json

    values: dict[str, Any] = {
        "name": "data/lpft/seed-0", "benchmark": "data", "method": "lpft", "seed": 0, "words": ["lpft"], "first": "",
        "model": "", "line": "ftcli lpft",
    }  # fmt: skip
    return json.dumps(values | changes)


@pytest.mark.parametrize(
    "text",
    [
        "not json", "[]", "{}", "null", "[" * 5000, line(name="../x"), line(name="/etc"), line(words=[]),
        line(words=[1]), line(seed="0"), line(other=1), line(model="../../x"),
    ],
)  # fmt: skip
def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.jsonl").write_text(line() + "\n" + text + "\n", "utf-8")
    with pytest.raises(RequestError, match="line 2"):
        read_cells(tmp_path)

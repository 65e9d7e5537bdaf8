"""Class names that are one and are spelled in two ways, or are two and look like one: in sets and in heads."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from ftcli.data.classes.alignment import correspond, similar_names
from ftcli.data.classes.class_names import as_numbers, folded
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.loading.save import save_model
from tests.cli.test_requests import refused
from tests.helpers.pictures import folder
from tests.helpers.program import SMALL, inside
from tests.helpers.worlds import coloured, loaded
from tests.unit.test_task import built, codes, names, numbered, refusal, table

SIZES = [*SMALL[:4], "--threads", 1, "--json"]
WORDS = ["Ångström", "한국어", "Đà Nẵng", "plain"]


def form(name: str, texts: Sequence[str]) -> list[str]:
    return [unicodedata.normalize(name, text) for text in texts]  # type: ignore[arg-type]


# ---- Unicode


@pytest.mark.parametrize(("here", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_are_one_class(tmp_path: Path, here: str, there: str) -> None:
    train = folder(tmp_path / "train", dict.fromkeys(form(here, WORDS), 10))
    far = folder(tmp_path / "far", dict.fromkeys(form(there, WORDS), 2), first=100)
    text = table(tmp_path / "text.parquet", form(there, WORDS), None, 200)
    stored = table(tmp_path / "stored.parquet", form(there, WORDS), form(there, WORDS)[::-1], 300)
    log = Log()
    task = built(log, train=train, ood={"far": far, "text": text, "stored": stored})
    assert set(task.classes) == set(WORDS) and not log.warnings
    assert sorted(set(names(task, task.ood["far"]))) == sorted(WORDS) and task.ood["far"].dropped == 0
    assert names(task, task.ood["text"]) == WORDS == names(task, task.ood["stored"])


def test_unicode_forms_in_settings_and_maps(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", {"Ångström": 10, "plain": 10})
    (tmp_path / "map.json").write_text(
        json.dumps(dict(zip(form("NFD", WORDS), form("NFD", WORDS)[:1] * 3, strict=False)))
    )
    mapped = folder(tmp_path / "mapped", dict.fromkeys(form("NFC", WORDS[:3]), 2), first=100)
    kept = table(tmp_path / "kept.parquet", form("NFD", WORDS), form("NFD", WORDS), 200)
    wanted = f"{kept}?where=label:{form('NFC', WORDS)[0]}"
    task = built(train=train, ood={"mapped": f"{mapped}?classes={tmp_path}/map.json", "kept": wanted})
    assert names(task, task.ood["mapped"]) == ["Ångström"] * 6 and names(task, task.ood["kept"]) == ["Ångström"]


def test_cuts_do_not_depend_on_the_unicode_form(tmp_path: Path) -> None:
    """Strata are ranked by name: "é" stands behind "z" composed and before it decomposed."""
    ids = []
    for one in ("NFC", "NFD"):
        texts = [form(one, ["éclair", "zebra"])[i % 2] for i in range(50)]  # a tie for the fifth example
        task = built(train=table(tmp_path / f"{one}.parquet", texts))
        ids.append([data.ids for data in task.sets().values()])
    assert ids[0] == ids[1]


def test_two_forms_in_one_set_are_refused(tmp_path: Path) -> None:
    both = [form("NFC", WORDS)[0], form("NFD", WORDS)[0]]
    assert "two Unicode forms" in refusal(train=folder(tmp_path / "train", dict.fromkeys(both, 10)))
    assert "two Unicode forms" in refusal(train=table(tmp_path / "train.parquet", both * 10))


# ---- numbers


@pytest.mark.parametrize(
    ("own", "task", "expected"),
    [
        (["1", "2", "3", "4"], ["0", "1", "2", "3"], [1, 2, 3, -1]),  # never by position
        (["0", "1", "2"], ["1", "2", "3"], [-1, 0, 1]),
        (["01", "02", "10"], ["1", "10", "2"], [0, 2, 1]),
        (["1.0", "2.0", "3.0"], ["0", "1", "2"], [1, 2, -1]),
        (["0", "1", "10", "11", "2"], ["0", "1", "2", "10", "11"], [0, 1, 3, 4, 2]),
        (["-1", "1"], ["0", "1"], [-1, 1]),
        (["0", "1", "2"], ["0", "1", "cat"], [0, 1, -1]),  # one number in common: both sides have names
        (["0", "1", "2"], ["ant", "bee", "cat"], [0, 1, 2]),
        (["007", "7"], ["7", "8"], [-1, 0]),  # not by value where that makes two classes one
    ],
)
def test_numbers_are_matched_as_numbers(own: list[str], task: list[str], expected: list[int]) -> None:
    assert correspond(tuple(own), tuple(task), "the set")[0].tolist() == expected


def test_what_is_a_number() -> None:
    assert as_numbers(["-2", "007", "3.00", "40."]) == [-2, 7, 3, 40]
    for names_ in (["1", "01"], ["1.5"], ["1e3"], [""], ["a"], ["1", "b"], ["²"], ["1 "]):
        assert as_numbers(names_) is None


def test_a_set_that_counts_from_one_loses_its_last_class_and_says_so(tmp_path: Path) -> None:
    """Six classes 1 … 6 against 0 … 5 of integers, and the other way round."""
    zero = numbered(tmp_path / "zero.parquet", [i % 6 for i in range(60)])
    one = folder(tmp_path / "one", {str(i): 2 for i in range(1, 7)}, first=100)
    log = Log()
    data = built(log, train=zero, ood={"one": one}).ood["one"]
    assert (len(data), data.dropped, data.restrict) == (10, 2, (1, 2, 3, 4, 5))
    assert [i + 1 for i in range(5) for _ in "12"] == data.labels.tolist()
    (said,) = [entry["text"] for entry in log.warnings if entry["code"] == "classes-dropped"]
    assert "1 … 6" in said and "0 … 5" in said
    data = built(Log(), id_test=numbered(tmp_path / "t.parquet", [0, 1, 5]), classes=tuple("123456")).id_test
    assert data is not None and data.dropped == 1 and data.labels.tolist() == [0, 4]


def test_numbers_in_two_spellings_are_said(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", {f"{i:02d}": 8 for i in range(1, 6)})
    log = Log()
    task = built(log, train=train, ood={"far": table(tmp_path / "f.parquet", ["5", "1", "3", "2", "4"], None, 100)})
    assert names(task, task.ood["far"]) == ["05", "01", "03", "02", "04"] and codes(log) == {"classes-by-number"}


def test_integers_from_one_leave_a_class_empty_and_it_is_said(tmp_path: Path) -> None:
    log = Log()
    built(log, train=numbered(tmp_path / "n.parquet", [1 + i % 3 for i in range(60)]))
    (said,) = [entry["text"] for entry in log.warnings if entry["code"] == "classes-untrained"]
    assert '"0"' in said and "0, 1, …" in said
    log = Log()
    words = table(tmp_path / "w.parquet", [f"w{i % 4}" for i in range(60)], None, 100)
    built(log, train=words, ood={"n": numbered(tmp_path / "m.parquet", [1, 2, 3], 300)})
    (said,) = [entry["text"] for entry in log.warnings if entry["code"] == "classes-by-position"]
    assert "begin at 1" in said


def test_a_name_that_a_model_has_twice(tmp_path: Path) -> None:
    """ImageNet's list has "crane" and "maillot" twice."""
    birds = table(tmp_path / "b.parquet", ["crane", "heron"])
    assert '"crane"' in refusal(id_test=birds, classes=("crane", "heron", "crane"))
    found = built(id_test=table(tmp_path / "h.parquet", ["heron"]), classes=("crane", "heron", "crane")).id_test
    assert found is not None and found.labels.tolist() == [1]


# ---- names that look alike


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("hot dog", "Hot_Dog ", True), ("hot-dog", "hotdog", True), ("zero\u200bwidth", "zerowidth", True),
        ("ｗｉｄｅ", "wide", True), ("STRASSE", "straße", True), ("class 01", "class 1", False), ("01", "1", True),
        ("1_2", "12", False), ("1-11", "11-1", False), ("-1", "1", False), ("A", "a", False), ("c", "c++", False),
        ("resume", "résumé", False),
    ],
)  # fmt: skip
def test_what_a_reader_overlooks(one: str, other: str, alike: bool) -> None:
    assert (folded(one) == folded(other)) is alike


def test_classes_of_one_set_that_look_alike(tmp_path: Path) -> None:
    log = Log()
    counts = {"hot dog": 20, "Hot dog": 12, "hot_dog": 10, "a": 10, "A": 10, "cat": 10}
    built(log, train=folder(tmp_path / "train", counts))
    (said,) = [entry["text"] for entry in log.warnings if entry["code"] == "classes-alike"]
    assert "3 of its 6 classes" in said and all(f'"{name}" ({counts[name]})' in said for name in list(counts)[:3])
    assert '"a"' not in said
    log = Log()
    built(log, train=folder(tmp_path / "other", {"hot dog": 20, "cat": 10}))
    assert not log.warnings
    shown = inside("data", tmp_path / "train")
    assert "differ in case or spaces" in shown.stderr


def test_unmatched_names_that_look_alike_are_all_counted(tmp_path: Path) -> None:
    own = [f"Class_{letter}x" for letter in "abcde"]
    text = similar_names(own, [f"class {letter}x" for letter in "abcde"])
    assert '"Class_ax" and "class ax"' in text and "2 more pairs" in text
    log = Log()
    train = table(tmp_path / "t.parquet", ["snow leopard", "cat"] * 20)
    data = built(log, train=train, ood={"f": table(tmp_path / "f.parquet", ["snow_leopard", "cat"], None, 100)}).ood[
        "f"
    ]
    assert data.dropped == 1 and '"snow_leopard" and "snow leopard"' in log.warnings[0]["text"]


# ---- heads


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network under heads whose rows, with their names, stand in several orders; and two sets."""
    root = tmp_path_factory.mktemp("heads")
    count = [str(i) for i in range(12)]
    places = {
        "counted": count, "sorted": sorted(count), "backwards": count[::-1], "padded": [f"{i:02d}" for i in range(12)],
        "words": [f"w{i}" for i in range(12)], "turned": [f"w{i}" for i in range(12)][::-1],
        "others": [f"v{i}" for i in range(12)], "long": [*count, "12"],
    }  # fmt: skip
    first = loaded("test_resnet", 12)
    for name, labels in places.items():
        save_model(root / name, first, first.model, labels[:12])
        order = [int(label.lstrip("wv")) for label in labels[:12]]
        state = load_file(root / name / "model.safetensors")
        save_file(state | {key: state[key][order].contiguous() for key in ("fc.weight", "fc.bias")},
                  root / name / "model.safetensors")  # fmt: skip
    config = json.loads((root / "long" / "config.json").read_text())
    config["label_names"] = places["long"]
    (root / "long" / "config.json").write_text(json.dumps(config))
    for start, labels in (("set", places["counted"]), ("wset", places["words"])):
        coloured(root / start, classes=12, each=4, noise=300)
        for i, label in enumerate(labels):
            (root / start / f"class{i}").rename(root / start / label)
    return root


PAIRS = [("sorted", "backwards", "set"), ("counted", "padded", "set"), ("words", "turned", "wset")]


def asked(place: Path, command: str, a: str, b: str, data: str, *more: Any) -> dict[str, Any]:
    return inside(command, place / a, place / b, "--id-test", place / data, *SIZES, *more).report


@pytest.mark.parametrize(("a", "b", "data"), PAIRS)
def test_one_function_under_two_orders_of_its_head(place: Path, tmp_path: Path, a: str, b: str, data: str) -> None:
    found = asked(place, "agreement", a, b, data, "--out", tmp_path / "a")["agreement"]["pairs"][0]["sets"]["id_test"]
    assert found["agreement"] == 1.0 and found["uncommon"] == 0 < found["common"] < found["n"]
    found = asked(place, "interpolate", a, b, data, "--points", 3, "--soup", place / a, "--out", tmp_path / "i")
    losses = [one["raw"]["id_test"]["loss"] for one in found["interpolation"]["points"]]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5) and found["interpolation"]["head"] == "interpolated"
    soup = found["interpolation"]["soups"]["raw"]["uniform"]["sets"]["id_test"]["loss"]
    assert soup == pytest.approx(losses[0], rel=1e-5)
    found = asked(place, "distortion", a, b, data, "--out", tmp_path / "d")
    assert found["parameters"]["fc"]["l2"] == 0 == found["parameters"]["total"]["l2"]


@pytest.mark.parametrize(("a", "data"), [("backwards", "set"), ("turned", "wset")])
def test_figures_of_one_model_go_by_name(place: Path, tmp_path: Path, a: str, data: str) -> None:
    """So do those of criticality, which come from the head of B alone."""
    straight = "words" if data == "wset" else "counted"
    judged = [
        inside("evaluate", place / one, "--id-test", place / data, *SIZES, "--out", tmp_path / one).report
        for one in (straight, a)
    ]
    one, other = (entry["results"]["id_test"] for entry in judged)
    assert one["accuracy"] == other["accuracy"] and one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    grid = ["--train", place / data, "--alphas", "1", "--sigmas", "0.01", "--draws", 1, "--images", 24, *SIZES]
    errors = [
        inside("criticality", place / "others", place / one, *grid, "--out", tmp_path / f"c{one}").report["criticality"]
        for one in (straight, a)
    ]
    assert errors[0]["error"] == errors[1]["error"] > 0


def test_heads_of_other_names_are_left_alone(place: Path, tmp_path: Path) -> None:
    found = asked(place, "distortion", "words", "others", "wset", "--out", tmp_path / "d")
    assert "fc" not in found["parameters"] and "head-left-out" in [one["code"] for one in found["warnings"]]
    found = asked(place, "interpolate", "others", "words", "wset", "--points", 2, "--out", tmp_path / "i")
    assert found["interpolation"]["head"] == "b"
    said = refused("agreement", place / "words", place / "others", "--id-test", place / "wset", out=tmp_path / "a")
    assert '"v0"' in said


def test_the_start_s_head_is_compared_row_by_row(place: Path, tmp_path: Path) -> None:
    """Training starts from a fresh head, so that two orders of the checkpoint's rows make the same model."""
    found = [
        inside(
            "finetune", "--checkpoint", place / one, "--train", place / "wset", "--id-val", place / "wset", "--id-test",
            place / "wset", "--lr", 1e-3, "--epochs", 1, "--measure", "distortion", *SMALL, "--json", "--out",
            tmp_path / one,
        ).report["parameters"]
        for one in ("words", "turned", "others")
    ]  # fmt: skip
    assert found[0]["fc"]["l2"] == pytest.approx(found[1]["fc"]["l2"], rel=1e-6) and "fc" not in found[2]
    assert found[0]["layer1"] == found[1]["layer1"] == found[2]["layer1"]


def test_label_names_that_are_not_of_the_head(place: Path, tmp_path: Path) -> None:
    done = inside("evaluate", place / "long", "--id-test", place / "set", *SIZES, "--out", tmp_path / "o")
    assert {"label-names-left-out", "rows-by-number"} == {one["code"] for one in done.report["warnings"]}
    assert "13 label names" in done.stderr and "12 rows" in done.stderr


def test_a_name_twice_is_no_order(tmp_path: Path) -> None:
    assert correspond(("a", "a", "b"), ("a", "a", "b"), "x")[0].tolist() == [0, 1, 2]
    with pytest.raises(RequestError, match="two of that name"):
        correspond(("a", "b", "c"), ("a", "c", "a"), "x")
    assert np.array_equal(correspond(("b", "c"), ("a", "c", "a"), "x")[0], [-1, 1])


@pytest.mark.parametrize(("classes", "said"), [(12, True), (100, True), (10, False)])
def test_rows_without_names_and_folders_of_numbers(tmp_path: Path, classes: int, said: bool) -> None:
    """Sorted as text, eleven folders and more stand in another order."""
    root = folder(tmp_path / "set", {str(i): 1 for i in range(classes)})
    table_ = numbered(tmp_path / "t.parquet", list(range(classes)), first=500)
    for data, told in ((root, said), (table_, False)):
        log = Log()
        built(log, id_test=data, num_classes=classes)
        assert ("rows-by-number" in {entry["code"] for entry in log.warnings}) == told
    log = Log()
    built(log, id_test=root, classes=tuple(sorted(map(str, range(classes)))))
    assert "rows-by-number" not in {entry["code"] for entry in log.warnings}

"""--cut-by: whole groups on one side of a cut, sizes against the best of all choices, and what is refused or said."""

from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftcli.data.cuts.by_group import cut_by_group, join_groups
from ftcli.data.task import Task, build_task
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import encoded, picture
from tests.helpers.program import SMALL, checkpoint, inside, read


def rows_of(sizes: list[int], classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Strata and groups: so many rows of each group, their classes drawn."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.RandomState(seed).randint(0, classes, len(groups)), groups


def share(groups: np.ndarray, chosen: np.ndarray) -> float:
    return float(np.isin(groups, chosen).mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("case", range(40))
def test_sizes_are_near_the_best_that_whole_groups_allow(case: int, seed: int) -> None:
    draw = np.random.RandomState(case)
    sizes = draw.randint(1, 10 ** draw.randint(1, 4), draw.randint(3, 13)).tolist()
    strata, groups = rows_of(sizes)
    validation, test = cut_by_group(strata, groups, seed)
    assert len(validation) and len(test) and not set(validation) & set(test)
    assert len(validation) + len(test) < len(sizes)
    every = chain.from_iterable(combinations(range(len(sizes)), k) for k in range(1, len(sizes) - 1))
    best = min(abs(sum(sizes[g] for g in some) / len(groups) - 0.1) for some in every)
    assert abs(share(groups, validation) - 0.1) <= max(0.03, best + 0.03)


def test_small_groups_give_ten_per_cent_of_every_class() -> None:
    draw = np.random.RandomState(1)
    strata, groups = rows_of(draw.randint(1, 9, 2_000).tolist(), classes=20)
    for chosen in cut_by_group(strata, groups, seed=3):
        assert share(groups, chosen) == pytest.approx(0.1, abs=0.005)
        shares = np.bincount(strata[np.isin(groups, chosen)], minlength=20) / np.bincount(strata)
        assert shares == pytest.approx(np.full(20, 0.1), abs=0.03)


def test_classes_of_few_examples_do_not_keep_the_cut_small() -> None:
    """A quota of half an example a class: no class alone asks for a group."""
    strata = np.tile(np.arange(345), 4)
    validation, test = cut_by_group(strata, np.arange(len(strata)), seed=0)
    assert len(validation) == len(test) == 138


def test_the_seed_decides_and_validation_does_not_depend_on_test() -> None:
    strata, groups = rows_of([50] * 12)
    found = {seed: tuple(map(tuple, cut_by_group(strata, groups, seed))) for seed in range(30)}
    assert len({validation for validation, _ in found.values()}) > 5
    assert all(len(validation) == len(test) == 1 for validation, test in found.values())
    again = cut_by_group(strata, groups, 7)
    assert tuple(map(tuple, again)) == found[7]


def test_order_of_rows_changes_no_choice() -> None:
    strata, groups = rows_of([5, 9, 30, 7, 7, 12, 40, 3])
    shuffled = np.random.RandomState(0).permutation(len(groups))
    again = cut_by_group(strata[shuffled], groups[shuffled], 1)
    for one, other in zip(cut_by_group(strata, groups, 1), again, strict=True):
        assert one.tolist() == other.tolist()


def test_groups_too_large_for_a_tenth_give_the_smallest() -> None:
    strata, groups = rows_of([70, 40, 60])
    validation, test = cut_by_group(strata, groups, seed=0)
    assert validation.tolist() == [1] and test.tolist() == [2]
    strata, groups = rows_of([1, 1, 98])  # two that are near ten per cent together, and none left for test
    assert sorted(np.concatenate(cut_by_group(strata, groups, seed=0))) == [0, 1]


def test_groups_that_share_images_are_joined_in_however_many_steps() -> None:
    groups = np.array(["d", "a", "b", "b", "c", "c", "e", "d"])
    images = [b"1", b"2", b"2", b"3", b"3", b"4", b"5", b"6"]
    number, joined = join_groups(groups, images)
    assert joined == [["a", "b", "c"]]
    assert number.tolist() == [1, 0, 0, 0, 0, 0, 2, 1]
    assert join_groups(groups, [bytes([i]) for i in range(8)])[1] == []


def sites(root: Path, sites: list[str | None], copies: dict[int, int] | None = None) -> Path:
    """A table with a `site` column; copies: row → the row whose picture it has."""
    seeds = [(copies or {}).get(i, i) for i in range(len(sites))]
    columns = {"image": [encoded(picture(seed)) for seed in seeds], "label": list("ab") * (len(sites) // 2)}
    pq.write_table(pa.table(columns | {"site": sites}), root / "sites.parquet")
    return root / "sites.parquet"


def built(train: str | Path, log: Log | None = None, **options: object) -> Task:
    settings = {"id_val": None, "id_test": None, "split_seed": 0, "cut_by": "site"} | options
    return build_task(train=str(train), ood=[], damaged="stop", log=log or Log(), **settings)  # type: ignore[arg-type]


def refusal(train: str | Path, **options: object) -> str:
    with pytest.raises(RequestError) as caught:
        built(train, **options)
    return f"{caught.value.problem} | {caught.value.fix}"


TWELVE = [f"s{i % 12}" for i in range(240)]


def site_of(path: Path, ids: list[str]) -> set[str]:
    column = pq.read_table(path)["site"].to_pylist()
    return {column[int(id)] for id in ids}


def test_no_site_is_on_two_sides(tmp_path: Path) -> None:
    path = sites(tmp_path, list(TWELVE))
    task = built(path)
    held = [site_of(path, data.ids) for data in (task.train, task.id_val, task.id_test) if data]
    assert set.union(*held) == set(TWELVE) and sum(map(len, held)) == 12
    assert task.id_val and task.id_val.cut and task.id_val.cut.share == len(task.id_val) / 240 == 1 / 12
    assert (task.id_val.cut.groups, task.id_val.cut.of_groups, task.id_val.cut.by) == (1, 12, "site")
    other = built(path, split_seed=1)
    assert other.id_val and other.id_val.ids != task.id_val.ids


def test_validation_is_the_same_where_test_is_given(tmp_path: Path) -> None:
    path = sites(tmp_path, list(TWELVE))
    (tmp_path / "test").mkdir()
    test = sites(tmp_path / "test", ["x"] * 10, {i: 1000 + i for i in range(10)})
    one, other = built(path), built(path, id_test=str(test))
    assert one.id_val and other.id_val and one.id_val.ids == other.id_val.ids
    only_test = built(path, id_val=str(test))
    assert one.id_test and only_test.id_test and one.id_test.ids == only_test.id_test.ids


def test_what_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    one = sites(tmp_path, ["only"] * 20)
    assert 'has 1 group in the column "site"; train, id_val and id_test need one each, 3 in all' in refusal(one)
    two = sites(tmp_path, ["a", "b"] * 10)
    assert "has 2 groups" in refusal(two)
    (tmp_path / "test").mkdir()
    test = sites(tmp_path / "test", ["x"] * 10, {i: 1000 + i for i in range(10)})
    task = built(two, id_test=str(test))
    assert task.id_val and len(task.id_val) == 10  # of two groups one is cut
    assert "nothing is cut" in refusal(two, id_val=str(test), id_test=str(test))
    assert 'did you mean "site"?' in refusal(two, cut_by="sites")
    empty = sites(tmp_path, [*["a", "b", "c"] * 6, None, "a"])
    assert 'row "18"' in refusal(empty) and "--cut-by column" in refusal(empty)


def test_copies_join_their_groups_and_it_is_said(tmp_path: Path) -> None:
    """Rows 0 (s0) and 1 (s1), and 2 (s2) and 13 (s1), are one picture each."""
    path, log = sites(tmp_path, list(TWELVE), {1: 0, 13: 2}), Log()
    for seed in range(6):
        task = built(path, log, split_seed=seed)
        for data in (task.train, task.id_val, task.id_test):
            assert data and len({"s0", "s1", "s2"} & site_of(path, data.ids)) in (0, 3)
    said = next(warning["text"] for warning in log.warnings if warning["code"] == "groups-joined")
    assert '"s0", "s1", "s2"' in said
    three = sites(tmp_path, ["a", "b", "c", "c"] * 5, {1: 0})
    assert "count as one" in refusal(three)


def test_a_share_far_from_ten_per_cent_and_missing_classes_are_said(tmp_path: Path) -> None:
    log = Log()
    built(sites(tmp_path, ["a", "b"] * 8 + ["c", "d"] * 12), log)  # label a lies at a and c alone
    texts = {code: [w["text"] for w in log.warnings if w["code"] == code] for code in ("cut-share", "cut-classes")}
    assert len(texts["cut-share"]) == 2 and "20.0 % of" in texts["cut-share"][0]
    assert len(texts["cut-classes"]) == 2 and "has no example of" in texts["cut-classes"][0]


def test_from_the_command_line(tmp_path: Path) -> None:
    """Twelve sites: the report says what was cut, and one site is refused before anything is written."""
    path, model = sites(tmp_path, list(TWELVE)), checkpoint(tmp_path / "model")
    words = ["probe", "--checkpoint", model, *SMALL, "--cut-by", "site"]
    done = inside(*words, "--train", path, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    data = read(tmp_path / "run")["data"]
    assert data["id_val"]["cut"] == {"by": "site", "groups": 1, "of_groups": 12, "share": 20 / 240}
    assert "cut" not in data["train"] and "8.3 % cut" in data["id_test"]["spec"]
    predicted = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pydict()
    by_set: dict[str, set[str]] = {}
    for name, example in zip(predicted["set"], predicted["example"], strict=True):
        by_set.setdefault(name, set()).update(site_of(path, [example]))
    assert len(by_set["id_val"]) == len(by_set["id_test"]) == 1 and by_set["id_val"] != by_set["id_test"]
    planned = inside(*words, "--train", path, "--dry-run")
    assert planned.returncode == 0 and "--cut-by" in planned.stdout and "of 12" in planned.stdout
    other = inside(*words[:-2], "--train", path, "--out", tmp_path / "run", "--resume")
    assert other.returncode == 2 and "--cut-by site" in other.stderr
    (tmp_path / "one").mkdir()
    one = inside(*words, "--train", sites(tmp_path / "one", ["s"] * 24), "--out", tmp_path / "none")
    assert one.returncode == 2 and "1 group" in one.stderr and not (tmp_path / "none").exists()
    nothing = inside("agreement", model, model, "--ood", f"far={path}", "--cut-by", "site")
    assert nothing.returncode == 2 and "no training set to cut" in nothing.stderr


def test_groups_of_one_size_are_not_exchanged_for_ever() -> None:
    groups = np.arange(48) % 6  # 8 rows each: 3.2 too many, which no exchange mends
    validation, test = cut_by_group(np.zeros(48, dtype=np.int64), groups, 0)
    assert len(validation) == len(test) == 1 and set(validation) != set(test)

"""Mistakes of two models against plain sets and scikit-learn; the tables and the rows of the contact sheet."""

from operator import eq
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from sklearn.metrics import cohen_kappa_score, jaccard_score

from ftcli.data.examples import open_images
from ftcli.data.specs.parse import parse
from ftcli.data.task import Task
from ftcli.explain.agreement.measure import DISJOINT, KINDS, Pair, describe_pair
from ftcli.explain.agreement.mistake_sheet import mistake_rows
from ftcli.explain.agreement.tables import tables
from ftcli.explain.agreement.types import Agreement, PairMistakes, SharedMistakes
from ftcli.log import Log
from ftcli.measures.paired import bootstrap_difference
from tests.helpers.program import PAINT
from tests.helpers.reports import model_named, report_with
from tests.helpers.worlds import coloured

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox")  # nothing is a fox


def drawn(seed: int, n: int = 400, right: tuple[float, float] = (0.7, 0.6)) -> Pair:
    """Labels among the first five classes, and two models that are right so often and else say anything."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, n)
    said = [np.where(rng.random(n) < share, labels, rng.integers(0, 6, n)) for share in right]
    return Pair(labels, *said)


def plain(pair: Pair) -> dict[str, set[int]]:
    """Every kind of mistake as a set of indices, from the sets of errors."""
    a, b = (
        {i for i, (true, one) in enumerate(zip(pair.labels, said, strict=True)) if true != one}
        for said in (pair.first, pair.second)
    )
    return {"common": a & b, "uncommon": a ^ b, "g1": a - b, "g2": b - a, "either": a | b}


@pytest.mark.parametrize("seed", range(5))
def test_mistakes_are_those_of_plain_sets(seed: int) -> None:
    pair = drawn(seed)
    found = pair.describe(CLASSES, [f"{i}.png" for i in range(400)], 0)
    sets = plain(pair)
    for kind in KINDS:
        assert set(np.flatnonzero(pair.mistakes(kind)).tolist()) == sets[kind]
        assert found[kind] == len(sets[kind]) > 0
        for row in found["per_class"]:
            k = CLASSES.index(row["name"])
            assert row[kind] == sum(pair.labels[i] == k for i in sets[kind])
            assert row["n"] == (pair.labels == k).sum()
    assert [row["name"] for row in found["per_class"]] == list(CLASSES[:5])
    for kind in DISJOINT:
        assert found["examples"][kind]["indices"] == sorted(sets[kind])
        assert found["examples"][kind]["ids"] == [f"{i}.png" for i in sorted(sets[kind])]
    assert found["jaccard"] == pytest.approx(len(sets["common"]) / len(sets["either"]))


@pytest.mark.parametrize("seed", range(5))
def test_agreement_kappa_and_jaccard_are_scikit_learns(seed: int) -> None:
    pair = drawn(seed, n=137)
    a, b = pair.wrong
    assert pair.kappa() == pytest.approx(cohen_kappa_score(pair.first, pair.second), abs=1e-12)
    assert pair.jaccard() == pytest.approx(jaccard_score(a, b), abs=1e-12)
    assert pair.agreement() == pytest.approx(sum(map(eq, pair.first, pair.second)) / 137)


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_is_paired_and_tested(seed: int) -> None:
    pair = drawn(seed)
    found, sets = pair.difference(seed), plain(pair)
    g1, g2 = len(sets["g1"]), len(sets["g2"])
    right = [(said == pair.labels).astype(float) for said in (pair.first, pair.second)]
    assert found["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert found["p"] == pytest.approx(stats.binomtest(g1, g1 + g2, 0.5).pvalue, rel=1e-9)
    assert found["ci95"] == bootstrap_difference(*right, seed=seed)
    assert found["ci95"][0] < found["difference"] < found["ci95"][1]


def test_swapped_models_swap_what_only_one_gets_wrong() -> None:
    one = drawn(3)
    other = Pair(one.labels, one.second, one.first)
    for here, there in {"common": "common", "uncommon": "uncommon", "g1": "g2", "g2": "g1"}.items():
        assert np.array_equal(one.mistakes(here), other.mistakes(there))
    assert one.jaccard() == other.jaccard() and one.kappa() == other.kappa() and one.agreement() == other.agreement()
    assert one.difference(0)["difference"] == -other.difference(0)["difference"]


def test_a_model_with_itself() -> None:
    one = drawn(4)
    found = Pair(one.labels, one.first, one.first).describe(CLASSES, [""] * 400, 0)
    assert found["common"] > 0 == found["uncommon"] == found["g1"] == found["g2"]
    assert found["jaccard"] == found["agreement"] == found["kappa"] == found["p"] == 1.0
    assert found["difference"] == 0.0 and found["ci95"] == [0.0, 0.0]


def test_what_is_not_defined_is_none() -> None:
    """No mistake has no share of common ones; two models that always say one thing do not agree beyond chance."""
    labels = np.array([0, 1, 2, 1])
    perfect = Pair(labels, labels, labels)
    assert perfect.jaccard() is None and perfect.kappa() == 1.0
    constant = Pair(labels, np.ones(4, np.int64), np.ones(4, np.int64))
    assert constant.kappa() is None and constant.jaccard() == 1.0 and constant.agreement() == 1.0
    apart = Pair(labels, np.zeros(4, np.int64), np.ones(4, np.int64))
    assert apart.kappa() == 0.0 and apart.agreement() == 0.0


def test_values_of_other_lengths_or_none_are_refused() -> None:
    for sizes in ((3, 3, 2), (3, 2, 3), (0, 0, 0)):
        with pytest.raises(ValueError, match="same examples"):
            Pair(*(np.zeros(size, np.int64) for size in sizes))


def test_holm_goes_over_the_sets_of_a_pair() -> None:
    """By its definition: p times how many are at least as large, and never below a smaller one's."""
    by_set = {name: drawn(seed, right=shares) for seed, (name, shares) in enumerate({
        "id_test": (0.7, 0.68), "near": (0.7, 0.63), "far": (0.7, 0.4),
    }.items())}  # fmt: skip
    found = describe_pair(by_set, CLASSES, {name: [""] * 400 for name in by_set}, 0)
    assert list(found) == list(by_set)
    ps = sorted(entry["p"] for entry in found.values())
    assert len(set(ps)) == 3 and found["far"]["p"] == ps[0]
    for entry in found.values():
        upto = [min(1.0, p * (3 - i)) for i, p in enumerate(ps) if p <= entry["p"]]
        assert entry["p_holm"] == pytest.approx(max(upto))


def test_the_rows_of_a_sheet_are_shared_among_its_sets(tmp_path: Path) -> None:
    """Forty rows for 45 classes in two sets: twenty each, those with the most mistakes, in the order of the classes."""
    images = open_images(parse(str(coloured(tmp_path, classes=45, each=3))), Log(), damaged="stop")
    data = images
    task = Task(images.classes, True, None, None, None, {"near": data, "far": data})
    wrong = np.where(np.arange(len(data)) % 3 < data.labels % 4, (data.labels + 1) % 45, data.labels)  # 0 to 3 of each
    rows = list(mistake_rows(dict.fromkeys(task.ood, Pair(data.labels, wrong, data.labels)), task, "g1"))
    for name, shown in (("near", rows[:20]), ("far", rows[20:])):
        assert {row.label[1] for row in shown} == {f"({name})"}
        places = [images.classes.index(row.label[0]) for row in shown]
        assert places == sorted(places) and len(places) == 20
    made = {k: int((wrong != data.labels)[data.labels == k].sum()) for k in range(45)}
    kept = [made[images.classes.index(row.label[0])] for row in rows[:20]]
    assert sorted(kept) == sorted(made.values())[-20:]
    assert rows[0].captions[0] == [f"A: {images.classes[wrong[rows[0].examples[0]]]}", f"B: {rows[0].label[0]}"]


def shown(sets: dict[str, SharedMistakes], width: int) -> str:
    console = Console(width=width, file=open("/dev/null", "w"), record=True)  # noqa: SIM115
    models, pairs = [model_named("one"), model_named("two")], [PairMistakes("one", "two", sets)]
    for part in tables(report_with("agreement", models=models, agreement=Agreement(pairs)), width):
        console.print(part)
    return console.export_text()


def test_of_many_classes_the_table_shows_those_with_the_most_mistakes() -> None:
    rng = np.random.default_rng(0)
    names = [f"class {k:02}" for k in range(45)] + [PAINT]
    labels = np.repeat(np.arange(46), 40)
    said = [np.where(rng.random(len(labels)) < labels / 45, 0, labels) for _ in range(2)]
    sets = describe_pair({"far": Pair(labels, *said)}, names, {"far": [""] * len(labels)}, 0)
    text = shown(sets, 80)
    rows = [line for line in text.splitlines() if line.startswith("class ") and line.split()[1].isdigit()]
    assert len(rows) == 19 and "26 more" in text  # 19, and the one that would paint
    assert "\x1b" not in text and PAINT.replace("\x1b", "\N{REPLACEMENT CHARACTER}") in text
    either = {row["name"]: row["common"] + row["uncommon"] for row in sets["far"]["per_class"]}
    kept = {line[:8] for line in rows} | {PAINT}
    assert max(n for name, n in either.items() if name not in kept) <= min(either[name] for name in kept)


def test_what_is_not_defined_is_a_dash() -> None:
    labels = np.zeros(5, np.int64)
    sets = describe_pair({"id_test": Pair(labels, labels, labels)}, ["a", "b"], {"id_test": [""] * 5}, 0)
    row = next(line for line in shown(sets, 120).splitlines() if line.startswith("ID-test  "))
    assert row.split()[1:] == ["5", "0", "0", "0", "-", "100.0", "-", "+0.0", "[0.0,", "0.0]", "1"]

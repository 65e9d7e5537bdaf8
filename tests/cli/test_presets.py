"""Presets on miniatures of their data: what is counted, named, grouped, and said where something is missing."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from torchvision.datasets import STL10

from ftcli.cli.help import rows
from ftcli.commands import COMMANDS, options_class
from ftcli.data.columns.value_list import values_of
from ftcli.data.examples import examples_of
from ftcli.data.sources.source import open_source
from ftcli.data.specs.condition import read_condition
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.presets import DESCRIPTION, FOLDER, options_of, preset_names, read_preset
from ftcli.presets.placing import paths_below, put_root
from ftcli.presets.published import published_for
from ftcli.presets.sets import sets_of
from tests.helpers import miniatures as mini
from tests.helpers.program import inside

DOMAINNET40 = json.loads((FOLDER / "maps/domainnet40.json").read_text())
BIRDS = "y={}, place={}".format
HAIR = "Blond_Hair={}, Male={}".format
CIFAR = {"train": (100, 10), "id_test": (40, 10)}  # 6 + 4 · 1 and 4 images of each class


def breeds(name: str) -> mini.Maker:
    maps = [json.loads((FOLDER / f"maps/{name}-{side}.json").read_text()) for side in ("source", "target")]
    return lambda root: mini.breeds(root, {wnid for one in maps for wnid in one} - {"*"})


def corrupted(preset: str) -> list[str]:
    return [one.name for one in sets_of(read_preset(preset)) if one.role == "ood"]


def domainnet40(root: Path) -> None:
    """The 40 classes and two more, by the official numbers, in whose order they are not sorted."""
    names = [*sorted(set(DOMAINNET40) - {"*"}), "aircraft_carrier", "zigzag"]
    mini.domainnet(root, ("sketch", "real", "painting", "clipart"), names, range(len(names), 0, -1))


def domainnet345(domain: str) -> mini.Maker:
    return lambda root: mini.domainnet(root, (domain,), [f"class_{i:03d}" for i in range(345)], range(345))


class Case(NamedTuple):
    """make: writes the miniature. sets: (images, classes) of each set. groups: images of the groups of some sets.
    labels: the class of the images whose ids begin so, by set.
    """

    make: mini.Maker
    sets: dict[str, tuple[int, int]]
    groups: Mapping[str, dict[str, int]] = MappingProxyType({})
    labels: Mapping[str, dict[str, str]] = MappingProxyType({})


def each(corruptions: list[str], size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return {name: size for name in corruptions}


CASES = {
    "living17": Case(
        breeds("living17"), {"train": (102, 17), "id_test": (68, 17), "target": (68, 17)},
        labels={
            "train": {"n01631663/": "salamander", "n01632777/": "salamander"},  # eft, axolotl
            "target": {"n01630670/": "salamander", "n01632458/": "salamander", "n02114548/": "wolf"},
        },
    ),
    "entity30": Case(
        breeds("entity30"), {"train": (360, 30), "id_test": (240, 30), "target": (240, 30)},
        labels={"id_test": {"n01749939/": "serpentes"}, "target": {"n07579787/": "tableware", "n12768682/": "fruit"}},
    ),
    "domainnet": Case(
        domainnet40, {"train": (80, 40), "id_test": (40, 40), **each(["real", "painting", "clipart"], (40, 40))},
        labels={"real": {"real/donut/": "donut", "real/butterfly/": "butterfly"}},
    ),
    "cifar-stl": Case(lambda root: (mini.cifar10(root), mini.stl10(root)), {**CIFAR, "stl": (18, 9)}),
    "cifar10.1": Case(mini.cifar10_1, {**CIFAR, "cifar10.1": (30, 10)}),
    "fmow": Case(
        mini.fmow,
        {"train": (4, 2), "id_val": (2, 2), "id_test": (4, 2), "africa": (2, 2), "europe": (4, 2)},
        labels={"train": {"2": "airport", "5": "zoo"}, "africa": {"20": "airport", "21": "zoo"}},
    ),
    "imagenet": Case(
        mini.imagenet,
        {"train": (1000, 1000), "id_test": (1000, 1000), "v2": (1000, 1000), "r": (200, 200), "a": (200, 200),
         "sketch": (1000, 1000)},
        labels={"v2": {"10/": mini.SYNSETS[10], "100/": mini.SYNSETS[100], "999/": mini.SYNSETS[999]}},
    ),
    "camelyon17": Case(
        mini.camelyon17, {"train": (12, 2), "id_val": (6, 2), "hospital2": (6, 2), "hospital1": (6, 2)},
        labels={"hospital2": {"12": "normal", "13": "tumor"}},
    ),
    "waterbirds": Case(
        mini.waterbirds,
        {"train": (20, 2), "val": (12, 2), "test": (16, 2), "surgical/train": (12, 2), "surgical/id_test": (16, 2)},
        {
            "train": {BIRDS(0, 0): 12, BIRDS(0, 1): 1, BIRDS(1, 0): 1, BIRDS(1, 1): 6},
            "test": {BIRDS(0, 0): 5, BIRDS(0, 1): 5, BIRDS(1, 0): 3, BIRDS(1, 1): 3},
        },
        {"train": {"0": "landbird", "19": "waterbird"}},
    ),
    "celeba": Case(
        mini.celeba, {"train": (162770, 2), "id_val": (19867, 2), "id_test": (19962, 2)},
        {"train": {HAIR(-1, -1): 65108, HAIR(-1, 1): 32554, HAIR(1, -1): 32554, HAIR(1, 1): 32554}},
    ),
    "cifar10-c": Case(
        lambda root: mini.cifar10_c(root, corrupted("cifar10-c"), each=201),
        {**CIFAR, **each(corrupted("cifar10-c"), (2010, 10)), "surgical/train": (1000, 10),
         "surgical/id_val": (100, 10), "surgical/id_test": (900, 10)},
    ),
    "imagenet-c": Case(
        lambda root: mini.imagenet_c(root, corrupted("imagenet-c"), whole="gaussian_noise"),
        {"train": (12, 12), "id_test": (12, 12), **each(corrupted("imagenet-c"), (12, 12)), "gaussian_noise": (300, 12),
         "surgical/train": (60, 12), "surgical/id_val": (120, 12), "surgical/id_test": (120, 12)},
    ),
    "cifar-flip": Case(
        lambda root: mini.cifar10(root, each=200),
        {"train": (100, 10), "id_test": (2000, 10), "flip": (2000, 10), "surgical/train": (1000, 10),
         "surgical/id_val": (100, 10), "surgical/id_test": (900, 10)},
    ),
    **{
        f"domainnet-{domain}": Case(domainnet345(domain), {"train": (690, 345), "id_test": (345, 345)})
        for domain in ("real", "clipart", "quickdraw")
    },
    "pacs": Case(
        lambda root: mini.domains(
            root, "PACS", ("photo", "art_painting", "cartoon", "sketch"),
            ["dog", "elephant", "giraffe", "guitar", "horse", "house", "person"],
        ),
        {"train": (14, 7), **each(["art_painting", "cartoon", "sketch"], (14, 7))},
    ),
    "officehome": Case(
        lambda root: mini.domains(
            root, "office_home", ("Real World", "Art", "Clipart", "Product"), [f"Thing_{i}" for i in range(65)]
        ),
        {"train": (130, 65), **each(["art", "clipart", "product"], (130, 65))},
    ),
    "vlcs": Case(
        lambda root: mini.domains(
            root, "VLCS", ("VOC2007", "Caltech101", "LabelMe", "SUN09"), ["bird", "car", "chair", "dog", "person"]
        ),
        {"train": (10, 5), **each(["caltech101", "labelme", "sun09"], (10, 5))},
    ),
    "terra": Case(
        lambda root: mini.domains(
            root, "terra_incognita", [f"location_{i}" for i in (38, 43, 46, 100)],
            ["bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel"],
        ),
        {"train": (20, 10), **each(["location_43", "location_46", "location_100"], (20, 10))},
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def root_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a preset's miniature, written once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            root = tmp_path_factory.mktemp("root") / "a=b & 100%?"  # each character has a meaning in a SPEC
            root.mkdir()
            CASES[name].make(root)
            made[name] = root
        return made[name]

    return get


@pytest.fixture(autouse=True)
def any_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision compares its files with published checksums, which a miniature cannot have."""
    monkeypatch.setattr(STL10, "_check_integrity", lambda self: True)


def test_every_preset_has_a_miniature() -> None:
    assert {*CASES, "digits"} == {*preset_names()}


@pytest.mark.parametrize("name", CASES)
def test_sets_are_counted(name: str, root_of: Callable[[str], Path]) -> None:
    """Images, classes and groups of every set, by hand; they are not the published ones, so the check fails."""
    done = inside("presets", name, "--root", root_of(name), "--check", "--json", "-q")
    assert done.returncode == 1, done.stderr
    found, case = json.loads(done.stdout), CASES[name]
    assert found["missing"] == [] and not found["right"]
    assert {key: one["problem"] for key, one in found["sets"].items() if one["problem"]} == {}
    assert {key: (one["n"], one["classes"]) for key, one in found["sets"].items()} == case.sets
    for key, groups in case.groups.items():
        assert found["sets"][key]["groups"] == groups


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.labels])
def test_labels_are_those_of_the_task(name: str, root_of: Callable[[str], Path]) -> None:
    specs = {one.name: put_root(one.spec, str(root_of(name))) for one in sets_of(read_preset(name))}
    for key, labels in CASES[name].labels.items():
        images = examples_of(open_source(parse(specs[key]), Log()), Log())
        classes = {id: images.classes[label] for id, label in zip(images.ids, images.labels, strict=True)}
        for part, expected in labels.items():
            there = {label for id, label in classes.items() if (id.startswith(part) if "/" in part else part == id)}
            assert there == {expected}, (key, part)


@pytest.mark.parametrize("name", ["cifar10-c", "imagenet-c", "cifar-flip"])
def test_the_sets_of_surgical_share_no_image(name: str, root_of: Callable[[str], Path]) -> None:
    sets = [put_root(one.spec, str(root_of(name))) for one in sets_of(read_preset(name)) if one.command == "surgical"]
    ids = [examples_of(open_source(parse(spec), Log()), Log()).ids for spec in sets]
    assert len(ids) == 3 and len(set().union(*ids)) == sum(map(len, ids))


def test_predictions_keep_to_the_classes_of_a_set(root_of: Callable[[str], Path], tmp_path: Path) -> None:
    """Of STL-10 nine classes are left: no frogs."""
    words = ["--checkpoint", "preset:digits/checkpoint", "--threads", 1, "--out", tmp_path / "run"]
    done = inside("probe", "--preset", "cifar-stl", "--root", root_of("cifar-stl"), *words, "--image-size", 32)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run/report.json").read_text())
    left = report["data"]["ood"]["stl"]["restricted_to"]
    assert [report["data"]["classes"][i] for i in range(10) if i not in left] == ["frog"]
    assert "LP, paper" in done.stdout and "85.1 ± 0.2" in done.stdout
    assert {row["set"]: row["accuracy"] for row in report["published"]} == {"id_test": 0.918, "stl": 0.851}
    assert report["config"]["root"] == str(root_of("cifar-stl")) and "{root}" not in json.dumps(report)


def test_published_figures_are_for_the_presets_own_sets() -> None:
    own = {
        "preset": "living17", "root": "/d", "train": "/d/imagenet/train?classes=preset:maps/living17-source.json",
        "id_test": "/d/imagenet/val?classes=preset:maps/living17-source.json", "id_val": None,
        "ood": ["target=/d/imagenet/val?classes=preset:maps/living17-target.json"],
    }  # fmt: skip
    rows = published_for("lpft", own)
    assert [(row["set"], row["accuracy"], row["plus_minus"]) for row in rows] == [
        ("id_test", 0.978, 0.002), ("target", 0.826, 0.003),
    ]  # fmt: skip
    assert "Kumar" in rows[0]["source"]
    assert [row["set"] for row in published_for("lpft", own | {"ood": ["target=/other"]})] == ["id_test"]
    assert published_for("lpft", own | {"train": "/other"}) == []
    assert published_for("lpft", own | {"preset": None}) == [] == published_for("evaluate", own)


def test_another_root_for_a_report_is_refused(root_of: Callable[[str], Path], tmp_path: Path) -> None:
    """The SPECs of a report have its own root in them: another one would change nothing, and be reported."""
    words = ["--checkpoint", "preset:digits/checkpoint", "--image-size", 32, "--threads", 1]
    done = inside("probe", "--preset", "pacs", "--root", root_of("pacs"), *words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    again = ["probe", "--config", tmp_path / "run/report.json", "--dry-run", "--root"]
    done = inside(*again, tmp_path)
    assert done.returncode == 2 and f"--root {tmp_path} changes nothing" in done.stderr
    assert inside(*again, root_of("pacs")).returncode == 0
    file = tmp_path / "place.toml"
    file.write_text('root = "/nowhere"\n')
    done = inside("probe", "--config", file, "--preset", "pacs", "--root", root_of("pacs"), *words, "--dry-run")
    assert done.returncode == 0, done.stderr  # what is typed wins


def test_a_missing_file_is_named_with_where_to_get_it(root_of: Callable[[str], Path], tmp_path: Path) -> None:
    words = ["--checkpoint", "preset:digits/checkpoint", "--dry-run"]
    done = inside("probe", "--preset", "living17", "--root", tmp_path, *words)
    assert done.returncode == 2 and not (tmp_path / "runs").exists()
    assert f'"{tmp_path}/imagenet/train": ImageNet\'s training images' in done.stderr
    assert "ILSVRC2012_img_train.tar" in done.stderr and "imagenet/val" in done.stderr
    done = inside("probe", "--preset", "living17", *words)
    assert done.returncode == 2 and 'add --root DIR, the folder that holds "imagenet"' in done.stderr
    done = inside("evaluate", "preset:digits/checkpoint", "--preset", "cifar-stl", "--root", tmp_path)
    assert done.returncode == 2 and "torchvision.datasets.CIFAR10" in done.stderr


@pytest.mark.parametrize("name", [name for name in CASES])
def test_a_check_of_an_empty_folder_names_every_file(name: str, tmp_path: Path) -> None:
    done = inside("presets", name, "--root", tmp_path, "--check")
    files = read_preset(name)["files"]
    assert done.returncode == 1 and f"0 of {len(sets_of(read_preset(name)))} sets" in done.stdout
    assert all(f"missing: {file['path']} (" in done.stdout for file in files)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--check"], "--check needs the name of a preset"),
        (["living17", "--check"], "add --root DIR"),
        (["living18", "--check"], '"living17"'),
    ],
)
def test_what_cannot_be_checked(words: list[str], said: str) -> None:
    done = inside("presets", *words)
    assert done.returncode == 2 and said in done.stderr


def test_a_check_of_what_is_as_published() -> None:
    done = inside("presets", "digits", "--check")
    assert done.returncode == 0 and "digits: 5 of 5 sets as published" in done.stdout


def test_the_list_and_one_preset_whole() -> None:
    listed = inside("presets").stdout
    assert all(f"\n{name} " in listed for name in preset_names())
    shown, content = inside("presets", "digits").stdout, inside("presets", "digits", "--json").report["digits"]
    assert content["title"] in shown and all(part in shown for part in content["ood"])
    shown = " ".join(inside("presets", "living17", COLUMNS="200").stdout.split())
    for part in (
        "--train {root}/imagenet/train?classes=preset:maps/living17-source.json", "valprep.sh", "target 1,700 17",
        "lpft target 82.6 0.3", "backbone of the paper: ResNet-50 pretrained by MoCo-v2",
    ):  # fmt: skip
        assert part in shown


@pytest.mark.parametrize(
    ("text", "placed"),
    [
        ("{root}", "a b%26"),
        ("{root}/c?label=y", "a b%26/c?label=y"),
        ("far={root}/c", "far=a b%26/c"),
        ("torchvision:STL10?root={root}&split=test", "torchvision:STL10?root=a b%26&split=test"),
        ("{root}/l.txt?root={root}/d", "a b%26/l.txt?root=a b%26/d"),
        ("x.csv?image={root}/{row}.png", "x.csv?image={root}/{row}.png"),  # a column
        ("./{root}/c", "./{root}/c"),
    ],
)
def test_root_is_put_in_its_place(text: str, placed: str) -> None:
    assert put_root(text, "a b&/") == placed
    assert put_root("{root}/c", "/") == "/c"
    assert bool(paths_below(text)) == (text != placed)


def test_every_file_of_a_preset_is_of_the_form() -> None:
    """Options exist, sets parse, counts and figures are of sets, maps are there."""
    options = {
        row.name.removeprefix("--").replace("-", "_") for command in COMMANDS for row in rows(options_class(command))
    }
    for name in preset_names():
        content = read_preset(name)
        shared, own = options_of(content)
        assert {*content} <= {*DESCRIPTION, *shared, *own} and {*own} <= {*COMMANDS}
        assert {*shared, *(key for options in own.values() for key in options)} <= options, name
        sets = sets_of(content)
        assert {*content["counts"]} == {one.name for one in sets}, name
        for one in sets:
            spec = parse(put_root(one.spec, "/data"))
            assert spec.classes is None or (FOLDER / spec.classes.removeprefix("preset:")).is_file()
            assert not one.groups or sum(one.groups.values()) in one.n
        for row in content.get("published", {}).get("figures", []):
            assert row["set"] in {"OOD", *(one.name for one in sets)} and row["command"] in COMMANDS
            assert row.get("choice") != "last", "the last layer of a paper is the head; the last block is another"
        assert {*re.findall(r"\b[a-z]+_[a-z0-9_]+\b", content["about"])} <= {one.name for one in sets}, name


PREPARED = {  # rows of the table of the papers' transforms in docs/protocols.md, and the presets of each
    "Kumar et al., DomainNet": ["domainnet"],
    "Kumar et al., Living-17 and Entity-30": ["living17", "entity30"],
    "Kumar et al., Camelyon17": ["camelyon17"],
    "Kumar et al., CIFAR and ImageNet": ["cifar-stl", "cifar10.1", "imagenet"],
    "Neyshabur et al., DomainNet": ["domainnet-real", "domainnet-clipart", "domainnet-quickdraw"],
}


@pytest.mark.parametrize("row", PREPARED)
def test_presets_prepare_images_as_documented(row: str) -> None:
    """Every option that the documentation names is set, so that none depends on the checkpoint."""
    page = (Path(__file__).parents[2] / "docs/protocols.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {row} |")]
    options = re.findall(r"--([a-z-]+) ([a-z0-9.]+)", line)
    assert len(options) >= 3
    for name in PREPARED[row]:
        content = read_preset(name)
        for option, value in options:
            set_to = content[option.replace("-", "_")]
            assert set_to == (value if isinstance(set_to, str) else float(value)), (name, option)


def test_maps_have_the_classes_that_are_published() -> None:
    for name, k, per in (("living17", 17, 2), ("entity30", 30, 4)):
        sides = [json.loads((FOLDER / f"maps/{name}-{side}.json").read_text()) for side in ("source", "target")]
        assert all(side.pop("*", 0) is None and len(side) == k * per for side in sides)
        assert not {*sides[0]} & {*sides[1]} and {*sides[0], *sides[1]} <= {*mini.SYNSETS}
        for side in sides:
            assert {list(side.values()).count(label) for label in side.values()} == {per}
    v2 = json.loads((FOLDER / "maps/imagenet-v2.json").read_text())
    assert v2 == {str(i): wnid for i, wnid in enumerate(mini.SYNSETS)}
    stl = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    named = json.loads((FOLDER / "maps/stl10-to-cifar10.json").read_text())
    cifar = list(json.loads((FOLDER / "maps/cifar10-numbers.json").read_text()).values())
    targets = [named.get(label, label) for label in stl]
    assert [-1 if one is None else cifar.index(one) for one in targets] == [0, 2, 1, 3, 4, 5, 7, -1, 8, 9]


def test_countries_are_in_one_region() -> None:
    conditions = [read_condition("x", f"c:in:preset:regions/{name}.txt") for name in ("americas", "europe", "africa")]
    regions = [values_of(condition) for condition in conditions]
    assert [len(codes) for codes in regions] == [57, 51, 60]
    assert len(set().union(*regions)) == 168 and all(len(code) == 3 for codes in regions for code in codes)
    assert {"USA", "BRA", "GRL"} <= {*regions[0]} and {"RUS", "GBR"} <= {*regions[1]} and "EGY" in regions[2]


def test_an_unknown_file_of_the_package() -> None:
    spec = parse("digits:plain?classes=preset:maps/none.json&limit=20")
    with pytest.raises(RequestError, match=r"no class map preset:maps/none\.json"):
        examples_of(open_source(spec, Log()), Log())


def test_a_configuration_file_may_place_its_sets(tmp_path: Path) -> None:
    mini.domains(tmp_path / "x", "PACS", ("photo",), ("cat", "dog"), each=8)
    file = tmp_path / "options.toml"
    file.write_text('train = "{root}/PACS/photo"\ncheckpoint = "preset:digits/checkpoint"\n')
    words: list[Any] = ["probe", "--config", file, "--root", tmp_path / "x", "--image-size", 32, "--dry-run", "--json"]
    done = inside(*words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["train"] == f"{tmp_path}/x/PACS/photo"

"""Sources: every kind of data, the choice of columns and splits, image modes, damaged images, and what is refused."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from ftcli.data.sources.source import bounds, open_source
from ftcli.data.specs.kinds import KINDS
from ftcli.data.specs.parse import parse
from ftcli.data.task import build_task
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.opening import names, opened, refusal
from tests.helpers.pictures import encoded, folder, picture


def table(path: Path, columns: dict, features: datasets.Features | None = None) -> Path:
    """A parquet file; with `features`, the metadata that the datasets library writes."""
    found = pa.table(columns)
    if features is not None:
        metadata = {"info": {"features": features.to_dict()}}
        found = found.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found, path)
    return path


CLASSES = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "ant", "bee"]))


def structs(count: int) -> list[dict]:
    return [{"bytes": encoded(picture(i)), "path": f"{i}.png"} for i in range(count)]


# Image folders


def test_folder_is_torchvision_s_image_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets", {"dog": 3, "cat": 2, "Bird": 1})
    (root / "dog" / "deep").mkdir()
    picture(50).save(root / "dog" / "deep" / "x.png")
    (root / "dog" / "notes.txt").write_text("no image")
    oracle, images = ImageFolder(str(root)), opened(root)
    assert list(images.classes) == oracle.classes and images.named
    assert images.labels.tolist() == oracle.targets
    assert images.ids == [Path(path).relative_to(root).as_posix() for path, _ in oracle.samples]
    for i in range(len(images)):
        assert np.array_equal(np.asarray(images.image(i)), np.asarray(oracle[i][0]))


def test_hidden_files_and_empty_folders(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets", {"dog": 2, "empty": 0, ".ipynb_checkpoints": 1})
    (root / "dog" / "._0.png").write_bytes(b"resource fork")
    log = Log()
    images = opened(root, log=log)
    assert images.classes == ("dog",) and len(images) == 2
    assert [entry["code"] for entry in log.warnings] == ["folders-left-out"] and '"empty"' in log.warnings[0]["text"]


def test_numbered_folders_stand_in_numeric_order(tmp_path: Path) -> None:
    root = folder(tmp_path / "v2", {str(k): 1 for k in range(12)})
    images = opened(root)
    assert images.classes == tuple(str(k) for k in range(12)) and not images.named
    assert all(id.startswith(f"{name}/") for id, name in zip(images.ids, names(images), strict=True))


def test_folder_already_split(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for part, count in (("train", 4), ("val", 2), ("test", 1)):
        folder(root / part, {"dog": count, "cat": 1})
    (root / "licenses").mkdir()
    assert sorted(tuple(open_source(parse(str(root)), Log()).splits)) == ["test", "train", "val"]
    images = opened(f"{root}?split=val")
    assert len(images) == 3 and images.ids[0] == "val/cat/0.png"
    assert "split=" in refusal(root)
    assert 'no split "vall"' in refusal(f"{root}?split=vall") and 'did you mean "val"?' in refusal(f"{root}?split=vall")


def test_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    root = folder(tmp_path / "vehicles", {"bus": 2, "train": 2})
    assert opened(root).classes == ("bus", "train")


def test_folder_without_labels(tmp_path: Path) -> None:
    folder(tmp_path, {"deep": 2})
    picture(9).save(tmp_path / "a.png")
    images = opened(tmp_path, labelled=False)
    assert images.ids == ["a.png", "deep/0.png", "deep/1.png"] and (images.labels == -1).all() and images.classes == ()
    assert "label" in refusal(f"{tmp_path}?label=x", labelled=False)


def test_flat_folder_is_refused_with_labels(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    assert "no class folders" in refusal(tmp_path)


# Tables


def test_parquet_with_features(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"image": structs(4), "label": [2, 0, 1, 0]}, CLASSES)
    images = opened(path)
    assert images.classes == ("cat", "ant", "bee") and names(images) == ["bee", "cat", "ant", "cat"]
    assert images.ids == ["0", "1", "2", "3"] and images.named
    assert np.array_equal(np.asarray(images.image(2)), np.asarray(picture(2)))


@pytest.mark.parametrize(
    ("labels", "classes", "values", "named"),
    [
        (["dog", "ant", "dog"], ("ant", "dog"), [1, 0, 1], True),
        ([3, 0, 1], ("0", "1", "2", "3"), [3, 0, 1], False),
        ([True, False, True], ("False", "True"), [1, 0, 1], True),
        (["2", "0", "1"], ("0", "1", "2"), [2, 0, 1], False),
        (pa.array(["dog", "ant", "dog"]).dictionary_encode(), ("ant", "dog"), [1, 0, 1], True),
        (pa.array([3, 0, 1], pa.uint8()), ("0", "1", "2", "3"), [3, 0, 1], False),
    ],
)
def test_labels_without_features(
    tmp_path: Path, labels: object, classes: tuple[str, ...], values: list[int], named: bool
) -> None:
    images = opened(table(tmp_path / "a.parquet", {"img": structs(3), "target": labels}))
    assert (images.classes, images.named) == (classes, named)
    assert images.labels.tolist() == values


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0.5, 1.0, 2.0], 'row "0"'),
        ([1.0, float("nan"), 2.0], "the label nan"),
        ([0, None, 1], 'row "1"'),
        ([0, 1, -1], 'row "2"'),
        ([0, 2_000_000, 1], 'row "1"'),
        ([[0], [1], [2]], 'row "2"'),
    ],
)
def test_labels_refused(tmp_path: Path, labels: list, says: str) -> None:
    path = table(tmp_path / "a.parquet", {"image": structs(3), "label": labels})
    message = refusal(path)
    assert says in message and '"label"' in message


def test_unlabelled_rows_may_be_left_out_by_where(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"image": structs(3), "label": [0, -1, 1], "part": ["a", "b", "a"]})
    assert len(opened(f"{path}?where=part:a")) == 2


def test_class_names_survive_a_small_integer_type_and_a_strange_column(tmp_path: Path) -> None:
    strange = pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64()))
    columns = {"image": structs(2), "label": pa.array([1, 2], pa.int8()), "strange": strange}
    assert names(opened(table(tmp_path / "a.parquet", columns, CLASSES))) == ["ant", "bee"]


def test_class_label_outside_its_names(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"image": structs(2), "label": [0, 3]}, CLASSES)
    assert "0 … 2" in refusal(path)


def test_columns_are_named_where_the_choice_is_open(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"pixels_of": structs(2), "kind": ["a", "b"]})
    message = refusal(path)
    assert '"pixels_of", "kind"' in message and "?image=COLUMN" in message
    assert "&label=COLUMN" in refusal(f"{path}?image=pixels_of")
    assert 'did you mean "kind"?' in refusal(f"{path}?image=pixels_of&label=kinds")
    message = refusal(f"{path}?image=kind&label=kind")
    assert "not images" in message and f"{path}?image=COLUMN&label=kind" in message
    assert names(opened(f"{path}?image=pixels_of&label=kind")) == ["a", "b"]


def test_the_label_of_cifar_100_is_the_fine_one(tmp_path: Path) -> None:
    columns = {"img": structs(2), "coarse": [0, 0], "fine_label": [1, 0]}
    assert opened(table(tmp_path / "a.parquet", columns)).labels.tolist() == [1, 0]  # type: ignore[union-attr]


def test_pixels_in_every_form(tmp_path: Path) -> None:
    """Encoded bytes, a path beside the table, and arrays all give the same picture; arrays in either axis order."""
    image = picture(0)
    pixels = np.asarray(image)
    image.save(tmp_path / "0.png")
    forms = {
        "binary": pa.array([encoded(image)], pa.binary()),
        "path": pa.array([{"bytes": None, "path": "0.png"}], pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        "hwc": pa.array([pixels.tolist()]),
        "chw": pa.array([pixels.transpose(2, 0, 1).tolist()], pa.list_(pa.list_(pa.list_(pa.uint8())))),
        "sixteen": pa.array([(pixels.astype(int) * 257).tolist()], pa.list_(pa.list_(pa.list_(pa.uint16())))),
    }
    for name, column in forms.items():
        images = opened(table(tmp_path / f"{name}.parquet", {"image": column, "label": ["a"]}))
        assert np.array_equal(np.asarray(images.image(0)), pixels), name


def test_ragged_pixels_are_damaged(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"image": [[[1, 2], [3, 4, 5, 6]]], "label": ["a"]})
    assert "different lengths" in refusal(path)


def test_parquet_folder_with_and_without_splits(tmp_path: Path) -> None:
    for i, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")):
        table(tmp_path / "hub" / "data" / f"{name}.parquet", {"image": structs(2), "label": [i, i]})
    assert sorted(tuple(open_source(parse(str(tmp_path / "hub")), Log()).splits)) == ["test", "train"]
    train = opened(f"{tmp_path}/hub?split=train")
    assert train.ids == ["0", "1", "2", "3"] and train.labels.tolist() == [0, 0, 1, 1]  # type: ignore[union-attr]
    for i, name in enumerate(("photo", "art")):
        table(tmp_path / "plain" / f"{name}.parquet", {"image": structs(1), "label": [i]})
    assert opened(tmp_path / "plain").labels.tolist() == [1, 0]  # type: ignore[union-attr]
    order = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee", "cat"]))
    table(tmp_path / "mixed" / "photo.parquet", {"image": structs(1), "label": [0]}, CLASSES)
    table(tmp_path / "mixed" / "art.parquet", {"image": structs(1), "label": [0]}, order)
    assert "art.parquet and photo.parquet have different columns or classes" in refusal(tmp_path / "mixed")
    table(tmp_path / "hub" / "data" / "extra.parquet", {"image": structs(2), "label": [0, 0]})
    assert "extra.parquet" in refusal(tmp_path / "hub")


@pytest.mark.parametrize("several", [False, True])
def test_save_to_disk(tmp_path: Path, several: bool) -> None:
    columns = {"image": [picture(i) for i in range(4)], "label": [2, 0, 1, 0]}
    saved = datasets.Dataset.from_dict(columns, features=CLASSES).select([3, 2, 1])
    (datasets.DatasetDict(train=saved, test=saved) if several else saved).save_to_disk(tmp_path / "set")
    images = opened(f"{tmp_path}/set?split=train")
    assert names(images) == ["cat", "ant", "cat"]
    assert np.array_equal(np.asarray(images.image(0)), np.asarray(picture(3)))
    assert len(tuple(open_source(parse(f"{tmp_path}/set"), Log()).splits)) == 1 + several


def test_save_to_disk_with_array_columns(tmp_path: Path) -> None:
    pixels = [np.asarray(picture(i)) for i in range(2)]
    features = datasets.Features(image=datasets.Array3D((7, 9, 3), "uint8"), label=datasets.Value("string"))
    datasets.Dataset.from_dict({"image": pixels, "label": ["b", "a"]}, features=features).save_to_disk(tmp_path / "s")
    assert np.array_equal(np.asarray(opened(tmp_path / "s").image(1)), pixels[1])


def test_every_kind_of_data_has_a_module_that_opens_it() -> None:
    for kind in KINDS.values():
        assert callable(import_module(f"ftcli.data.sources.{kind.module}").open_splits)


@pytest.mark.parametrize(
    "given", [{}, {"id_val": "hf:owner/pets?split=validation", "ood": [("far", "hf:owner/pets?split=test")]}]
)
def test_data_that_several_roles_use_is_opened_once(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    splits = {
        name: datasets.Dataset.from_dict({"image": [picture(i + first) for i in range(3)], "label": [0, 1, 2]}, CLASSES)
        for name, first in (("train", 0), ("validation", 3), ("test", 6))
    }
    loaded = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *name: loaded.append(name) or datasets.DatasetDict(splits))
    roles = {"train": "hf:owner/pets", "id_val": None, "id_test": None, "ood": [], **given}
    task = build_task(**roles, split_seed=0, damaged="stop", log=Log())
    assert loaded == [("owner/pets", None)]
    assert task.id_val is not None and task.id_test is not None and len(task.ood) == len(roles["ood"])


def test_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    part = datasets.Dataset.from_dict({"image": [picture(0), picture(1)], "label": [1, 2]}, features=CLASSES)

    def load(name: str, config: str | None) -> datasets.DatasetDict:
        asked.append((name, config))
        return datasets.DatasetDict(train=part, test=part)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert names(opened("hf:owner/name/config?split=test")) == ["ant", "bee"]
    opened("hf:name?split=train[:1]")
    assert asked == [("owner/name", "config"), ("name", None)]


def test_hub_out_of_reach_names_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, config: str | None) -> datasets.DatasetDict:
        raise ConnectionError(f"Couldn't reach '{name}' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    message = refusal("hf:owner/name")
    assert '"owner/name"' in message and "check the name" in message


def test_digits() -> None:
    images = opened("digits:plain?per-class=2")
    assert images.classes == tuple("0123456789") and len(images) == 20 and images.image(0).size == (32, 32)
    assert 'did you mean "plain"?' in refusal("digits:plian")


# Rows


SLICES = (
    "train", "train[:3]", "train[3:]", "train[:]", "train[-7:-2]", "train[5:2]", "train[:500]", "train[-500:]",
    "train[:1_0]", "train[10%:20%]", "train[:33%]", "train[-25%:]", "train[5:50%]", "train[:0%]", "train[:-100%]",
    "train[:33%](closest)", "train[:33%](pct1_dropremainder)", "train[-7%:](pct1_dropremainder)", "a.b[1:2]",
)  # fmt: skip
NO_SLICES = (
    "train[:x]",
    "train[1]",
    "train[",
    "train[:101%]",
    "train[:5](closest)",
    "train[:5%](up)",
    "tr-ain",
    "[:3]",
    "",
)


@pytest.mark.parametrize("n", [1, 7, 99, 100, 101, 12345])
@pytest.mark.parametrize("part", SLICES)
def test_slices_are_those_of_datasets(part: str, n: int) -> None:
    try:
        (oracle,) = datasets.ReadInstruction.from_spec(part).to_absolute({"train": n, "a.b": n})
    except ValueError:
        with pytest.raises(ValueError):
            bounds(part, n)
    else:
        assert bounds(part, n) == (oracle.from_, oracle.to)


@pytest.mark.parametrize("part", NO_SLICES)
def test_what_is_no_slice_for_datasets_is_none(part: str) -> None:
    with pytest.raises((ValueError, AssertionError)):
        datasets.ReadInstruction.from_spec(part)
    with pytest.raises(ValueError):
        bounds(part, 1000)


def test_where_group_and_split_slices(tmp_path: Path) -> None:
    columns = {
        "image": structs(10),
        "label": [i % 3 for i in range(10)],
        "site": ["a", "b"] * 5,
        "year": [2000 + i // 4 for i in range(10)],
    }
    features = datasets.Features(CLASSES | {"site": datasets.Value("string"), "year": datasets.Value("int64")})
    path = table(tmp_path / "a.parquet", columns, features)
    assert opened(f"{path}?where=site:b&where=year:2001").ids == ["5", "7"]
    assert opened(f"{path}?where=label:bee").ids == ["2", "5", "8"]
    assert opened(f"{path}?group=site").groups.tolist() == columns["site"]  # type: ignore[union-attr]
    assert opened(f"{path}?split=train[:3]").ids == ["0", "1", "2"]
    assert opened(f"{path}?split=train[20%:50%]").ids == ["2", "3", "4"]
    assert opened(f"{path}?split=train[-2:]").ids == ["8", "9"]
    assert opened(f"{path}?split=train[:1]%2Btrain[9:]").ids == ["train:0", "train:9"]
    assert '"a", "b"' in refusal(f"{path}?where=site:c")
    assert 'no column "sites"' in refusal(f"{path}?where=sites:a")
    assert "no rows" in refusal(f"{path}?split=train[5:5]")
    assert "cannot be read" in refusal(f"{path}?split=train[:x]")
    assert "every where" in refusal(f"{path}?where=site:b&where=year:2002&where=label:bee")


def test_limits_keep_the_order_and_follow_the_class_map(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"image": structs(30), "label": [i % 3 for i in range(30)]}, CLASSES)
    (tmp_path / "map.json").write_text('{"cat": "pet", "bee": null}')
    images = opened(f"{path}?limit=12:5&classes={tmp_path}/map.json")
    assert images.classes == ("pet", "ant") and images.dropped == 10
    assert np.bincount(images.labels).tolist() == [6, 6]  # type: ignore[arg-type]
    assert [int(id) for id in images.ids] == sorted(int(id) for id in images.ids)
    assert np.bincount(opened(f"{path}?per-class=4").labels).tolist() == [4, 4, 4]  # type: ignore[arg-type]
    assert len(opened(f"{path}?limit=5", labelled=False)) == 5


def test_class_map_by_position(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"image": structs(3), "label": [0, 1, 2]}, CLASSES)
    (tmp_path / "map.json").write_text("[4, -1, 0]")
    images = opened(f"{path}?classes={tmp_path}/map.json")
    assert images.labels.tolist() == [4, 0] and images.positions and images.dropped == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"catt": "pet"}', 'did you mean "cat"?'),
        ("[0, 1]", "3 classes"),
        ("{", "not JSON"),
        ('"cat"', "neither"),
        ("[0, 1, 1.5]", "neither"),
        ('{"cat": null, "ant": null, "bee": null}', "class map"),
    ],
)
def test_class_map_refused(tmp_path: Path, content: str, says: str) -> None:
    path = table(tmp_path / "a.parquet", {"image": structs(3), "label": [0, 1, 2]}, CLASSES)
    (tmp_path / "map.json").write_text(content)
    assert says in refusal(f"{path}?classes={tmp_path}/map.json")


def test_missing_things_are_named(tmp_path: Path) -> None:
    table(tmp_path / "photo.parquet", {"image": structs(1), "label": [0]})
    assert 'did you mean "photo.parquet"?' in refusal(tmp_path / "foto.parquet")
    assert "map.json" in refusal(f"{tmp_path}/photo.parquet?classes={tmp_path}/map.json")
    assert "cannot be read" in refusal(tmp_path / ("long" * 100))
    (tmp_path / "notes.md").write_text("a,b")
    assert "is no table (.csv" in refusal(tmp_path / "notes.md")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    assert "cannot be read as parquet" in refusal(tmp_path / "bad.parquet")
    assert "no rows" in refusal(
        table(tmp_path / "none.parquet", {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    )


# Pictures


def modes() -> dict[str, tuple[Image.Image, np.ndarray]]:
    """Pictures in many modes and the RGB values of their first pixel."""
    cut_out = Image.new("RGBA", (4, 3), (200, 100, 0, 255))
    cut_out.putpixel((0, 0), (0, 0, 0, 0))
    half = Image.new("RGBA", (4, 3), (0, 0, 0, 51))
    palette = Image.new("P", (4, 3), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    see_through = palette.copy()
    see_through.info["transparency"] = 1
    return {
        "L": (Image.new("L", (4, 3), 77), [77, 77, 77]),
        "1": (Image.new("1", (4, 3), 1), [255, 255, 255]),
        "LA": (Image.new("LA", (4, 3), (9, 0)), [255, 255, 255]),
        "P": (palette, [10, 20, 30]),
        "P with transparency": (see_through, [255, 255, 255]),
        "RGBA cut-out": (cut_out, [255, 255, 255]),
        "RGBA half": (half, [204, 204, 204]),  # 255 * (1 - 51/255)
        "I;16": (Image.fromarray(np.full((3, 4), 40000, np.uint16)), [156, 156, 156]),  # 40000 * 255/65535 = 155.6
        "I;16 white": (Image.fromarray(np.full((3, 4), 65535, np.uint16)), [255, 255, 255]),
    }  # type: ignore[return-value]


@pytest.mark.parametrize("mode", modes())
def test_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image, expected = modes()[mode]
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "x.png")
    found = opened(tmp_path).image(0)
    assert found.mode == "RGB" and found.getpixel((0, 0)) == tuple(expected)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("CMYK", (4, 3), (255, 0, 0, 0)), (0, 255, 255)),
        (Image.fromarray(np.full((3, 4), 65535, np.int32)), (255, 255, 255)),
        (Image.fromarray(np.full((3, 4), 0.5, np.float32)), (128, 128, 128)),
        (Image.fromarray(np.full((3, 4), 200.0, np.float32)), (200, 200, 200)),
        (Image.new("RGB", (1, 1), (1, 2, 3)), (1, 2, 3)),
    ],
)
def test_tiff_modes_and_one_pixel(tmp_path: Path, image: Image.Image, expected: tuple[int, ...]) -> None:
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "x.tiff")
    assert opened(tmp_path).image(0).getpixel((0, 0)) == expected


def test_cmyk_jpeg(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a" / "x.jpg")
    red, green, blue = opened(tmp_path).image(0).getpixel((5, 5))  # type: ignore[misc]
    assert red > 240 and green < 15 and blue < 15


DAMAGE = {
    "cut.jpg": encoded(picture(0, (64, 64)), "JPEG")[:900],
    "cut.png": encoded(picture(0, (64, 64)))[:3000],
    "text.jpg": b"this is no image",
    "empty.png": b"",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_images_stop_or_are_skipped(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path / "set", {"a": 2, "b": 2})
    (root / "a" / name).write_bytes(DAMAGE[name])
    message = refusal(root)
    assert f"a/{name}" in message and "--damaged skip" in message and "0x" not in message
    log = Log()
    images = opened(root, "skip", log)
    assert len(images) == 4 and images.damaged == 1 and f"a/{name}" not in images.ids
    assert names(images) == ["a", "a", "b", "b"] and len(images.digests) == 4
    assert [entry["code"] for entry in log.warnings] == ["damaged-skipped"] and name in log.warnings[0]["text"]


def test_damaged_row_of_a_table_is_named(tmp_path: Path) -> None:
    columns = {"image": [*structs(2), {"bytes": b"junk", "path": "x.png"}, {"bytes": None, "path": None}]}
    path = table(tmp_path / "a.parquet", {**columns, "label": ["a"] * 4})
    assert 'row "2"' in refusal(path)
    assert opened(path, "skip").damaged == 2
    assert 'row "3"' in refusal(f"{path}?split=train[3:]")
    with pytest.raises(RequestError, match="decoded"):
        opened(f"{path}?split=train[2:]", "skip")


def test_a_decompression_bomb_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "set", {"a": 1})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert "exceeds limit" in refusal(root)


# Identity


def test_fingerprint_knows_pictures_and_names_but_not_class_numbers(tmp_path: Path) -> None:
    renumbered = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee", "cat"]))
    one = opened(table(tmp_path / "a.parquet", {"image": structs(3), "label": [0, 1, 2]}, CLASSES))
    two = opened(table(tmp_path / "b.parquet", {"image": structs(3), "label": [2, 0, 1]}, renumbered))
    assert one.fingerprint == two.fingerprint and len(one.fingerprint) == 64
    assert one.fingerprint != one.select([0, 2, 1]).fingerprint
    three = opened(table(tmp_path / "c.parquet", {"image": structs(3), "label": [0, 1, 1]}, CLASSES))
    assert three.fingerprint != one.fingerprint and three.digests == one.digests


def test_select(tmp_path: Path) -> None:
    images = opened(folder(tmp_path / "set", {"a": 2, "b": 2}))
    part = images.select([3, 0])
    assert part.ids == ["b/1.png", "a/0.png"] and names(part) == ["b", "a"]
    assert part.digests == [images.digests[3], images.digests[0]]
    assert np.array_equal(np.asarray(part.image(0)), np.asarray(images.image(3)))


@pytest.mark.real
@pytest.mark.parametrize(("name", "n", "k"), [("pacs/photo", 1670, 7), ("cifar10/test", 5000, 10)])
def test_real_parquet_against_datasets(data_dir: Path, tmp_path: Path, name: str, n: int, k: int) -> None:
    path = data_dir / f"{name}.parquet"
    images = opened(path)
    oracle = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path))
    assert (len(images), len(images.classes)) == (n, k)
    assert images.labels.tolist() == oracle["label"][:]
    assert list(images.classes) == oracle.features["label"].names
    for i in (0, n // 2, n - 1):
        assert np.array_equal(np.asarray(images.image(i)), np.asarray(oracle[i]["image"].convert("RGB")))

"""The data SPEC as text: settings, percent-encoding, and what is refused."""

import pytest

from ftcli.data.shifts.shift import Shift, Shuffle
from ftcli.data.specs.condition import Condition
from ftcli.data.specs.parse import parse
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError


def equal(column: str, value: str) -> Condition:
    return Condition(column, "=", (value,))


def test_a_bare_path() -> None:
    assert parse("photos/dogs") == Spec("photos/dogs", "path", "photos/dogs")


def test_every_setting() -> None:
    text = (
        "a/b.parquet?split=train[:5000]&image=img&label=kind&group=site&where=x:1&where=y:a:b&classes=m.json&limit=9:4"
    )
    spec = parse(text)
    assert spec.text == text
    assert (spec.kind, spec.location, spec.split) == ("path", "a/b.parquet", "train[:5000]")
    assert (spec.image, spec.label, spec.groups, spec.classes) == ("img", "kind", ("site",), "m.json")
    assert spec.where == (equal("x", "1"), equal("y", "a:b"))
    assert spec.limit == (9, 4) and spec.per_class is None


def test_limit_alone_has_seed_zero() -> None:
    assert parse("x?limit=7").limit == (7, 0)
    assert parse("x?per-class=3:11").per_class == (3, 11)
    assert parse("x?per-class=3:11:40").per_class == (3, 11, 40) and parse("x?per-class=3").per_class == (3, 0)
    assert parse("x?per-class=3:11:40").at_split("a", limited=True).text == "x?split=a&per-class=3:11:40"


def test_what_is_done_to_examples() -> None:
    spec = parse("x?shift=fog:3&shuffle=8&labels=flip")
    assert (spec.shift, spec.shuffle, spec.flip) == (Shift("fog", 3), Shuffle(8, 0), True)
    assert parse("x?shuffle=channels:12").shuffle == Shuffle(None, 12)
    assert parse("x") == Spec("x", "path", "x", shift=None, shuffle=None, flip=False)


@pytest.mark.parametrize("settings", ["labels=flip", "shift=frost:2", "shuffle=4:9", "shuffle=channels:0"])
def test_a_split_is_changed_as_the_whole_set(settings: str) -> None:
    part = parse(f"x?{settings}").at_split("test")
    assert part.text == f"x?split=test&{settings}" and parse(part.text) == part


def test_percent_encoding_in_paths_and_values() -> None:
    spec = parse("what%3F/a%26b%3Dc%25?where=a%3Ab:x%26y&split=train[10%:20%]")
    assert spec.location == "what?/a&b=c%"
    assert spec.where == (equal("a:b", "x&y"),)
    assert spec.split == "train[10%:20%]"


@pytest.mark.parametrize(
    ("text", "kind", "location"),
    [
        ("hf:cifar10", "hf", "cifar10"),
        ("hf:owner/name/config", "hf", "owner/name/config"),
        ("digits:photo", "digits", "photo"),
        ("torchvision:STL10", "torchvision", "STL10"),
        ("./odd:name.parquet", "path", "./odd:name.parquet"),
        ("C:/data/set.parquet", "path", "C:/data/set.parquet"),
    ],
)
def test_kinds(text: str, kind: str, location: str) -> None:
    spec = parse(text)
    assert (spec.kind, spec.location) == (kind, location)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("torchvison:STL10", '"torchvision"'),
        ("hf:x?root=y", "which only PATH and torchvision:CLASS has"),
        ("digits:plain?severity=1", "which only PATH has"),
        ("x?splt=train", "split"),
        ("x?limit=0", "limit=0"),
        ("x?limit=ten", "limit=ten"),
        ("x?limit=-4", "limit=-4"),
        ("x?limit=5:", "limit=5:"),
        ("x?per-class=1.5", "per-class=1.5"),
        ("x?limit=5&per-class=2", "both"),
        ("x?label=", "no value"),
        ("x?label", "no value"),
        ("x?label=a&label=b", "twice"),
        ("x?where=city", "COLUMN:VALUE"),
        ("x?where=:in:a", "COLUMN:VALUE"),
        ("x?where=y:in:", "empty value"),
        ("x?where=y:in:a|", "empty value"),
        ("x?where=y:>=:", "empty value"),
        ("x?group=a+", "group=A+B"),
        ("x?group=a+a", "group=A+B"),
        ("x?severity=6", "severity=6"),
        ("x?exif=yes", "apply, ignore"),
        ("x?shift=gausian_noise:5", '"gaussian_noise"'),
        ("x?shift=pixellate:5", '"pixelate"'),
        ("x?shift=fog", "write shift=fog:5"),
        ("x?shift=fog:0", "from 1 to 5"),
        ("x?shift=fog:6", "from 1 to 5"),
        ("x?shift=fog:05", "from 1 to 5"),
        ("x?shift=fog:2&shift=snow:2", "twice"),
        ("x?shift=:3", 'no corruption ""'),
        ("x?shuffle=0", "SIZE:SEED"),
        ("x?shuffle=-8:1", "SIZE:SEED"),
        ("x?shuffle=pixels", "shuffle=channels:0"),
        ("x?shuffle=8:", "SIZE:SEED"),
        ("x?labels=flop", '"flip"'),
        ("x?labels=category", "label=COLUMN"),
        ("x?", "unknown setting"),
        ("hf:", "names no data"),
        ("", "names no data"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(RequestError) as error:
        parse(text)
    assert says in error.value.problem + error.value.fix
    assert error.value.fix


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"hf:NAME\[/CONFIG\], torchvision:CLASS, digits:WORLD"):
        parse("s3:bucket")


def test_at_split_parses_to_itself_and_drops_the_limit() -> None:
    spec = parse("a%3Fb/c?split=train&label=k%26&where=a%3Ab:c:d&limit=3:1")
    other = spec.at_split("test")
    assert parse(other.text) == other
    assert (other.location, other.split, other.label, other.where) == ("a?b/c", "test", "k&", (equal("a:b", "c:d"),))
    assert other.limit is None
    limited = spec.at_split("train", limited=True)
    assert limited.limit == (3, 1) and parse(limited.text) == limited
    assert parse("hf:a/b").at_split("test").text == "hf:a/b?split=test"
    assert parse("torchvision:SVHN?root=a%26b").at_split("x").text == "torchvision:SVHN?split=x&root=a%26b"


def test_a_column_is_asked_for_in_place_of_the_one_typed() -> None:
    assert parse("x?image=a&limit=3").with_column("image") == "x?image=COLUMN&limit=3:0"
    assert parse("x").with_column("label") == "x?label=COLUMN"


@pytest.mark.parametrize(
    ("typed", "condition"),
    [
        ("y:in:a|b", Condition("y", "in", ("a", "b"))),
        ("y:in:a%7Cb|c%3Ad", Condition("y", "in", ("a|b", "c:d"))),
        ("y:>=:2013-01-01", Condition("y", ">=", ("2013-01-01",))),
        ("y:!=:", None),
        ("y:<:-3.5", Condition("y", "<", ("-3.5",))),
        ("t:12:30", equal("t", "12:30")),
        ("t:in%3Aa", equal("t", "in:a")),
        ("t:in", equal("t", "in")),
        ("a%3Ab:>:c:d", Condition("a:b", ">", ("c:d",))),
    ],
)
def test_conditions(typed: str, condition: Condition | None) -> None:
    if condition is None:
        with pytest.raises(RequestError, match="empty value"):
            parse(f"x?where={typed}")
        return
    spec = parse(f"x?where={typed}")
    assert spec.where == (condition,)
    assert parse(spec.at_split("test").text).where == spec.where


@pytest.mark.parametrize(
    "settings",
    [
        "group=a+b%2Bc",
        "labels=none",
        "labels=y/labels.npy",
        "severity=3",
        "exif=apply",
        "image=p/{a}_{b}.png",
        "root=r",
    ],
)
def test_settings_are_written_as_they_are_read(settings: str) -> None:
    spec = parse(f"x?{settings}").at_split("test")
    assert spec.text == f"x?split=test&{settings}" and parse(spec.text) == spec

"""What a published text keeps of a path: its last name."""

from typing import Any

import pytest

from ftcli.model_card.local_paths import last_name, of_prose, of_spec, of_value, of_word


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/alice/photos", "photos"), ("/home/alice/photos/", "photos"), ("photos", "photos"),
        ("./photos", "photos"),
        ("../alice/photos", "photos"), ("~/photos", "photos"), ("~alice/photos", "photos"), ("~alice", "alice"),
        ("%2Fhome%2Falice%2Fphotos", "photos"), ("s3://bucket/alice/set.parquet", "set.parquet"), ("/", "."),
        ("hf:alice/birds", "hf:alice/birds"), ("hf-hub:timm/resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k"),
        ("preset:digits/checkpoint", "preset:digits/checkpoint"), ("torchvision:STL10", "torchvision:STL10"),
        ("hf://alice/birds.parquet", "birds.parquet"), ("resnet18.a1_in1k", "resnet18.a1_in1k"), ("", ""),
    ],
)  # fmt: skip
def test_the_last_name(text: str, kept: str) -> None:
    assert last_name(text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/a/photos?limit=600:0&split=train[:50]", "photos?limit=600:0&split=train[:50]"),
        ("sketch=/a/b=c/sketches?classes=/a/MAP.json", "sketch=sketches?classes=MAP.json"),
        ("/a/b=c/sketches", "sketches"),
        ("torchvision:STL10?root=/home/alice/data&limit=5:0", "torchvision:STL10?root=data&limit=5:0"),
        ("/a/photos (10 % cut, split seed 0)", "photos (10 % cut, split seed 0)"),
        ("/a/photos/ (10 % cut, split seed 0)", "photos (10 % cut, split seed 0)"),
        ("/home/alice, bob/photos", "photos"),
        ("far=digits:photo?split=train[1297:]", "far=digits:photo?split=train[1297:]"),
    ],
)
def test_of_a_spec(text: str, kept: str) -> None:
    assert of_spec(text) == kept
    assert of_word(f"--ood={text}") == f"--ood={kept}"


@pytest.mark.parametrize("value", [5, None, True, 0.5, [1, 2], "cosine", "step:5,8", "1e-3,1e-2", ["a=b"]])
def test_other_values_stay(value: Any) -> None:
    assert of_value(value) == value


def test_of_prose() -> None:
    text = "the sets /home/alice/my photos and 'sketches' share 1/2; '/tmp/x y/z.png' and /tmp/a/b.png, https://h/q.jpg"
    known = ["/home/alice/my photos", "sketches"]
    assert of_prose(text, known) == "the sets my photos and 'sketches' share 1/2; 'z.png' and b.png, q.jpg"
    assert of_prose("set at /home/alice/x.png.", []) == "set at x.png."

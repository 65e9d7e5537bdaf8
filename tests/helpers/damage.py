"""How a file or a tree of JSON is spoiled at random: the changes that every kind of hostile file draws from."""

import json
import random
from collections.abc import Callable
from typing import Any

DEEP = "\N{SNOWMAN}deep\N{SNOWMAN}"  # stands in a tree for lists too deep for Python to build one by one
DEPTH = 100_000
NAMES = [
    "", " ", "\x1b[2J\x1b]0;x\x07", "\x9b31m", "[red]x[/red]", "[/]", "a\nb\r\nc", "\u202egnp.x\u2066", "\x00",
    "\ud800",
    "../../x", "/etc/passwd", "~/.ssh/id_rsa", "file:///etc/passwd", "http://127.0.0.1:9/x", "$(touch x)",
    "{0.__class__}",
    "%s%n", "-rf", "x" * 100_000, "\N{COMBINING ACUTE ACCENT}" * 1000, "\N{PILE OF POO}", "nan", "__class__", "1e999",
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, -0.0, 0.5, 1e308, -1e308, 1e-320, float("nan"),
    float("inf"), float("-inf"),
]  # fmt: skip
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"": None}, [0] * 1000, {"a": {"b": {"c": [{}]}}}, DEEP]


def odd(draw: random.Random) -> Any:
    """A value that nobody expects."""
    return draw.choice(draw.choice([NAMES, NUMBERS, OTHERS]))


def changed(draw: random.Random, tree: Any, times: int | None = None) -> Any:
    """The same tree of JSON with one to four changes: values swapped, keys gone, unknown ones there, lists repeated."""
    tree = json.loads(json.dumps(tree))
    for _ in range(times or draw.randint(1, 4)):
        holder, key = draw.choice(places(tree) or [([tree], 0)])
        how = draw.choice(["odd", "odd", "odd", "gone", "unknown", "moved", "wrapped", "repeated"])
        if how == "odd":
            holder[key] = odd(draw)
        elif how == "gone":
            del holder[key]
        elif how == "unknown" and isinstance(holder, dict):
            holder[str(draw.choice(NAMES))] = odd(draw)
        elif how == "moved":
            other, place = draw.choice(places(tree))
            holder[key] = json.loads(json.dumps(other[place]))
        elif how == "wrapped":
            holder[key] = [holder[key]]
        elif isinstance(holder[key], list):
            holder[key] = holder[key] * draw.choice([2, 3, 1000])
        else:
            holder[key] = [holder[key]] * 3
    return tree


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree where a value stands, as (list or dict, index or key)."""
    found: list[tuple[Any, Any]] = []
    rest = [tree]
    while rest:
        holder = rest.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, value in pairs:
            found.append((holder, key))
            rest.append(value)
    return found


def as_text(draw: random.Random, tree: Any) -> bytes:
    """The tree as JSON, with NaN and lists of DEPTH where it says so; some keys come twice."""
    text = json.dumps(tree, ensure_ascii=draw.random() < 0.5)
    text = text.replace(json.dumps(DEEP), "[" * DEPTH + "]" * DEPTH).replace(f'"{DEEP}"', "[" * DEPTH + "]" * DEPTH)
    if text.startswith("{") and draw.random() < 0.1:
        text = '{"architecture": "x", "schema": 3, "config": [], ' + text[1:]  # the later one counts, says Python
    return text.encode("utf-8", errors="surrogatepass")


def damaged(draw: random.Random, content: bytes) -> bytes:
    """The bytes after one to three accidents; never the same ones."""
    result = content
    while result == content:
        for _ in range(draw.randint(1, 3)):
            result = draw.choice(ACCIDENTS)(draw, result or b"\0")
    return result


def flipped(draw: random.Random, content: bytes) -> bytes:
    spoiled = bytearray(content)
    for _ in range(draw.choice([1, 1, 8, 64])):
        spoiled[min(draw.randrange(len(spoiled)), draw.randrange(len(spoiled)))] ^= 1 << draw.randrange(8)
    return bytes(spoiled)


def cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content))]


def inserted(draw: random.Random, content: bytes) -> bytes:
    at = draw.randrange(len(content) + 1)
    return content[:at] + draw.choice([b"\0", b"\xff" * 8, b"[" * 1000, b"\x1b[2J", draw.randbytes(64)]) + content[at:]


def repeated(draw: random.Random, content: bytes) -> bytes:
    begin, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    at = draw.randrange(len(content) + 1)
    return content[:at] + content[begin : min(end, begin + 100_000)] + content[at:]


def removed(draw: random.Random, content: bytes) -> bytes:
    begin, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:begin] + content[end:]


def blanked(draw: random.Random, content: bytes) -> bytes:
    begin = draw.randrange(len(content))
    end = min(len(content), begin + draw.choice([1, 4, 512]))
    return content[:begin] + draw.choice([b"\0", b"\xff", b" "]) * (end - begin) + content[end:]


ACCIDENTS: list[Callable[[random.Random, bytes], bytes]] = [flipped, flipped, cut, inserted, repeated, removed, blanked]

"""The data SPEC as typed: `PATH`, `hf:NAME[/CONFIG]`, `torchvision:CLASS` or `digits:WORLD`, settings after `?`."""

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from ftcli.data.kinds import FORMS, KINDS, PATH
from ftcli.data.shifts.shift import Shift, Shuffle, read_flip, read_shift, read_shuffle
from ftcli.errors import RequestError, suggest

PLAIN = ("split", "root", "image", "label", "group", "classes")  # settings whose value is a text as it is typed
SETTINGS = (*PLAIN[:5], "where", "classes", "limit", "per-class", "labels", "shift", "shuffle")


@dataclass(frozen=True)
class Spec:
    """A parsed data SPEC. `limit` and `per_class` are (N, SEED); `where` holds (COLUMN, VALUE) pairs."""

    text: str
    kind: str  # one of KINDS
    location: str  # decoded path, hub NAME[/CONFIG], torchvision class, or digits world
    split: str | None = None
    root: str | None = None  # folder of the files of a torchvision class
    image: str | None = None
    label: str | None = None
    group: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    classes: str | None = None
    limit: tuple[int, int] | None = None
    per_class: tuple[int, int] | None = None
    flip: bool = False  # labels=flip: class y becomes class K - 1 - y
    shift: Shift | None = None
    shuffle: Shuffle | None = None

    def at_split(self, split: str, *, limited: bool = False) -> "Spec":
        """The SPEC of one split of the set: whole, or `limited` as typed."""
        spec = replace(self, split=split) if limited else replace(self, split=split, limit=None, per_class=None)
        return replace(spec, text=_render(spec))

    def with_column(self, setting: str) -> str:
        """How to type the same set with a column named in `setting`, "image" or "label"."""
        return _render(replace(self, image="COLUMN") if setting == "image" else replace(self, label="COLUMN"))


def parse(text: str) -> Spec:
    """Read a data SPEC.

    Raises:
        RequestError: an unknown kind or setting, a setting given twice or without a value, or a bad number.
    """
    address, mark, settings = text.partition("?")
    kind, location = _kind(text, address)
    values: dict[str, str] = {}
    where: list[tuple[str, str]] = []
    for setting in settings.split("&") if mark else ():
        name, equals, value = setting.partition("=")
        if name not in SETTINGS:
            raise RequestError(
                f'unknown setting "{name}" in the data SPEC "{text}"; known: {", ".join(SETTINGS)}',
                suggest(name, SETTINGS) or 'write a "?", "&", "=" or "%" that belongs to a path as %3F, %26, %3D, %25',
            )
        if not equals or not value:
            raise RequestError(f'the setting "{name}" in "{text}" has no value', f"write {name}=VALUE")
        if name == "where":
            where.append(_where(text, value))
        elif name in values:
            raise RequestError(f'the setting "{name}" stands twice in "{text}"', "leave one of them out")
        else:
            values[name] = unquote(value)
    if "limit" in values and "per-class" in values:
        raise RequestError(f'"{text}" has both limit and per-class', "leave one of them out")
    for other in KINDS.values():
        for name in {*values}.intersection(other.settings).difference(KINDS[kind].settings):
            raise RequestError(f'"{text}" has a {name}, which only {other.form} has', "leave it out")
    return Spec(
        text=text,
        kind=kind,
        location=location,
        **{name: values.get(name) for name in PLAIN},
        where=tuple(where),
        limit=_count(text, "limit", values.get("limit")),
        per_class=_count(text, "per-class", values.get("per-class")),
        flip=read_flip(text, values.get("labels")),
        shift=read_shift(text, values.get("shift")),
        shuffle=read_shuffle(text, values.get("shuffle")),
    )


def _kind(text: str, address: str) -> tuple[str, str]:
    """Kind and decoded location. One letter before a colon is a drive, not a kind."""
    scheme = re.match(r"([A-Za-z][\w+.-]+):", address)
    kind = scheme.group(1) if scheme else PATH
    location = unquote(address[scheme.end() :] if scheme else address)
    if kind not in KINDS or (scheme and kind == PATH):
        raise RequestError(
            f'unknown kind of data "{kind}:" in "{text}"; known: {FORMS}',
            suggest(kind, [known for known in KINDS if known != PATH])
            or f"for a file with a colon in its name write ./{address}",
        )
    if not location:
        raise RequestError(f'the data SPEC "{text}" names no data', f"write one of {FORMS}")
    return kind, location


def _where(text: str, value: str) -> tuple[str, str]:
    column, colon, kept = value.partition(":")
    if not column or not colon:
        raise RequestError(f'where={value} in "{text}" is not COLUMN:VALUE', "write where=COLUMN:VALUE")
    return unquote(column), unquote(kept)


def _count(text: str, name: str, value: str | None) -> tuple[int, int] | None:
    """(N, SEED) from "N" or "N:SEED"."""
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}(:[0-9]{1,18})?", value) or int(value.partition(":")[0]) < 1:
        raise RequestError(
            f'{name}={value} in "{text}" is not N:SEED with N at least 1 and SEED at least 0',
            f"write {name}=100 or {name}=100:0",
        )
    count, _, seed = value.partition(":")
    return int(count), int(seed or 0)


def _render(spec: Spec) -> str:
    """The text that parses to `spec`."""
    typed = [f"{name}={_escape(value)}" for name in PLAIN if (value := getattr(spec, name)) is not None]
    typed += [f"where={_escape(column).replace(':', '%3A')}:{_escape(value)}" for column, value in spec.where]
    for name, pair in (("limit", spec.limit), ("per-class", spec.per_class)):
        typed += [f"{name}={pair[0]}:{pair[1]}"] if pair else []
    typed += ["labels=flip"] if spec.flip else []
    typed += [f"{name}={change}" for name, change in (("shift", spec.shift), ("shuffle", spec.shuffle)) if change]
    prefix = "" if spec.kind == PATH else f"{spec.kind}:"
    return prefix + _escape(spec.location) + ("?" + "&".join(typed) if typed else "")


def _escape(value: str) -> str:
    for character in "%?&=":
        value = value.replace(character, f"%{ord(character):02X}")
    return value

"""Reading a data SPEC: `PATH`, `hf:NAME[/CONFIG]`, `torchvision:CLASS` or `digits:WORLD`, settings after `?`."""

import re
from typing import Any
from urllib.parse import unquote

from ftcli.data.shifts.shift import SEVERITIES, read_shift, read_shuffle
from ftcli.data.specs.condition import Condition, read_condition
from ftcli.data.specs.kinds import FORMS, KINDS, PATH
from ftcli.data.specs.spec import TEXTS, Spec
from ftcli.data.storage.url import check_url
from ftcli.errors import RequestError, choose, suggest
from ftcli.safe_text import redacted_spec

SETTINGS = (
    *TEXTS,
    *("group", "where", "classes", "limit", "per-class", "labels", "streaming", "severity", "exif", "shift"),
    "shuffle",
)
URL_START = re.compile(r"[A-Za-z][\w+.-]*(://|::)")
LABELS = ("flip", "none")  # words of labels=; any other value of it is a file


def parse(text: str) -> Spec:
    """Read a data SPEC.

    Raises:
        RequestError: an unknown kind or setting, a setting given twice or without a value, or a bad number.
    """
    address, mark, settings = text.partition("?")
    text = redacted_spec(text)  # for messages and reports
    kind, location = _kind(text, address)
    typed, where = _settings(text, settings.split("&") if mark else [])
    if "limit" in typed and "per-class" in typed:
        raise RequestError(f'"{text}" has both limit and per-class', "leave one of them out")
    _check_known_to(kind, typed, text)
    _check_unlabelled(typed, text)
    values = {name: unquote(value) for name, value in typed.items()}
    texts: dict[str, Any] = {name: values.get(name) for name in TEXTS}
    return Spec(
        text=text,
        kind=kind,
        location=location,
        **texts,
        groups=_columns(text, typed.get("group")),
        where=tuple(where),
        classes=values.get("classes"),
        limit=_count(text, "limit", values.get("limit")),
        per_class=_count(text, "per-class", values.get("per-class"), skips=True),
        **_labels(text, values.get("labels")),
        streaming=_word(text, "streaming", values.get("streaming"), ("true",)) == "true",
        severity=_severity(text, values.get("severity")),
        exif=_word(text, "exif", values.get("exif"), ("apply", "ignore")),
        shift=read_shift(text, values.get("shift")),
        shuffle=read_shuffle(text, values.get("shuffle")),
    )


def _settings(text: str, settings: list[str]) -> tuple[dict[str, str], list[Condition]]:
    """Each setting but where= by its name, as typed, and the conditions."""
    typed: dict[str, str] = {}
    where: list[Condition] = []
    for setting in settings:
        name, equals, value = setting.partition("=")
        if name not in SETTINGS:
            raise RequestError(
                f'unknown setting "{name}" in the data SPEC "{text}"; known: {", ".join(SETTINGS)}',
                suggest(name, SETTINGS) or 'write a "?", "&", "=" or "%" that belongs to a path as %3F, %26, %3D, %25',
            )
        if not equals or not value:
            raise RequestError(f'the setting "{name}" in "{text}" has no value', f"write {name}=VALUE")
        if name == "where":
            where.append(read_condition(text, value))
        elif name in typed:
            raise RequestError(f'the setting "{name}" stands twice in "{text}"', "leave one of them out")
        else:
            typed[name] = value
    return typed, where


def _check_known_to(kind: str, typed: dict[str, str], text: str) -> None:
    """Raises RequestError for a setting that only other kinds have."""
    for name in typed:
        having = [other.form for other in KINDS.values() if name in other.settings]
        if having and name not in KINDS[kind].settings:
            raise RequestError(f'"{text}" has a {name}, which only {" and ".join(having)} has', "leave it out")


def _check_unlabelled(typed: dict[str, str], text: str) -> None:
    """Raises RequestError for labels=none beside a setting that labels alone give a meaning."""
    used = [name for name in ("label", "classes", "per-class") if name in typed]
    if typed.get("labels") == "none" and used:
        fix = "leave it out, or limit=N in its place" if "per-class" in used else "leave one of the two out"
        raise RequestError(f'"{text}" has labels=none, and {" and ".join(used)}, which needs labels', fix)


def _kind(text: str, address: str) -> tuple[str, str]:
    """Kind and decoded location. One letter before a colon is a drive, not a kind; a URL is a PATH.

    Raises RequestError for an unknown kind, no location, and a URL that is not read.
    """
    if URL_START.match(address):
        check_url(unquote(address))
        return PATH, unquote(address)
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


def _columns(text: str, typed: str | None) -> tuple[str, ...]:
    """The columns of "A+B"."""
    if typed is None:
        return ()
    columns = tuple(map(unquote, typed.split("+")))
    if not all(columns) or len(set(columns)) < len(columns):
        raise RequestError(
            f'group={typed} in "{text}" is not COLUMN or COLUMN+COLUMN, each another one',
            'write group=A or group=A+B; a "+" that belongs to a name as %2B',
        )
    return columns


def _labels(text: str, value: str | None) -> dict[str, Any]:
    """The fields of a Spec by the value of labels=: one of `LABELS`, or a file, which has an ending or a folder."""
    is_file = value is not None and value not in LABELS
    if is_file and not re.search(r"[./\\]", str(value)):
        raise RequestError(
            f'labels={value} in "{text}" is neither {" nor ".join(LABELS)} nor a file',
            choose(str(value), LABELS) + ", or label=COLUMN to name their column",
        )
    return {"flip": value == "flip", "unlabelled": value == "none", "labels_file": value if is_file else None}


def _severity(text: str, value: str | None) -> int | None:
    word = _word(text, "severity", value, tuple(map(str, SEVERITIES)))
    return None if word is None else int(word)


def _word(text: str, name: str, value: str | None, allowed: tuple[str, ...]) -> Any:
    """The value. Raises RequestError where it is not one of those allowed."""
    if value is not None and value not in allowed:
        raise RequestError(f'{name}={value} in "{text}"; allowed: {", ".join(allowed)}', choose(value, allowed))
    return value


def _count(text: str, name: str, value: str | None, *, skips: bool = False) -> Any:
    """(N, SEED) from "N" or "N:SEED"; where it may have one, (N, SEED, SKIP) from "N:SEED:SKIP"."""
    if value is None:
        return None
    more = 2 if skips else 1
    if not re.fullmatch(rf"[0-9]{{1,18}}(:[0-9]{{1,18}}){{0,{more}}}", value) or int(value.partition(":")[0]) < 1:
        form = "N:SEED or N:SEED:SKIP" if skips else "N:SEED"
        raise RequestError(
            f'{name}={value} in "{text}" is not {form} with N at least 1 and SEED at least 0',
            f"write {name}=100 or {name}=100:0",
        )
    given = tuple(map(int, value.split(":")))
    return given if len(given) > 1 else (*given, 0)

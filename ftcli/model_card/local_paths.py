"""Text without folders, for what is published: of a local path or a URL only the last name is left."""

import re
from typing import Any
from urllib.parse import unquote

SCHEME = re.compile(r"(?:hf|hf-hub|torchvision|digits|preset):(?!//)")  # of what is no path
HOW_CUT = re.compile(r" \([^()/]* cut[^()/]*\)$")  # what a report says behind a SPEC that a set was cut from
QUOTED = re.compile(r"""(['"])((?:~|/|\w[\w+.-]*://)(?:(?!\1).)*)\1""")
BARE = re.compile(r"""(?:\w[\w+.-]*://|~[^\s'"/]*/|(?<![\w.%/~])/)[^\s'",;()]+""")


def last_name(path: str) -> str:
    """The last name of a path or URL; any other text as it is."""
    if SCHEME.match(path):
        return path
    names = [name for name in re.split(r"[/\\]", unquote(path)) if name not in ("", ".", "..")]
    return path if "/" not in path + unquote(path) and not path.startswith("~") else (names or ["."])[-1].lstrip("~")


def of_spec(text: str) -> str:
    """A SPEC, or NAME=SPEC, with the last name of every path in it."""
    how = HOW_CUT.search(text)
    text, end = (text[: how.start()], how[0]) if how else (text, "")
    address, mark, settings = text.partition("?")
    name, equals, place = address.partition("=")
    if not equals or "/" in name:
        name, equals, place = "", "", address
    typed = (setting.partition("=") for setting in settings.split("&"))
    shown = "&".join(key + equals + last_name(value) for key, equals, value in typed)
    return name + equals + last_name(place) + mark + shown + end


def of_word(word: str) -> str:
    """A word of a command line, or the value of an option, with the last name of every path in it."""
    option, equals, value = word.partition("=")
    return f"{option}={of_spec(value)}" if equals and option.startswith("--") else of_spec(word)


def of_value(value: Any) -> Any:
    """An option's value with the last name of every path in it."""
    if isinstance(value, list | tuple):
        return [of_value(one) for one in value]
    return of_spec(value) if isinstance(value, str) else value


def of_prose(text: str, known: list[str]) -> str:
    """A sentence with the last name of every path in it. known: paths and SPECs that may occur, as typed."""
    for path in sorted({one for one in known if "/" in one}, key=len, reverse=True):
        text = text.replace(path, of_spec(path))
    text = QUOTED.sub(lambda found: found[1] + last_name(found[2]) + found[1], text)
    return BARE.sub(lambda found: last_name(found[0]), text)

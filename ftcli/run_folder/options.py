"""The options of a command on which its result depends, and how those of two commands differ."""

import json
from collections.abc import Mapping
from typing import Any

from ftcli.config.shared import Common, resolved
from ftcli.records import Foreign

NO_EFFECT = (
    "out",
    "overwrite",
    "html",
    "resume",
    "config",
    "preset",
    "root",
    "json",
    "quiet",
    "debug",
    "workers",
    "save_every",
    "no_cache",
    "progress",
    "log_with",
)  # on the figures


def command_of(config: Common) -> str:
    """The command whose options these are."""
    return type(config).__name__.lower()


def options_in_request(config: Common) -> Foreign:
    """The options on which a result depends, in types of JSON."""
    return json.loads(json.dumps({name: value for name, value in resolved(config).items() if name not in NO_EFFECT}))


def typed(value: Any) -> str:
    """A value as it is typed: a list with commas."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def other_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for name, value in now.items():
        if before.get(name) != value:
            return f"--{name.replace('_', '-')} {typed(before.get(name))}, and this one has {typed(value)}"
    return ""

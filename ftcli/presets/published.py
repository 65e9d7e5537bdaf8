"""Published accuracies of a preset's sets, for a command that was run on these very sets."""

from typing import Any

from ftcli.presets import read_preset
from ftcli.presets.placing import put_root
from ftcli.presets.sets import sets_of


def published_for(command: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """The published figures of a command on sets whose SPEC is the preset's own; none where the training set's is not.

    options: every option as resolved. Each figure has `set`, `accuracy` and `source`; `plus_minus` and `choice` where
    the source states them.
    """
    name = options.get("preset")
    published = read_preset(name).get("published") if name else None
    if not name or not published:
        return []
    own = _own_sets(name, command, options)
    if "train" in options and "train" not in own:
        return []
    return [
        {key: value for key, value in row.items() if key != "command"} | {"source": published["source"]}
        for row in published["figures"]
        if row["command"] == command and row["set"] in own
    ]


def _own_sets(preset: str, command: str, options: dict[str, Any]) -> set[str]:
    """The names of the sets whose SPEC among the options is the preset's."""
    typed = {name: options.get(name) for name in ("train", "id_val", "id_test")}
    typed |= dict(text.split("=", 1) for text in options.get("ood") or [])
    specs = {}
    for one in sets_of(read_preset(preset)):
        if one.command in ("", command):  # a command's own come last
            specs[one.name.removeprefix(f"{command}/")] = put_root(one.spec, options.get("root") or "")
    return {name for name, spec in specs.items() if typed.get(name) == spec}

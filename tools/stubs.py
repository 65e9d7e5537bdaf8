"""Writes ftcli/__init__.pyi, from which editors and type checkers know every option: `python -m tools.stubs [--check]`.

With `--check` nothing is written, and the exit code is 1 when the file is out of date.
"""

import sys
from collections.abc import Sequence
from inspect import Parameter
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

import ftcli
from ftcli.api import is_repeated, parameters
from ftcli.commands import COMMANDS, import_named, option_classes, options_class, python_names
from ftcli.config.declare import Numbers, Triple, Words
from ftcli.config.shared import RunFolder

STUB = Path(ftcli.__file__).with_suffix(".pyi")
HEAD = '''"""Generated from the options of every command by `python -m tools.stubs`: not to be edited."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from ftcli.errors import RequestError as RequestError
from ftcli.errors import RunError as RunError
'''
ACCEPTED = {  # what a function takes for an option of this type
    Numbers: "float | Sequence[float] | str",
    Triple: "Sequence[float] | str",
    Words: "str | Sequence[str]",
    Path: "str | Path",
}


def accepted(kind: Any) -> str:
    """The Python types that a function takes for an option."""
    if get_origin(kind) is Literal:
        return f"Literal[{', '.join(repr(value) for value in get_args(kind))}]"
    if get_origin(kind) in (Union, type(str | None)):
        return " | ".join(dict.fromkeys(accepted(part) for part in get_args(kind)))
    if get_origin(kind) is list:
        return f"{accepted(get_args(kind)[0])} | Sequence[{accepted(get_args(kind)[0])}] | Mapping[str, str]"
    return "None" if kind is NoneType else ACCEPTED.get(kind, getattr(kind, "__name__", "Any"))


def signature(command: str, *, unpacked: bool = False) -> str:
    """The options of a command as the parameters of a function. unpacked: a list of arguments is typed one by one."""
    arguments, options = [], []
    for name, parameter in parameters(command).items():
        default = "" if parameter.default is Parameter.empty else " = ..."
        text = f"{name}: {accepted(parameter.annotation)}{default}"
        if parameter.kind is not Parameter.POSITIONAL_OR_KEYWORD:
            options.append(text)
        elif unpacked and is_repeated(parameter.annotation):
            arguments.append(f"*{name}: str | Path")
        else:
            arguments.append(text)
    star = ["*"] if options and not any(argument.startswith("*") for argument in arguments) else []
    return ", ".join([*arguments, *star, *options])


def returned(command: str) -> str:
    """The type of a command's answer."""
    if COMMANDS[command].parts:
        return f"_{command.capitalize()}Report"
    if issubclass(options_class(command), RunFolder) or command == "report":
        return "_Report"
    return "list[Json]" if command == "predict" else "Json"


def annotation(kind: Any, modules: set[str]) -> str:
    """A type of a report's part as it is written; `modules`: gets those to import."""
    if get_args(kind):
        inner = [annotation(argument, modules) for argument in get_args(kind)]
        name = getattr(get_origin(kind), "__name__", "")
        return " | ".join(inner) if name in ("Union", "UnionType") else f"{name}[{', '.join(inner)}]"
    if kind.__module__ == "builtins":
        return kind.__name__
    modules.add(kind.__module__)
    return f"{kind.__module__}.{kind.__name__}"


def report_classes() -> list[str]:
    """A class for the reports of every command that has parts of its own, and the imports that they need."""
    modules: set[str] = set()
    classes = []
    for command, row in COMMANDS.items():
        if row.parts:
            fields = [f"    {key}: {annotation(kind, modules)}" for key, kind in import_named(row.parts).items()]
            classes.append(f"class _{command.capitalize()}Report(_Report):\n" + "\n".join(fields))
    return [*(f"import {module}" for module in sorted(modules)), *classes]


def stub() -> str:
    """The whole file."""
    classes = {command: name for name, command in option_classes().items()}
    modules = {name: COMMANDS[command].options.partition(":")[0] for command, name in classes.items()}
    lines = [HEAD + "\n".join(f"from {module} import {name} as {name}Options" for name, module in modules.items())]
    lines.append("from ftcli.report.types import Report as _Report\n")
    lines += report_classes()
    lines.append("Json = dict[str, Any]  # what --json prints\n__version__: str")
    for name, command in python_names().items():
        one_call = f"def {name}(options: {classes[command]}Options, /) -> {returned(command)}: ..."
        signatures = dict.fromkeys([signature(command), signature(command, unpacked=True)])
        calls = [one_call, *(f"def {name}({text}) -> {returned(command)}: ..." for text in signatures)]
        lines += [f"@overload\n{call}" for call in calls]
    for name, command in option_classes().items():
        lines.append(f"def {name}({signature(command)}) -> {name}Options: ...")
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    """Bring the file up to date, or only say whether it is; gives the exit code."""
    text = stub()
    if STUB.exists() and STUB.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in words:
        print(f"{STUB.name} is out of date: run python -m tools.stubs", file=sys.stderr)
        return 1
    STUB.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

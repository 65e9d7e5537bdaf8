"""The commands as Python functions: the same options, checked by the same parser; what `--json` prints comes back.

`ftcli.lpft(train=…, checkpoint=…)` is `ftcli lpft --train … --checkpoint …`. `ftcli.Lpft(…)` takes the same words and
gives the configuration alone, which `ftcli.lpft(configuration)` then runs.
"""

import inspect
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo

from ftcli.cli.help import name_of, opposite_of
from ftcli.cli.main import configuration_of
from ftcli.commands import COMMANDS, import_named, option_classes, options_class, python_names
from ftcli.config.shared import Common, Loading
from ftcli.errors import RequestError, choose

# What computes sets threads and kernels, draws from torch's own generator and traces networks, all of which a process
# has once: calls in several threads wait for each other, and give what they give one after the other.
COMPUTE_LOCK = threading.RLock()
CLI_ONLY_OPTIONS = ("json", "jsonl", "debug")  # of no use where values come back and errors are raised


def to_argv(command: str, values: Mapping[str, Any]) -> list[str]:
    """A command's options as they would be typed; None is not."""
    options = options_class(command)
    hints = get_type_hints(options, include_extras=True)
    typed, arguments = [command], ["--"]  # behind "--", a value may begin with a dash
    for field in fields(options):
        value, (kind, declared, *_) = values.get(field.name), get_args(hints[field.name])
        if isinstance(declared, ArgumentInfo):
            arguments += [] if value is None else values_as_text(value)
        elif kind is bool:
            typed += [] if value is None else [name_of(field, declared) if value else opposite_of(declared)]
        elif value is not None:
            parts = values_as_text(value) if is_repeated(kind) else [",".join(values_as_text(value))]
            typed += [f"{name_of(field, declared)}={part}" for part in parts]
    return typed + arguments


def is_repeated(kind: Any) -> bool:
    """Whether an option is typed once for each of its values, as --ood is."""
    return any(part is list or getattr(part, "__origin__", None) is list for part in (kind, *get_args(kind)))


def values_as_text(value: Any) -> list[str]:
    """One value or many, as text; a mapping as NAME=VALUE."""
    if isinstance(value, Mapping):
        return [f"{name}={part}" for name, part in value.items()]
    return [str(part) for part in value] if isinstance(value, list | tuple | set) else [str(value)]


def configure(command: str, *arguments: Any, **values: Any) -> Common:
    """The configuration that a command line with these options has; quiet, unless `quiet=False`.

    Raises RequestError for an option that the command does not have and a value that it does not take.
    """
    known = parameters(command)
    names = [name for name, one in known.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(arguments) > len(names) and names and is_repeated(known[names[-1]].annotation):
        last = len(names) - 1  # takes several values: ftcli.distortion("before", "after")
        arguments = (*arguments[:last], [*arguments[last:]])
    if len(arguments) > len(names):
        problem = f"{command} takes {', '.join(names) or 'nothing'} without a name, and got {len(arguments)} values."
        raise RequestError(problem, "name the options, as in epochs=5")
    values = {"quiet": True, **dict(zip(names[: len(arguments)], arguments, strict=True)), **values}
    for name in values:
        if name not in known:
            raise RequestError(f"{command} has no option {name!r}.", choose(name, known))
    return configuration_of(to_argv(command, values))


def run_command(command: str, *arguments: Any, **values: Any) -> Any:
    """Run a command on a configuration, or on its options; gives what `--json` prints, as plain Python values.

    Safe in several threads: commands that compute are carried out one after the other.

    Raises RequestError where the request is wrong and RunError where the run failed, as the command line says them.
    """
    if arguments and isinstance(arguments[0], Common):
        config, own = arguments[0], options_class(command)
        if type(config) is not own or values or len(arguments) > 1:
            fix = f"give ftcli.{own.__name__}(…) every option"
            raise RequestError(f"{command} takes one configuration of its own and nothing besides.", fix)
    else:
        config = configure(command, *arguments, **values)
    computes = isinstance(config, Loading) or COMMANDS[command].panel != "Look"
    with COMPUTE_LOCK if computes else nullcontext():
        answer = import_named(COMMANDS[command].function)(config)
    return json.loads(json.dumps(answer.as_content())) if answer.report is None else answer.report


def parameters(command: str) -> dict[str, inspect.Parameter]:
    """What a command's function takes: arguments first, with or without their names, then options by name."""
    options = options_class(command)
    hints = get_type_hints(options, include_extras=True)
    found = {}
    for name, one in inspect.signature(options).parameters.items():
        argument = isinstance(get_args(hints[name])[1], ArgumentInfo)
        kind = one.POSITIONAL_OR_KEYWORD if argument else one.KEYWORD_ONLY
        plain = get_args(hints[name])[0]  # without what the command line needs to know
        found[name] = one.replace(kind=kind, annotation=plain, default=True if name == "quiet" else one.default)
    shown = [one for name, one in found.items() if name not in CLI_ONLY_OPTIONS]
    return {one.name: one for one in sorted(shown, key=lambda one: one.kind)}


def function_of(command: str, action: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    """`action` for one command, with its options in the signature, so that `help` shows them."""

    def call(*arguments: Any, **values: Any) -> Any:
        return action(command, *arguments, **values)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    call.__signature__ = inspect.Signature(list(parameters(command).values()))  # type: ignore[attr-defined]
    return call


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        name: function_of(command, run_command, name, COMMANDS[command].help)
        for name, command in python_names().items()
    },
    **{
        name: function_of(command, configure, name, f"The options of `ftcli {command}`, checked.")
        for name, command in option_classes().items()
    },
}

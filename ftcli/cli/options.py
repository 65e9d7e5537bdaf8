"""From a configuration class to a Typer signature, and from a preset, a TOML file or a report to its defaults.

Precedence, strongest first: what is typed, `--config`, `--preset`, the environment, the user's file, the default. All
but the first and the last become the parser's default map, so their values pass the very checks that typed ones do.
"""

import inspect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from ftcli.cli.completion import completer_of
from ftcli.config.declare import PANELS
from ftcli.config.details.estimates import BY_NAME, ONLY_STANDARD
from ftcli.config.files.machine import machine_defaults, read_text
from ftcli.config.files.toml import parse_toml
from ftcli.config.shared import Common
from ftcli.errors import RequestError, suggest
from ftcli.presets import load_preset
from ftcli.presets.placing import at_root
from ftcli.recipes import load_recipe
from ftcli.safe_text import shortened

NOT_FROM_REPORT = (
    "out",
    "overwrite",
    "config",
    "dry_run",
    "json",
    "quiet",
    "debug",
    "plot",
    "sheet",
    "progress",
    "log_with",
)  # a report's options that name itself
MACHINE, FILES = "ftcli.machine", "ftcli.files"  # keys of a context's meta: the sources of its default map
# What runs code, sends data away, or says where to write and what to replace: no file from somebody else may say it.
TYPED_ONLY = ("import_", "out", "overwrite", "plot", "sheet", "log_with")
# Options of which one that is typed stands in the place of the other in a file.
EXCLUSIVE = {"seed": "seeds", "seeds": "seed", "method": "methods", "methods": "method"}
# Lists of a study, and how several are typed.
LISTS = {
    "--preset": "--preset A,B", "--methods": "--methods A,B", "--tables": "--tables A,B",
    "--checkpoint": "--set checkpoint=A,B",
}  # fmt: skip
# Options that may be typed without a value: those that they can have, the first where there is none.
OPTIONAL = {"--estimate": (ONLY_STANDARD, *BY_NAME)}
TILDE = re.compile(r"(?:(?<=^)|(?<==))~[^/=?&]*(?=/|$)")  # a home folder at the beginning, or behind NAME= or root=


def command_of(options: type[Common], run: Callable[[Common], None], name: str, help: str) -> Callable[..., None]:
    """A function whose signature has one parameter per field of `options`; it builds the configuration and runs it."""
    hints = get_type_hints(options, include_extras=True)
    callbacks: dict[str, Callable[..., Any]] = {"preset": apply_preset, "config": apply_file_and_preset}
    if options.defaults_for_cells:
        callbacks = {"recipe": apply_recipe, "config": apply_file}
    for option, callback in callbacks.items():
        if option in hints:
            hints[option] = with_attributes(hints[option], callback=callback, is_eager=True)  # read before the others
    if "config" in hints:
        for option in (name for name in TYPED_ONLY if name in hints):
            hints[option] = with_attributes(hints[option], callback=typed_only)
    for option in (name for name in EXCLUSIVE if name in hints):
        hints[option] = with_attributes(hints[option], callback=unless_typed)
    for option in (field.name for field in fields(options)):
        if completer := completer_of(option, get_args(hints[option])[1]):
            hints[option] = with_attributes(hints[option], autocompletion=completer)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(options)
    ]
    panels = (None, *PANELS)  # arguments have no panel and come first
    parameters.sort(key=lambda parameter: panels.index(get_args(parameter.annotation)[1].rich_help_panel))
    parameters.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))

    def command(context: typer.Context, **values: Any) -> None:
        of_file = expand_home((context.default_map or {}).get("root"))
        values = at_root({name: expand_home(value) for name, value in values.items()}, of_file)
        run(options(**values))

    command.__name__, command.__doc__ = name, help
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def with_attributes(hint: Any, **attributes: Any) -> Any:
    """The same annotation, its declaration with other attributes."""
    kind, declared = get_args(hint)
    declared = copy(declared)
    for name, value in attributes.items():
        setattr(declared, name, value)
    return Annotated[kind, declared]


def expand_home(value: Any) -> Any:
    """An option's value with ~ written out where a path begins: no shell does it behind an equals sign."""
    if isinstance(value, list):
        return [expand_home(one) for one in value]
    if not isinstance(value, str | Path) or "~" not in str(value):
        return value
    return type(value)(TILDE.sub(lambda found: os.path.expanduser(found[0]), str(value)))


def command_class(options: type[Common]) -> type[TyperCommand]:
    """Typer's class of a command with these options."""
    return StudyCommand if options.defaults_for_cells else OptionsCommand


class StudyCommand(TyperCommand):
    """The command whose options are for others, of which it lists several."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            check_lists(args)
        return super().parse_args(ctx, args)


def check_lists(words: Sequence[str]) -> None:
    """Raises RequestError for a list that is typed in two options, of which the parser would take the last."""
    typed = [word.partition("=")[0] for word in words]
    for name, together in LISTS.items():
        if typed.count(name) > 1:
            raise RequestError(f"{name} is given twice.", f"type all in one: {together}")


class OptionsCommand(TyperCommand):
    """A command whose weakest defaults, before those of the declarations, are the machine's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # completion, which must not fail
            args = with_optional_values(args)
            ctx.meta[MACHINE] = machine_defaults([str(parameter.name) for parameter in self.params])
            set_default_map(ctx)
        return super().parse_args(ctx, args)


def with_optional_values(words: Sequence[str]) -> list[str]:
    """The words with a value behind each option that has one where none is typed. What follows such an option is its
    value only where it is one of those that it can have.
    """
    complete: list[str] = []
    for i, word in enumerate(words):
        complete.append(word)
        following = "".join(words[i + 1 : i + 2]).split(",")
        if word in OPTIONAL and not set(following) <= set(OPTIONAL[word]):
            complete.append(OPTIONAL[word][0])
    return complete


def set_default_map(context: Any, **values: Mapping[str, Any]) -> None:
    """Make the parser's defaults of the sources so far and of these, each stronger than the machine's."""
    files = context.meta.setdefault(FILES, {})
    files |= values
    machine = {name: default.value for name, default in context.meta.get(MACHINE, {}).items()}
    context.default_map = machine | merge_options(files.get("config", {}), files.get("preset", {}))


def apply_preset(context: typer.Context, name: str | None) -> str | None:
    """Put a preset's options below those of a configuration file."""
    if name is not None:
        of_files = context.meta.get(FILES, {}).get("preset", {})
        set_default_map(context, preset=merge_options(of_files, options_of_preset(name, context)))
    return name


def apply_recipe(context: typer.Context, name: str | None) -> str | None:
    """Put a recipe's options below those of a configuration file."""
    if name is not None:
        set_default_map(context, preset=check_keys(load_recipe(name), context, f"the recipe {name}"))
    return name


def apply_file_and_preset(context: typer.Context, path: Path | None) -> Path | None:
    """Put a file's options above those of a preset; the file may name a preset of its own."""
    if path is not None:
        values = options_of_file(context, path)
        of_preset = context.meta.get(FILES, {}).get("preset", {})
        if isinstance(values.get("preset"), str):
            of_preset = merge_options(options_of_preset(values["preset"], context), of_preset)
        set_default_map(context, config=values, preset=of_preset)
    return path


def apply_file(context: typer.Context, path: Path | None) -> Path | None:
    """Put a file's options above the others."""
    if path is not None:
        set_default_map(context, config=options_of_file(context, path))
    return path


def options_of_file(context: typer.Context, path: Path) -> dict[str, Any]:
    """The options that the file of --config, or of an argument, gives to a command."""
    path = expand_home(path)
    (kind,) = [one.param_type_name for one in context.command.params if one.name == "config"]
    values = read_options(path, str(context.info_name), "" if kind == "argument" else "--config ")
    return check_keys(values, context, str(path))


def merge_options(strong: Mapping[str, Any], weak: Mapping[str, Any]) -> dict[str, Any]:
    """Both files' options; what the stronger one says also counts in the place of what stands instead of it."""
    replaced = {EXCLUSIVE.get(name) for name in strong}
    return {**{name: value for name, value in weak.items() if name not in replaced}, **strong}


def unless_typed(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Nothing, where a file gives the value and what stands instead of it is typed; typed options are read first."""
    name = str(parameter.name)
    sources = [context.get_parameter_source(one) for one in (name, EXCLUSIVE[name])]
    names = [source.name if source else "" for source in sources]
    return None if names == ["DEFAULT_MAP", "COMMANDLINE"] else value


def typed_only(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Refuse what a file says and only a person may say."""
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "DEFAULT_MAP":
        name = parameter.opts[0]
        raise RequestError(
            f"{context.params['config']}: {name} {shortened(str(value))} does not count from a file: it would run "
            "code, send data away, or say where to write.",
            f"take it out of the file, and type {name} yourself if you mean it",
        )
    return value


def options_of_preset(name: str, context: typer.Context) -> dict[str, Any]:
    """What a preset says about the options that the command has; its others are for other commands."""
    names = {str(parameter.name) for parameter in context.command.params}
    return {key: value for key, value in load_preset(name, str(context.info_name)).items() if key in names}


def read_options(path: Path, command: str, typed: str = "--config ") -> dict[str, Any]:
    """The options that a TOML file or a report of the same command holds. typed: what stands before its name.

    Raises RequestError where it is neither.
    """
    name, fix = f"{typed}{str(path)!r}", "give a TOML file or a report.json" if typed else "give a TOML file"
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{name} cannot be read: {error}.", fix) from None
    if path.suffix != ".json":
        try:
            return parse_toml(text)
        except ValueError as error:  # bad TOML, or a number with thousands of digits
            reason = shortened(str(error))
            raise RequestError(f"{name} cannot be read as TOML: {reason}.", "mend it there") from None
    try:
        report = json.loads(text)
        made_by, options = report["command"], dict(report["config"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RequestError(f"{name} is not a report of ftcli.", fix) from None
    if made_by != command:
        raise RequestError(f"{name} is a report of `{made_by}`.", f"type ftcli {made_by}, or use a TOML file")
    return {key: value for key, value in options.items() if key not in NOT_FROM_REPORT and value is not None}


def check_keys(values: dict[str, Any], context: typer.Context, where: str) -> dict[str, Any]:
    """The same values under the parser's own names; a key that the command does not know is refused. One word of an
    option that is repeatable is a list of one.
    """
    parameters = {str(parameter.name).rstrip("_"): parameter for parameter in context.command.params}
    known: dict[str, Any] = {}
    for key, value in values.items():
        if (parameter := parameters.get(key.replace("-", "_"))) is None:
            raise RequestError(
                f"{where}: {shortened(key)!r} is not an option of `{context.info_name}`.",
                suggest(key, parameters) or f"the options are {', '.join(sorted(parameters))}",
            )
        alone = isinstance(value, str) and getattr(parameter, "multiple", False)
        known[str(parameter.name)] = [value] if alone else value
    return known

"""Defaults of a machine: four environment variables and the user's file, weaker than everything that is typed or
named, and refused where they are wrong.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftcli
from ftcli.commands import COMMANDS, options_class
from ftcli.config.files.machine import KINDS, VARIABLES, user_file
from ftcli.errors import RequestError
from tests.helpers.program import inside

NEEDED = {"train": "photos", "checkpoint": "model"}
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the user's file, in a configuration folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "ftcli" / "ftcli.toml"
    path.parent.mkdir()

    def write_file(text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def lpft(**options: Any) -> Any:
    """The options of `ftcli lpft`, through the parser of the command line."""
    return ftcli.Lpft(**NEEDED, **options)


def test_each_source_is_weaker_than_the_one_before(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed, --config, --preset (which sets one thread), the environment, the user's file, the default."""
    assert lpft().threads is None
    write("threads = 2\n")
    assert lpft().threads == 2
    monkeypatch.setenv("FTCLI_THREADS", "3")
    assert lpft().threads == 3
    assert lpft(preset="digits").threads == 1
    config = tmp_path / "options.toml"
    config.write_text("threads = 5\n")
    assert lpft(preset="digits", config=config).threads == 5
    config.write_text('threads = 5\npreset = "digits"\n')
    assert lpft(config=config).threads == 5
    config.write_text('preset = "digits"\n')
    assert lpft(config=config).threads == 1
    assert lpft(preset="digits", config=config, threads=6).threads == 6


def test_every_variable_and_every_key_of_the_file_is_heard(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('device = "cuda:1"\nprecision = "fp16"\nworkers = 3\nthreads = 4\nno-cache = true\n')
    found = lpft()
    assert [found.device, found.precision, found.workers, found.threads] == ["cuda:1", "fp16", 3, 4] and found.no_cache
    assert lpft(no_cache=False).no_cache is False
    for name, value in {"DEVICE": "cpu", "PRECISION": "fp32", "WORKERS": "0", "THREADS": "1"}.items():
        monkeypatch.setenv(f"FTCLI_{name}", value)
    found = lpft()
    assert [found.device, found.precision, found.workers, found.threads] == ["cpu", "fp32", 0, 1] and found.no_cache
    assert {"FTCLI_DEVICE", "FTCLI_PRECISION", "FTCLI_WORKERS", "FTCLI_THREADS"} == set(VARIABLES.values())


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTCLI_WORKERS", "")
    assert lpft().workers is None


def test_commands_without_such_options_take_no_notice(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("no TOML at all")
    monkeypatch.setenv("FTCLI_WORKERS", "many")
    assert inside("presets").returncode == 0 and inside("schema").returncode == 0
    without = {name for name in COMMANDS if not {*KINDS} & {*options_class(name).__dataclass_fields__}}
    assert {"presets", "schema", "compare", "report", "cache", "data", "blocks"} <= without


@pytest.mark.parametrize(
    ("name", "value"),
    [("FTCLI_WORKERS", "two"), ("FTCLI_WORKERS", "-1"), ("FTCLI_THREADS", "0"), ("FTCLI_PRECISION", "fp8")],
)
def test_a_wrong_value_of_a_variable_is_named_with_it(name: str, value: str) -> None:
    done = inside("lpft", "--train", "photos", "--checkpoint", "model", **{name: value})
    option = f"--{name.removeprefix('FTCLI_').lower()}"
    assert done.returncode == 2 and f"{option} {value!r} (from {name})" in done.stderr
    typed = inside("lpft", "--train", "photos", "--checkpoint", "model", "--bn", "no", **{name: value})
    assert typed.returncode == 2 and ("--bn" in typed.stderr or name in typed.stderr)


def test_a_device_that_is_not_here_is_named_with_where_it_is_from(write: Write) -> None:
    words = ["lpft", "--train", "photos", "--checkpoint", "model"]
    done = inside(*words, FTCLI_DEVICE="cuda:77")
    assert done.returncode == 2 and "--device 'cuda:77' (from FTCLI_DEVICE) is not here" in done.stderr
    path = write('device = "gpu"\n')
    done = inside(*words)
    assert done.returncode == 2 and f"--device 'gpu' (from {path}) is not here" in done.stderr
    done = inside(*words, "--device", "gpux")
    assert done.returncode == 2 and "--device 'gpux' is not here" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('out = "runs/x"', '"out" is not an option of a machine'),
        ('import = "code.py"', '"import" is not an option of a machine'),
        ('train = "photos"', '"train" is not an option of a machine'),
        ("worker = 1", 'did you mean "workers"?'),
        ("[device]\nname = 1", "is not a text"),
        ("workers = true", "workers = True is not a whole number"),
        ('workers = "2"', "workers = 2 is not a whole number"),
        ("no_cache = 1", "no_cache = 1 is not true or false"),
        ("workers = ", "cannot be read"),
        ("workers = 999", "--workers 999 (from {path})"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(text: str, said: str, write: Write) -> None:
    path = write(text)
    done = inside("lpft", "--train", "photos", "--checkpoint", "model")
    assert done.returncode == 2 and str(path) in done.stderr and "Traceback" not in done.stderr
    assert said.format(path=path) in done.stderr


def test_a_file_that_is_none_is_refused_or_absent(write: Write) -> None:
    path = write("")
    path.unlink()
    assert lpft().workers is None
    os.mkfifo(path)
    with pytest.raises(RequestError, match="no regular file"):
        lpft()
    path.unlink()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RequestError, match="cannot be read"):
        lpft()


def test_the_file_lies_in_the_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("", "relative"):  # by the convention, a relative path counts as not set
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        assert user_file() == tmp_path / ".config" / "ftcli" / "ftcli.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    assert user_file() == Path("/elsewhere/ftcli/ftcli.toml")


def test_a_report_and_a_dry_run_show_the_resolved_values(tmp_path: Path) -> None:
    words = ["probe", "--preset", "digits", "--dry-run", "--json"]
    found = inside(*words, FTCLI_WORKERS="1", FTCLI_PRECISION="fp32").report["config"]
    assert (found["workers"], found["precision"]) == (1, "fp32")


def test_completion_does_not_fail_on_a_wrong_file(write: Write) -> None:
    write("no TOML at all")
    asked = {"_FTCLI_COMPLETE": "complete_bash", "COMP_WORDS": "ftcli lpft --bn ", "COMP_CWORD": "3"}
    assert inside(**asked).stdout.split() == ["train", "eval"]

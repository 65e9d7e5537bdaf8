"""The program at its edges: help, streams, exit codes, where options come from, what is written and where."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints
from unittest import mock

import pytest
import typer

from ftcli.api import to_argv
from ftcli.cli.help import ARGUMENTS, rows
from ftcli.commands import COMMANDS, options_class
from ftcli.config.declare import PANELS
from ftcli.safe_text import printable
from tests.helpers.ended import Ended
from tests.helpers.pictures import folder
from tests.helpers.program import PAINT, SMALL, Stream, Work, inside, lasting, read, work

ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def run(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    """LP-FT over two rates and two seeds, with one more OOD set under a hostile name."""
    out = tmp_path_factory.mktemp("runs") / "lpft"
    again = ["--ood", f"{PAINT}={tiny.far}"]
    done = inside("lpft", *tiny.words, *again, "--lr", "1e-4,1e-3", "--epochs", 2, "--seeds", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    return done, out


# ---- help


def defaults_of(command: str) -> dict[str, Any]:
    """Every option of a command as it is typed, with its default; arguments are left out."""
    hints = get_type_hints(options_class(command), include_extras=True)
    own = [one for one in fields(options_class(command)) if "Option" in type(get_args(hints[one.name])[1]).__name__]
    return {"--" + one.name.rstrip("_").replace("_", "-"): one.default for one in own}


def pairs(items: list[str]) -> list[tuple[str, str]]:
    return list(zip(items[::2], items[1::2], strict=True))


@pytest.mark.parametrize("columns", ["60", "100"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option_with_its_default(command: str, columns: str) -> None:
    done = inside(command, "--help", COLUMNS=columns)
    assert done.returncode == 0 and done.stderr == ""
    assert COMMANDS[command].help in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= int(columns)
    stretches = re.split(r"\n│ (--[a-z0-9-]+)(?= )", done.stdout)
    said = {name: " ".join(re.sub("[│╭╮╰╯─┬┴]", " ", words).split()) for name, words in pairs(stretches[1:])}
    for option, default in defaults_of(command).items():
        assert re.search(r"\[[^\]]+\]", said[option]), f"{command} {option} says no default"
        assert not re.search(r"<(int|float)>|INTEGER|FLOAT", said[option]), f"{command} {option} says no unit"
        if isinstance(default, str | int) and not isinstance(default, bool):
            assert f"{default}]" in said[option], f"{command} {option} says another default"


def test_help_is_grouped() -> None:
    for command, other in (("lpft", "Measure"), ("distortion", "Training")):
        text = inside(command, "--help").stdout
        places = [text.index(f"\n{panel} ") for panel in PANELS if panel != other]
        assert places == sorted(places) and f"\n{other} " not in text
    top = inside("--help").stdout
    for name, row in COMMANDS.items():
        assert top.index(f"\n{row.panel} ") < top.index(f"│ {name} ")
    assert inside().stdout == top


def test_version() -> None:
    from ftcli import __version__

    assert inside("--version").stdout.strip() == f"ftcli {__version__}"


@pytest.mark.parametrize("words", [["help"], ["-h", "--help"], ["help", "--help"], ["help", "-h"]])
def test_help_is_asked_for_in_several_ways(words: list[str]) -> None:
    assert inside(*words).stdout == inside("--help").stdout


@pytest.mark.parametrize("words", [["help", "cache"], ["cache", "-h", "--help"], ["--help", "cache"]])
def test_help_of_a_command(words: list[str]) -> None:
    done = inside(*words)
    assert done.returncode == 0 and done.stdout == inside("cache", "--help").stdout
    assert "ftcli cache [OPTIONS] [ACTION]\n" in done.stdout


@pytest.mark.parametrize("words", [["help", "evalute"], ["evalute", "--help"], ["-h", "evalute"]])
def test_help_of_no_command(words: list[str]) -> None:
    done = inside(*words)
    assert done.returncode == 2 and 'did you mean "evaluate"?' in done.stderr and done.stdout == ""


@pytest.mark.parametrize("words", [["-V"], ["evaluate", "--version"], ["cache", "clear", "-V"]])
def test_version_is_asked_for_in_several_ways(words: list[str]) -> None:
    assert inside(*words).stdout == inside("--version").stdout


def test_behind_two_dashes_nothing_asks_for_help(tmp_path: Path) -> None:
    for word in ("--help", "-V"):
        done = inside("report", "--", word, COLUMNS="200")
        assert done.returncode == 2 and word in done.stderr and not done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_speaks_of_what_the_command_has(command: str) -> None:
    """No option of another command, no number that nobody can read, nothing required that is not."""
    told = " ".join(inside(command, "--help", COLUMNS="300").stdout.split())
    own = {row.name for row in rows(options_class(command))}
    others = {word for word in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", told) if not word.startswith("--no-")} - own
    assert others <= {"--cache"}, f"{command} speaks of {others}"
    assert not re.search(r"\de\+\d", told)
    selects = command in ("probe", "finetune", "lpft", "surgical", "study")
    assert ("learning rate and epoch are selected on it" in told) == selects
    usage = told.partition(" [OPTIONS]")[2].partition(COMMANDS[command].help)[0]
    for row in rows(options_class(command)):
        if row.panel == ARGUMENTS:
            assert (f"[{row.name}]" in usage) == (row.default != "required")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_can_be_taken_back(command: str) -> None:
    """As the last word typed: what counts is that it is understood."""
    from ftcli.cli.options import command_of

    found = list[Any]()
    app = typer.Typer()
    app.command()(command_of(options_class(command), found.append, command, ""))
    hints = get_type_hints(options_class(command), include_extras=True)
    flags = [one.name for one in fields(options_class(command)) if get_args(hints[one.name])[0] is bool]
    assert flags
    given = {"models": ["a", "b"], "checkpoint": "c", "images": "3", "reports": ["r"], "file": "f", "source": "s",
             "target": "t"}  # fmt: skip
    known = {one.name: given[one.name] for one in fields(options_class(command)) if one.name in given.keys() - flags}
    asked = to_argv(command, {"train": "t", "id_test": "x", "blocks": "all", "ood": {"o": "s"}} | known)
    for name in flags:
        word = name.replace("_", "-")
        typed = f"--{word.removeprefix('no-')}" if word.startswith("no-") else f"--no-{word}"
        app([f"--{word}", typed, *asked[1:]], standalone_mode=False)
        assert getattr(found[-1], name) is False


# ---- streams


def test_a_pipe_holds_plain_text(ftcli: Callable[..., Ended], tiny: Work, tmp_path: Path) -> None:
    done = ftcli("probe", *tiny.words, "--out", tmp_path / "o")
    assert done.returncode == 0 and "LP" in done.stdout and str(tmp_path / "o") in done.stdout
    assert "warning: far: 14 of 42 examples" in done.stderr
    for text in (done.stdout, done.stderr):
        assert ESCAPE not in text and "\r" not in text


def test_json_is_the_report_and_nothing_else(tiny: Work, tmp_path: Path) -> None:
    done = inside("probe", *tiny.words, "--json", "--out", tmp_path / "o")
    assert done.stdout == (tmp_path / "o" / "report.json").read_text(encoding="utf-8")
    assert done.report["command"] == "probe" and done.report["data"]["classes"][0] == PAINT
    assert ESCAPE not in done.stdout


def test_a_hostile_name_paints_nothing(run: tuple[Ended, Path], tiny: Work) -> None:
    done, out = run
    calls = [
        done, inside("report", out), inside("compare", out), inside("compare", out, "--format", "csv"),
        inside("compare", out, "--format", "markdown"), inside("compare", out, "--json"), inside("data", tiny.far),
        inside("data", tiny.far, "--json"), inside("predict", out, tiny.far),
        inside("predict", out, tiny.far, "--json"), inside("lpft", *tiny.words, "--dry-run"),
        inside("lpft", *tiny.words, "--dry-run", "--json"),
    ]  # fmt: skip
    for call in calls:
        assert call.returncode == 0, call.stderr
        assert ESCAPE not in call.stdout + call.stderr, f"{call.args} lets a name paint"
    # Not read as markup either: the name stands there whole, but for the sign that would have painted.
    for call in (done, inside("data", tiny.far)):
        assert PAINT.replace(ESCAPE, "\N{REPLACEMENT CHARACTER}") in call.stdout


def test_a_terminal_gets_colour_and_bars_but_no_paint(tiny: Work, tmp_path: Path) -> None:
    words = ["probe", *tiny.words, "--ood", f"{PAINT}={tiny.far}", "--no-cache", "--out"]
    seen = inside(*words, tmp_path / "a", terminal=True, TERM="xterm-256color", COLUMNS="100")
    assert seen.returncode == 0 and ESCAPE in seen.stdout and "\r" in seen.stderr
    assert "features of train" in seen.stderr  # a bar
    plain = inside(*words, tmp_path / "b", terminal=True, TERM="xterm-256color", COLUMNS="100", NO_COLOR="1")
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])[;m]")
    assert colour.search(seen.stdout) and not colour.search(plain.stdout + plain.stderr)
    for call in (seen, plain):
        assert "\x1b[31m" not in call.stdout + call.stderr


def test_quiet_leaves_only_the_result(tiny: Work, tmp_path: Path) -> None:
    """And the warnings, which change what a figure means."""
    done = inside("finetune", *tiny.words, "--lr", "1e-3", "--epochs", 1, "-q", "-o", tmp_path / "o")
    assert done.returncode == 0 and done.stdout.startswith("Accuracy")
    warned = [f"warning: {printable(warning['text'])}" for warning in read(tmp_path / "o")["warnings"]]
    assert warned and done.stderr.splitlines() == warned


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_another_encoding_holds_everything(
    encoding: str, ftcli: Callable[..., Ended], run: tuple[Ended, Path], tmp_path: Path
) -> None:
    """JSON means the same; what is for people comes out, help and errors too."""
    report = read(run[1])
    report["warnings"].append({"code": "x", "text": "Füchse und 狐"})
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    typed = {"PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-m", "ftcli", "report", tmp_path, "--json"], capture_output=True, env={**os.environ, **typed}
    )
    assert done.returncode == 0 and json.loads(done.stdout.decode("ascii")) == report
    for words, code in ((["report", tmp_path], 0), (["theory", "--help"], 0), (["report", "狐"], 2)):
        done = subprocess.run([sys.executable, "-m", "ftcli", *words], capture_output=True, env={**os.environ, **typed})
        assert done.returncode == code and b"Traceback" not in done.stderr, done.stderr
        assert len(done.stdout + done.stderr) > 50


def ended(command: str) -> tuple[int, str]:
    """How a shell sees ftcli end, and stderr; the command is called F in it."""
    called = f"F() {{ '{sys.executable}' -m ftcli \"$@\"; }}; {command}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", called], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", ["surgical --help", "-V", "report OUT", "schema --json", "help"])
def test_a_reader_that_leaves_is_no_failure(words: str, run: tuple[Ended, Path]) -> None:
    code, told = ended(f"F {words.replace('OUT', str(run[1]))} | true")
    assert (code, told) == (141, "")


@pytest.mark.parametrize("words", ["surgical --help", "-V", "report OUT", "report OUT --json", "presets --json"])
def test_a_full_disk_is_said_in_a_line(words: str, run: tuple[Ended, Path]) -> None:
    code, told = ended(f"F {words.replace('OUT', str(run[1]))} > /dev/full")
    assert code == 1 and "No space left" in told and told.count("\n") == 1


@pytest.mark.parametrize(("words", "code"), [("presets >&-", 0), ("report no 2>&-", 2), ("report no 2> /dev/full", 2)])
def test_closed_and_full_streams(words: str, code: int) -> None:
    assert ended(f"F {words}") == (code, "")


def test_progress_that_cannot_be_written_ends_nothing(tiny: Work, tmp_path: Path) -> None:
    """stderr goes into a file on a full disk."""

    class Full(Stream):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    with mock.patch(
        "tests.helpers.program.Stream",
        lambda terminal: Full(terminal) if made.append(1) or len(made) == 2 else Stream(terminal),
    ):
        made: list[int] = []
        done = inside("probe", *tiny.words, "--out", tmp_path / "o")
    assert done.returncode == 0 and read(tmp_path / "o")["command"] == "probe"


def test_it_says_how_much_there_is_to_do(run: tuple[Ended, Path]) -> None:
    lines = run[0].stderr.splitlines()
    grid = lines.index("4 runs of 2 epochs each")
    assert "ID-val" in lines[grid + 1] and re.fullmatch(r"about .+ to go", lines[grid + 2])
    assert sum("epoch" in line and "loss" in line for line in lines) == 8


@pytest.mark.parametrize("columns", ["60", "100", "200"])
def test_no_width_cuts_what_matters(run: tuple[Ended, Path], tiny: Work, columns: str) -> None:
    _, out = run
    shown = inside("report", out, COLUMNS=columns).stdout
    words = re.sub(r"\s+", " ", shown)
    report = read(out)
    for stage in report["stages"].values():
        results = stage["results"]
        for name, entry in {"ID-val": results["id_val"], "ID-test": results["id_test"], **results["ood"]}.items():
            assert name.replace(ESCAPE, "\N{REPLACEMENT CHARACTER}") in words
            low, high = entry.get("ci90") or entry["accuracy_ci95"]
            for text in (f"{100 * entry['accuracy']:.1f}", f"[{100 * low:z.1f}, {100 * high:z.1f}]"):
                assert text in words, f"{text} of {name} is cut or torn at {columns} columns"
    for warning in report["warnings"]:
        assert warning["text"].replace(ESCAPE, "\N{REPLACEMENT CHARACTER}") in shown
    for words in (["report", out], ["compare", out], ["data", tiny.far], ["blocks", out], ["presets"]):
        table = inside(*words, COLUMNS=columns).stdout
        assert "…" not in table
        rules = [line for line in table.splitlines() if line.startswith("─")]
        assert rules and max(map(len, rules)) <= int(columns)


def test_a_long_name_is_folded_whole(tiny: Work, tmp_path: Path) -> None:
    name = "drawings-of-the-same-things-by-other-hands"
    inside("probe", *tiny.words[:4], *SMALL, "--ood", f"{name}={tiny.far}", "--out", tmp_path / "o")
    shown = inside("report", tmp_path / "o", COLUMNS="40").stdout
    assert name in "".join(line.split()[0] for line in shown.splitlines() if line.strip())


def test_one_is_said_as_one(tmp_path: Path) -> None:
    shown = inside("data", folder(tmp_path / "one", {"dog": 1})).stdout
    assert shown.startswith("1 image of 1 class\n")


# ---- exit codes and the folder


def test_divergence_is_exit_1_only_when_nothing_is_left(tiny: Work, tmp_path: Path) -> None:
    done = inside("finetune", *tiny.words, "--lr", "1e-3,1e30", "--epochs", 1, "--json", "--out", tmp_path / "some")
    assert done.report["selected"]["lr"] == 1e-3
    assert [run["diverged"] for run in done.report["runs"]] == [False, True]
    assert "diverged" in inside("report", tmp_path / "some").stdout
    done = inside("finetune", *tiny.words, "--lr", "1e30", "--epochs", 1, "--out", tmp_path / "none")
    assert done.returncode == 1 and "diverged" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand more"), 1, "--batch-size"),
        (OSError(28, "No space left on device", "/x/model.safetensors"), 1, "No space left on device"),
        (RuntimeError("the unforeseen"), 1, "--debug"),
    ],
)
def test_failures_are_told_in_a_line(
    tiny: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("ftcli.methods.probe.probe", fail)
    done = inside("probe", *tiny.words, "--out", tmp_path / "o")
    assert done.returncode == code and told in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not (tmp_path / "o").exists()


def test_debug_shows_where(tiny: Work) -> None:
    calls = {extra: inside("data", f"{tiny.train}?split=test", *extra) for extra in ((), ("--debug",))}
    assert [call.returncode for call in calls.values()] == [2, 2]
    assert ["Traceback" in call.stderr for call in calls.values()] == [False, True]


def test_a_finished_run_is_not_overwritten_unasked(tiny: Work, tmp_path: Path) -> None:
    out = tmp_path / "o"
    first = inside("probe", *tiny.words, "--out", out)
    assert first.returncode == 0
    assert {path.name for path in out.iterdir()} == {
        "report.json", "model.safetensors", "config.json", "history.jsonl", "predictions.parquet",
        "logits.safetensors", "README.md",
    }  # fmt: skip
    before = {path: path.read_bytes() for path in out.iterdir()}
    refused = inside("finetune", *tiny.words, "--out", out)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert inside("finetune", *tiny.words, "--lr", "1e-3", "--epochs", 1, "--out", out, "--overwrite").returncode == 0
    assert read(out)["command"] == "finetune"


def test_a_run_finds_a_folder_for_itself(tiny: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert inside("probe", *tiny.words).returncode == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"probe-\d{8}-\d{6}", folder.name) and read(folder)["command"] == "probe"


# ---- where options come from


def dry(*words: Any) -> dict[str, Any]:
    return inside(*words, "--dry-run", "--json").report


def test_dry_run_counts_and_writes_nothing(tiny: Work, tmp_path: Path) -> None:
    words = ["lpft", *tiny.words, "--lr", "1e-4,1e-3", "--seeds", 3, "--out", tmp_path / "o"]
    plan = dry(*words)
    assert plan["runs"] == 6 and plan["config"]["lr"] == [1e-4, 1e-3]
    counts = {name: plan["data"][name]["n"] for name in ("train", "id_val", "id_test")}
    assert counts == {"train": 48, "id_val": 6, "id_test": 6}
    assert (plan["data"]["ood"]["far"]["n"], plan["data"]["ood"]["far"]["dropped"]) == (28, 14)
    shown = inside(*words, "--dry-run").stdout
    assert "6 runs of 10 epochs each" in shown and "0.0001, 0.001" in shown and "28" in shown
    assert not (tmp_path / "o").exists()


def test_a_toml_file_gives_options_and_typed_ones_win(tiny: Work, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(
        f'checkpoint = "{tiny.checkpoint}"\ntrain = "{tiny.train}"\nood = ["far={tiny.far}"]\n'
        'image-size = 32\nlr = [1e-3, 1e-4]\nepochs = 7\nbatch_size = 8\nbn = "train"\nepoch_zero = true\n'
    )
    options = dry("lpft", "--config", file, "--epochs", 3)["config"]
    assert (options["epochs"], options["lr"], options["batch_size"]) == (3, [1e-4, 1e-3], 8)
    assert (options["image_size"], options["bn"], options["epoch_zero"]) == (32, "train", True)
    file.write_text("epochz = 7\n")
    refused = inside("lpft", "--config", file)
    assert refused.returncode == 2 and '"epochs"' in refused.stderr and "epochz" in refused.stderr


def test_a_report_gives_the_options_of_its_run(run: tuple[Ended, Path], tiny: Work, tmp_path: Path) -> None:
    _, out = run
    own = {"config", "out", "json", "dry_run"}
    drop = lambda options: {key: value for key, value in options.items() if key not in own}  # noqa: E731
    assert drop(dry("lpft", "--config", out / "report.json")["config"]) == drop(read(out)["config"])
    assert dry("lpft", "--config", out / "report.json", "--seeds", 1)["config"]["seeds"] == 1
    again = inside("lpft", "--config", out / "report.json", "--json", "--out", tmp_path / "again").report
    first, second = lasting(read(out)), lasting(again)
    first["config"] |= {"config": None, "json": None}
    assert first == second | {"config": second["config"] | {"config": None, "json": None}}
    other = inside("probe", "--config", out / "report.json")
    assert other.returncode == 2 and "lpft" in other.stderr


def test_a_preset_gives_options_below_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("epochs = 4\nbatch_size = 32\n")
    options = dry("lpft", "--preset", "digits", "--config", file, "--batch-size", 16)["config"]
    assert (options["epochs"], options["batch_size"], options["image_size"]) == (4, 16, 32)
    assert len(options["ood"]) >= 2 and options["preset"] == "digits"
    file.write_text('preset = "digits"\nepochs = 4\n')
    options = dry("lpft", "--config", file)["config"]
    assert (options["epochs"], options["image_size"]) == (4, 32)


@pytest.mark.parametrize(
    ("file", "typed", "seeds"),
    [
        ("seeds = 3", ["--seed", "8,5"], (5, 8)),
        ("seed = [4, 9]", ["--seeds", 2], (0, 1)),
        ("seeds = 3", [], (0, 1, 2)),
        ("seed = 7", ["--preset", "digits"], (7,)),
    ],
)
def test_what_is_typed_stands_in_the_place_of_what_a_file_says(
    file: str, typed: list[Any], seeds: tuple[int, ...], tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text(f'train = "t"\n{file}\n')
    found = parsed("lpft", "--config", tmp_path / "c.toml", *typed)
    assert found.seed_list() == seeds


def test_both_in_one_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("seeds = 3\nseed = 4\n")
    for asked in (["--seeds", 2, "--seed", 3], ["--config", tmp_path / "c.toml"]):
        done = inside("probe", "--train", "t", *asked)
        assert done.returncode == 2 and "both given" in done.stderr


def test_a_flag_of_a_file_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('train = "t"\nno_cache = true\nper-class = true\nresume = true\n')
    asked = ["finetune", "--config", tmp_path / "c.toml"]
    before, after = parsed(*asked), parsed(*asked, "--cache", "--no-per-class")
    assert (before.no_cache, before.per_class, before.resume) == (True, True, True)
    assert (after.no_cache, after.per_class, after.resume) == (False, False, True)


def test_a_home_folder_is_written_out_wherever_a_path_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell does it behind an equals sign, in a file, or in an argument list of a program."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.toml").write_text('id_val = "~/val"\nood = ["far=~/far?label=x", "near=a~/b"]\n')
    found = parsed(
        "lpft", "--config=~/c.toml", "--train=~/photos?classes=~/map.json", "--id-test", "torchvision:STL10?root=~/stl",
        "--checkpoint=~/m.pth", "--import=~/plug.py", "--out=~/r",
    )  # fmt: skip
    assert (found.out, found.import_) == (tmp_path / "r", tmp_path / "plug.py")
    assert (found.train, found.id_val) == (f"{tmp_path}/photos?classes={tmp_path}/map.json", f"{tmp_path}/val")
    assert found.checkpoint == f"{tmp_path}/m.pth" and found.id_test == f"torchvision:STL10?root={tmp_path}/stl"
    assert found.ood == [f"far={tmp_path}/far?label=x", "near=a~/b"]
    shown = parsed("distortion", "~/a", "b", "--id-test=t", "--plot=~/f.svg")
    assert shown.models == [f"{tmp_path}/a", "b"] and shown.plot == tmp_path / "f.svg"
    assert parsed("data", "~").source == str(tmp_path) and parsed("data", "./~/x").source == "./~/x"


def parsed(*words: Any) -> Any:
    """The configuration that a command line has."""
    from ftcli.cli.main import build_app

    found = list[Any]()
    build_app(lambda _: found.append)(list(map(str, words)), standalone_mode=False)
    return found[0]


def test_everything_written_is_json_without_nan(run: tuple[Ended, Path]) -> None:
    _, out = run
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [(line["seed"], line["lr"], line["epoch"]) for line in lines] == [
        (seed, lr, epoch) for seed in (0, 1) for lr in (1e-4, 1e-3) for epoch in (1, 2)
    ]
    assert not re.search(r"\b(NaN|Infinity)\b", (out / "report.json").read_text())

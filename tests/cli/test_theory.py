"""The command `theory`: its report, its tables and figure, its sweeps, and what it refuses."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from ftcli.errors import RequestError, RunError
from ftcli.explain.theory.claims import check_claims
from ftcli.explain.theory.command import theory
from ftcli.explain.theory.options import Theory
from ftcli.explain.theory.problems import ProblemFamily
from ftcli.explain.theory.sweeps import axis_values, ratio_slope, with_value
from ftcli.explain.theory.tables import sweep_table, tables
from ftcli.explain.theory.types import Point, Quantiles, TheoryResults
from ftcli.report.schema import report_from

SMALL: dict[str, Any] = {"k": 2, "n": 6, "d": 12, "worlds": 8, "points": 2, "until": 100.0, "rate": 0.4, "quiet": True}


@pytest.fixture(scope="module", autouse=True)
def few_networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftcli.explain.theory.surgery.NETWORKS", 2)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    folder = tmp_path_factory.mktemp("theory")

    def once(**options: Any) -> dict[str, Any]:
        return theory(Theory(**{"out": folder, "overwrite": True, **SMALL, **options})).content

    return once


@pytest.fixture(scope="module")
def report(run: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return run()


@pytest.fixture
def results(report: dict[str, Any]) -> TheoryResults:
    return msgspec.convert(report["theory"], TheoryResults)


def test_the_report_says_what_was_asked_and_found(report: dict[str, Any]) -> None:
    assert list(report) == [
        "schema", "command", "version", "created", "argv", "config", "theory", "timing", "warnings",
    ]  # fmt: skip
    assert report["command"] == "theory" and report["config"]["k"] == 2
    written = json.loads((Path(report["config"]["out"]) / "report.json").read_text())
    assert written == report
    assert not {"NaN", "Infinity"} & set(re.findall(r"\w+", json.dumps(report.to_dict())))


def test_every_claim_holds_and_has_a_number(report: dict[str, Any]) -> None:
    claims = report["theory"]["claims"]
    assert len(claims) == 14 and all(one["holds"] for one in claims)
    assert all(isinstance(one["value"], (int, float)) and one["seen"] for one in claims)


def test_a_claim_that_does_not_hold_says_so(report: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(report["theory"].to_dict()))
    broken["point"]["invariants"] = {"outside": 1e-7, "balance": 1e-7}
    broken["sweeps"]["n"]["points"][0]["bound"]["violated"] = 1
    broken["descent"]["outside"] = 1e-3
    broken["perfect"] = {"gradient": 1e-3, "lpft_largest": 1e-3, "ft_smallest": 0.0}
    broken["sweeps"]["epsilon"]["points"].reverse()
    shift, flip, few = (broken["surgery"][name] for name in ("input_shift", "output_shift", "few_examples"))
    shift["first_exact"]["max"] = flip["last_exact"]["max"] = few["first"]["max"] = 1e-3
    shift["last_best"]["min"] = few["full"]["min"] = 0.0
    flip["first_flipped"]["min"] = 0.9
    assert not any(claim.holds for claim in check_claims(msgspec.convert(broken, TheoryResults)))


def test_trajectories_start_together_and_fit(report: dict[str, Any]) -> None:
    for of_kind in report["theory"]["trajectories"].to_dict().values():
        assert list(of_kind) == ["lp", "ft", "lpft"]
        for run in of_kind.values():
            assert run["time"][0] == 0 and sorted(set(run["time"])) == run["time"]
            assert len(run["time"]) == len(run["loss"]) == len(run["ood"]) <= 60
        assert of_kind["lp"]["ood"][0] == pytest.approx(of_kind["ft"]["ood"][0])  # the same random head
        assert of_kind["lpft"]["ood"][0] == pytest.approx(of_kind["lp"]["ood"][-1], rel=1e-6)  # LP's end
        assert max(of_kind["ft"]["loss"][-1], of_kind["lpft"]["loss"][-1]) < 1e-15


def test_descent_ends_near_the_flow(run: Callable[..., dict[str, Any]]) -> None:
    coarse, fine = (run(rate=rate, sweep=("none",))["theory"]["descent"]["from_flow"] for rate in (0.4, 0.1))
    assert fine["ft"] < 0.1 and coarse["ft"] / fine["ft"] == pytest.approx(4, rel=0.25)


def test_a_seed_decides_everything(run: Callable[..., dict[str, Any]], report: dict[str, Any]) -> None:
    again = run(sweep=("k",))["theory"]
    for part in ("point", "trajectories", "descent", "perfect", "surgery"):
        assert again[part] == report["theory"][part]
    assert again["sweeps"]["k"] == report["theory"]["sweeps"]["k"]  # whatever else is swept
    assert run(seed=1, sweep=("none",))["theory"]["point"]["ood"] != report["theory"]["point"]["ood"]


def test_nothing_swept(run: Callable[..., dict[str, Any]]) -> None:
    found = run(sweep=("none",))["theory"]
    assert found["sweeps"] == {} and not [one for one in found["claims"] if "falls with" in one["claim"]]


def test_problems_that_do_not_converge_are_reported(run: Callable[..., dict[str, Any]]) -> None:
    warnings = run(until=2.0, sweep=("none",))["warnings"]
    assert [warning["code"] for warning in warnings] == ["unsettled", "unsettled"]
    assert "8 problems" in warnings[0]["text"] and "--until" in warnings[0]["text"]


@pytest.mark.parametrize(
    "axis, expected",
    [
        ("epsilon", [0.001, 0.0316227766, 1.0]),
        ("n", [4, 8, 11]),
        ("k", [1, 3, 5]),
        ("d", [7, 18, 48]),
        ("angle", [30, 60, 90]),
    ],
)
def test_what_a_sweep_goes_through(axis: str, expected: list[float]) -> None:
    values = axis_values(axis, ProblemFamily(3, 6, 12, 0.1), 3)
    assert values == pytest.approx(expected)
    for value in values:
        changed = with_value(ProblemFamily(3, 6, 12, 0.1), axis, value)
        assert getattr(changed, axis) == value and changed.k < changed.n < changed.d
        assert replace(changed, **{axis: getattr(ProblemFamily(3, 6, 12, 0.1), axis)}) == ProblemFamily(3, 6, 12, 0.1)


@pytest.mark.parametrize("axis", ["n", "k", "d"])
def test_a_sweep_at_an_angle_meets_no_shape_without_one(axis: str) -> None:
    family = ProblemFamily(3, 10, 14, 0.1, 60.0)
    for value in axis_values(axis, family, 6):
        changed = with_value(family, axis, value)
        assert changed.k < changed.n and changed.d - changed.n >= changed.k


def test_the_slope_is_the_power(results: TheoryResults) -> None:
    points = [
        msgspec.structs.replace(results.point, epsilon=e, ratio={"lp": Quantiles(3 * e**2.5, 0.0, 1.0)})
        for e in (0.001, 0.1, 0.3)
    ]
    assert ratio_slope(points) == pytest.approx(2.5)


def test_the_tables(report: dict[str, Any], tmp_path: Path) -> None:
    out = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    answer = theory(Theory(out=tmp_path / "run", **SMALL | {"sweep": ("epsilon",), "points": 3}))
    answer.show(out)
    shown = out.export_text()
    for words in ("LP-FT", "L_ood against ε", "0.0316", "Claims", "FT never below its bound", f"saved in {tmp_path}"):
        assert words in shown
    assert "NO" not in shown


def test_the_figure(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run(sweep=("epsilon", "angle"), plot=tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    for words in ("LP/FT", "LP-FT/FT", "ε", "θ_k, degrees"):
        assert words in drawn
    with pytest.raises(RequestError, match="SVG or a PNG"):
        run(plot=tmp_path / "figure.eps")


@pytest.mark.parametrize(
    "options, problem, fix",
    [
        ({"n": 3, "k": 3}, "more examples than features", "--n 4"),
        ({"n": 40}, "fewer examples than inputs", "--d 41"),
        ({"epsilon": 1.5}, "that far apart", "1.414"),
        ({"epsilon": float("nan")}, "that far apart", "1.414"),
        ({"angle": 0.0}, "not above 0", "--angle 60"),
        ({"angle": 91.0}, "at most 90", "--angle 60"),
        ({"angle": 60.0, "n": 38, "sweep": ("n",)}, "always 90", "--d 41"),
        ({"n": 38}, "always 90", "--sweep epsilon,n,k,d"),
        ({"norm": 0.0}, "not above 0", "--norm 1"),
        ({"norm": 1e-200}, "too small", "1e-100"),
        ({"until": float("inf")}, "not above 0", "--until 300"),
        ({"head_std": float("nan")}, "no deviation", "--head-std"),
        ({"rate": 1.0}, "below 1", "--rate 0.1"),
        ({"sweep": ("none", "k")}, "by itself", "none"),
        ({"sweep": ("none",), "plot": Path("x.svg")}, "makes none", "--sweep epsilon"),
    ],
)
def test_what_cannot_be_simulated(options: dict[str, Any], problem: str, fix: str) -> None:
    with pytest.raises(RequestError, match=problem) as refused:
        Theory(**options)
    assert fix in refused.value.fix and refused.value.exit_code == 2


def test_a_descent_too_fast_ends_in_a_plain_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftcli.explain.theory.simulation.stable_rate", lambda X, v0, norm, share: np.full(len(X), 5.0))
    with pytest.raises(RunError, match="diverged"):
        theory(Theory(out=tmp_path / "run", **SMALL | {"sweep": ("none",)}))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_replaced(tmp_path: Path) -> None:
    options = SMALL | {"sweep": ("none",), "out": tmp_path}
    theory(Theory(**options))
    with pytest.raises(RequestError, match="finished run"):
        theory(Theory(**options))


@pytest.mark.parametrize(
    "family", [{"k": 1, "n": 2, "d": 3}, {"k": 5, "n": 6, "d": 7, "sweep": ("epsilon", "n", "k", "d")}]
)
def test_the_smallest_and_the_tightest_shapes(run: Callable[..., dict[str, Any]], family: dict[str, Any]) -> None:
    found = run(**family, worlds=1, points=2, until=20.0)["theory"]
    for sweep in found["sweeps"].values():
        for point in sweep["points"]:
            assert np.isfinite([point["ood"][method]["median"] for method in ("lp", "ft", "lpft")]).all()
            assert max(point["invariants"].to_dict().values()) < 1e-10


@pytest.mark.parametrize(
    "options, without",
    [
        ({"k": 1, "angle": 90.0, "epsilon": 0.0}, {"ratio": ["lp", "lpft"], "from_flow": ["lp", "ft", "lpft"]}),
        ({"k": 1, "angle": 85.0, "epsilon": 0.0}, {"ratio": [], "from_flow": ["lp", "lpft"]}),
        ({"epsilon": 1e-12}, {"ratio": [], "from_flow": ["lp", "lpft"]}),
        (
            {"k": 1, "angle": 90.0, "epsilon": 0.0, "head_std": 0.0},
            {"ratio": ["lp", "lpft"], "from_flow": ["lp", "ft", "lpft"]},
        ),
    ],
)
def test_a_ratio_over_nothing_is_null(
    run: Callable[..., dict[str, Any]], options: dict[str, Any], without: dict[str, list[str]]
) -> None:
    """Examples that show all of the only feature leave FT no error; perfect features leave none to LP and LP-FT. What
    rounding or the solver makes of such a 0 is no denominator.
    """
    report = run(**options, sweep=("none",))
    found = report["theory"]
    assert report_from(report) == report
    assert [method for method, ratio in found["point"]["ratio"].items() if ratio is None] == without["ratio"]
    from_flow = found["descent"]["from_flow"]
    assert [method for method, departure in from_flow.items() if departure is None] == without["from_flow"]
    out = Console(width=120, record=True, file=io.StringIO())
    for table in tables(report, 120):
        out.print(table)
    row = next(line for line in out.export_text().splitlines() if line.startswith("LP "))
    assert ("  -  " in row) == ("lp" in without["ratio"])


def test_a_sweep_through_ratios_over_nothing(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """At 90° there is no ratio: a dash in the table, a gap in the figure; and a bound of 0 stays one."""
    pytest.importorskip("matplotlib")
    found = run(k=1, epsilon=0.0, sweep=("angle",), points=3, plot=tmp_path / "figure.svg")["theory"]
    points = found["sweeps"]["angle"]["points"]
    assert [point["ratio"]["lp"] is None for point in points] == [False, False, True]
    assert points[-1]["bound"] == {**points[-1]["bound"], "positive": 0, "violated": 0, "nearest": None}
    out = Console(width=120, record=True, file=io.StringIO())
    out.print(sweep_table("angle", msgspec.convert(points, list[Point])))
    assert out.export_text().splitlines()[-2].split()[4:6] == ["-", "-"]


@pytest.mark.parametrize("ratio", [None, Quantiles(0.0, 0.0, 0.0)])
def test_a_point_without_a_ratio_leaves_no_slope(results: TheoryResults, ratio: Quantiles | None) -> None:
    sweep = results.sweeps["epsilon"]
    sweep.points[1].ratio["lp"] = ratio
    sweep.slope = ratio_slope(sweep.points)
    assert sweep.slope is None and not [claim for claim in check_claims(results) if "falls with" in claim.claim]


@pytest.mark.parametrize("ratio", ["inf", [1.0], {"median": None, "q10": 0.0, "q90": 0.0}])
def test_the_schema_knows_what_a_ratio_is(report: dict[str, Any], ratio: Any) -> None:
    broken = json.loads(json.dumps(report.to_dict()))
    broken["theory"]["point"]["ratio"]["lp"] = ratio
    with pytest.raises(ValueError, match="ratio/lp"):
        report_from(broken)


def test_a_bound_that_is_missed_is_a_claim_that_does_not_hold(run: Callable[..., dict[str, Any]]) -> None:
    """One feature, and examples that show most of it: the printed bound is too high there."""
    missed = next(
        one for one in run(k=1, angle=80.0, epsilon=0.0, sweep=("none",))["theory"]["claims"] if "bound" in one["claim"]
    )
    assert not missed["holds"] and missed["value"] == 8

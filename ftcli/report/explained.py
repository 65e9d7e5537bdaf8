"""What the commands that explain show: the models where there are any, then the measure's own tables."""

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType

from ftcli.explain.agreement.tables import agreement_tables
from ftcli.explain.criticality.tables import criticality_tables
from ftcli.explain.distortion.tables import distortion_tables
from ftcli.explain.interpolation.tables import interpolation_tables
from ftcli.explain.theory.tables import theory_tables
from ftcli.report.models import models_table

Tables = Callable[[dict[str, Any], int], list[RenderableType]]
EXPLAINED: dict[str, Tables] = {
    "distortion": distortion_tables,
    "agreement": agreement_tables,
    "interpolate": interpolation_tables,
    "criticality": criticality_tables,
    "theory": theory_tables,
}


def explained(report: dict[str, Any], width: int) -> list[RenderableType]:
    """All of it, for a terminal of `width` characters."""
    models: list[RenderableType] = [models_table(report["models"])] if "models" in report else []
    return models + EXPLAINED[report["command"]](report, width)

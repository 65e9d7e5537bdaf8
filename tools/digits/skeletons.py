"""How people write the ten digits: the path of the pen, in the unit square with y pointing down."""

import numpy as np

Stroke = np.ndarray  # float64 [P, 2]: the points (x, y) one stroke of the pen goes through


def line(*points: tuple[float, float]) -> Stroke:
    """A stroke straight from point to point."""
    return np.array(points, dtype=float)


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> Stroke:
    """Part of an ellipse around (x, y), from one angle to another, in degrees; 0 points right, 90 down."""
    angles = np.radians(np.linspace(start, stop, num=max(4, round(abs(stop - start) / 18))))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def without_lifting(*strokes: Stroke) -> Stroke:
    """Several strokes as one, without lifting the pen."""
    return np.concatenate(strokes)


# By digit: its skeletons, each a list of strokes.
SKELETONS: tuple[tuple[list[Stroke], ...], ...] = (
    (  # 0
        [arc(0.5, 0.5, 0.28, 0.4, -90, 270)],
        [arc(0.5, 0.5, 0.22, 0.4, -60, 310)],
    ),
    (  # 1: a bar; with its flag; with flag and foot
        [line((0.5, 0.1), (0.5, 0.9))],
        [line((0.33, 0.28), (0.53, 0.1), (0.53, 0.9))],
        [line((0.35, 0.25), (0.52, 0.1), (0.52, 0.9)), line((0.32, 0.9), (0.72, 0.9))],
    ),
    (  # 2: an angular base; a looped one
        [without_lifting(arc(0.5, 0.32, 0.25, 0.22, 180, 380), line((0.25, 0.9), (0.78, 0.9)))],
        [without_lifting(arc(0.5, 0.3, 0.24, 0.2, 195, 395), arc(0.37, 0.82, 0.11, 0.08, 120, 380), line((0.8, 0.88)))],
    ),
    (  # 3: two bowls; a flat top
        [without_lifting(arc(0.48, 0.3, 0.25, 0.2, 200, 450), arc(0.48, 0.7, 0.28, 0.2, -90, 160))],
        [without_lifting(line((0.25, 0.12), (0.75, 0.12), (0.45, 0.42)), arc(0.46, 0.67, 0.27, 0.24, -90, 160))],
    ),
    (  # 4: closed; open
        [line((0.6, 0.9), (0.6, 0.1), (0.2, 0.62), (0.82, 0.62))],
        [line((0.3, 0.1), (0.25, 0.52), (0.78, 0.52)), line((0.65, 0.15), (0.62, 0.92))],
    ),
    (  # 5: in one go; the top bar last
        [without_lifting(line((0.75, 0.1), (0.3, 0.1), (0.28, 0.45)), arc(0.48, 0.64, 0.28, 0.25, -110, 150))],
        [
            without_lifting(line((0.36, 0.14), (0.34, 0.44)), arc(0.46, 0.66, 0.25, 0.23, -105, 140)),
            line((0.36, 0.13), (0.8, 0.1)),
        ],
    ),
    (  # 6: a bent back; a straight one
        [without_lifting(line((0.65, 0.08), (0.4, 0.3)), arc(0.5, 0.66, 0.25, 0.25, 200, -160))],
        [without_lifting(line((0.35, 0.1), (0.27, 0.6)), arc(0.5, 0.68, 0.24, 0.22, 190, -170))],
    ),
    (  # 7: plain; crossed
        [line((0.22, 0.12), (0.78, 0.12), (0.42, 0.9))],
        [line((0.22, 0.12), (0.78, 0.12), (0.42, 0.9)), line((0.33, 0.5), (0.75, 0.5))],
    ),
    (  # 8: two rings; one crossing line
        [arc(0.5, 0.3, 0.2, 0.2, 0, 360), arc(0.5, 0.7, 0.25, 0.21, 0, 360)],
        [without_lifting(arc(0.5, 0.3, 0.2, 0.2, -30, -250), arc(0.5, 0.7, 0.24, 0.2, -60, 240), line((0.68, 0.2)))],
    ),
    (  # 9: a straight tail; a curled one
        [arc(0.48, 0.33, 0.23, 0.23, 0, 360), line((0.71, 0.33), (0.68, 0.9))],
        [without_lifting(arc(0.48, 0.32, 0.23, 0.22, 0, -360), arc(0.42, 0.6, 0.28, 0.3, -20, 110))],
    ),
)

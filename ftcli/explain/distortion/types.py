"""What a report says of feature distortion: how far features and weights of a model lie from those of another."""

from msgspec import UNSET, UnsetType, field

from ftcli.records import Count, Fraction, Record


class FeatureDistance(Record):
    """Distances between the features φ_A(x) and φ_B(x) of one block on one set, over its images x.

    mean: of ‖φ_B(x) - φ_A(x)‖₂, with its standard error `se`; rms: the mean over √C of C channels; relative: the mean
    of the distance over ‖φ_A(x)‖; cosine: the mean cosine; dropped: images whose φ_A is 0.
    """

    mean: float
    se: float | None
    rms: float
    relative: float | None
    cosine: float | None
    dropped: Count


class Subspace(Record):
    """The span of the k directions in which features vary most, in two models: its distance d and the principal angles
    in degrees, largest first.
    """

    k: Count
    d: float | None
    angles: list[float]


class Distortion(Record):
    """Distances of features: {SET: {BLOCK: …}}; `ratio`: mean distance in distribution over that on each OOD set;
    `subspace`: of the head's input, by set.
    """

    sets: dict[str, dict[str, FeatureDistance]] = field(name="*")
    ratio: dict[str, dict[str, float | None]]
    subspace: dict[str, Subspace]


class Matrix(Record):
    """values [rows][columns]: CKA of every block of the first model with every block of another."""

    rows: list[str]
    columns: list[str]
    values: list[list[float | None]]


class Similarity(Record):
    """Linear CKA of each block with itself on one set; `unbiased`: by batches; `matrix`: of all pairs of blocks. None
    where features do not vary.
    """

    blocks: dict[str, Fraction | None] = field(name="*")
    unbiased: dict[str, float | None] | UnsetType = UNSET
    matrix: Matrix | UnsetType = UNSET


class ParameterDistance(Record):
    """l2: ‖θ_B - θ_A‖₂; relative: that over ‖θ_A‖₂, None where that is 0."""

    l2: float
    relative: float | None


class ModelDistance(Record, kw_only=True):
    """One model compared with the first. `label`: what tables call it, where it is one of several."""

    label: str | UnsetType = UNSET
    distortion: Distortion
    similarity: dict[str, Similarity]
    parameters: dict[str, ParameterDistance]  # by block; "total": of all parameters


PARTS = {
    "distortion": Distortion,
    "similarity": dict[str, Similarity],
    "parameters": dict[str, ParameterDistance],
    "others": list[ModelDistance],
}

"""Names that reports give to parts of every model. Nothing heavy is imported."""

PENULTIMATE = "penultimate"  # the features: the head's input

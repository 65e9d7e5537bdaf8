"""The selection among the rows of a study that differ by the values of `--set`."""

"""Accuracy without labels, label shift, tests of two samples and scores of checkpoints as plain float64 formulas.

Loops over examples and classes, NumPy and SciPy only: what the package's own are held against.
"""

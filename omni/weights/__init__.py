"""Weights that come with the package: `tiny` and its card."""

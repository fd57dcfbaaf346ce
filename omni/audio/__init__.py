"""Samples without torch: rings, the input timeline, resampling, mixing, files."""

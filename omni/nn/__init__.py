"""Streaming building blocks whose state is an argument, and the three laws they keep."""

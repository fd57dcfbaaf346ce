"""Loops, losses, checkpoints, stages."""

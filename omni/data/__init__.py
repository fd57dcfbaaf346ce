"""Conversations made on the fly: skills, voices, rooms, alignment, streams."""

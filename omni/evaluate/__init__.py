"""Scripted conversations and the numbers agents are judged by."""

"""Grid of time, strict configuration, the vocabulary of events, and errors. Imports nothing of omni."""

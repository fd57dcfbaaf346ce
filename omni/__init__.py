"""omni: a full-duplex realtime voice agent that is one neural model."""

__version__ = "0.1.0"

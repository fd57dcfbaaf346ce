"""The project's own errors, raised at its borders.

A caller's mistake inside the library is a ValueError and a broken invariant an AssertionError; the tree below is for
what comes from outside: files, configurations, clients, a full server. `code` travels on the wire and never changes;
the message is one line a person can act on, without paths or tracebacks of the server.
"""


class OmniError(Exception):
    """Base of the tree.

    Attributes:
        code: short, stable, machine-readable name of what went wrong.
    """

    code = "internal_error"

    def __init__(self, message: str, *, code: str | None = None):
        super().__init__(message)
        if code is not None:
            self.code = code


class ConfigError(OmniError):
    """A configuration is wrong; the message names the key and the nearest valid one."""

    code = "invalid_config"


class MediaError(OmniError):
    """An audio file or stream cannot be used: empty, truncated, not audio, NaN."""

    code = "invalid_media"


class WeightsError(OmniError):
    """Weights do not fit the model; the message names the tensor."""

    code = "invalid_weights"


class WireError(OmniError):
    """A client sent something the protocol does not allow."""

    code = "invalid_event"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None,
                 client_event_id: str | None = None):
        super().__init__(message, code=code)
        self.param = param
        self.client_event_id = client_event_id


class CapacityError(OmniError):
    """No conversation can be taken now: all slots are in use, or the engine is behind its clock."""

    code = "session_limit_reached"


class ScriptError(OmniError):
    """A script of a simulation is wrong; the message names file, line and the nearest valid key."""

    code = "invalid_script"

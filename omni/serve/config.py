"""Configuration of `omni serve`; configs/serve/default.yaml holds the same values with their reasons."""

import ipaddress
from dataclasses import dataclass, field

from omni.transport.webrtc import WebRtcSettings


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """Bounds of what one server takes on.

    Attributes:
        sessions: conversations at once; the engine has as many slots.
        connections: open WebSockets, with or without a session.
        connects_burst, connects_per_s: token bucket of new connections for each address (IPv6: each /64).
        start_s: seconds from an open WebSocket to its session.start.
        idle_s: seconds in which nothing at all comes from the client, after which a session ends.
        session_s: seconds after which a session ends.
        stall_s: seconds a WebSocket reader may stand still.
        heartbeat_s: seconds between WebSocket pings; a client that answers none is gone.
        shutdown_s: seconds in which conversations are ended at SIGINT or SIGTERM.
    """

    sessions: int = 4
    connections: int = 64
    connects_burst: int = 20
    connects_per_s: float = 1.0
    start_s: float = 10.0
    idle_s: int = 60
    session_s: int = 3600
    stall_s: float = 2.0
    heartbeat_s: float = 10.0
    shutdown_s: float = 5.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Everything `omni serve` can be told.

    Attributes:
        host: address to bind; anything but a loopback address needs `token` and `https`.
        port: TCP port; 0 lets the system choose.
        https: serve TLS with a certificate made at the start, signed by itself.
        token: secret every request to /v1 and /metrics must carry; "" for none.
        model: name of shipped weights or a folder.
        device: "cpu" or "cuda".
        threads: of the engine; null leaves it to torch.
        allowed_hosts: names besides the server's own addresses that a Host header may carry.
        allowed_origins: pages of other origins that may connect, such as "https://example.org".
    """

    host: str = "127.0.0.1"
    port: int = 8765
    https: bool = False
    token: str = ""
    model: str = "tiny"
    device: str = "cpu"
    threads: int | None = 1
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    limits: ServeLimits = field(default_factory=ServeLimits)
    webrtc: WebRtcSettings = field(default_factory=WebRtcSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port {self.port} is not within 0 to 65535")
        if self.token and (len(self.token) < 8 or not self.token.isascii() or not self.token.isprintable()
                           or any(c in self.token for c in " ,;&#?\"")):
            raise ValueError("token needs 8 or more printable ASCII characters, none of them a space or one of ,;&#?\"")
        if not is_loopback(self.host) and not (self.token and self.https):
            raise ValueError(f"binding {self.host} lets others in: it needs a token and TLS (--token ... --https)")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

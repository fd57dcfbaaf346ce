"""Who may connect, and how often: Host, Origin, token, and a token bucket for each address. No I/O; `now` is given."""

import hmac
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import ifaddr

from omni.base.errors import OmniError
from omni.serve.config import ServeConfig, is_loopback

MAX_ADDRESSES = 4096            # buckets kept; the one unused for longest goes first
TOKEN_PROTOCOL = "omni-token."  # a browser's WebSocket cannot set headers, so the token may come as a subprotocol
KEY_PROTOCOL = "openai-insecure-api-key."


class AccessError(OmniError):
    """A request is refused before anything is done for it.

    Attributes:
        status: of the HTTP answer.
    """

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message, code=code)
        self.status = status


class Access:
    """Decides about requests by their headers.

    The Host check defeats DNS rebinding: a hostile page whose name was made to point here still says its own name. The
    Origin check keeps pages of other sites out: browsers let any page open a WebSocket to 127.0.0.1. A request without
    Origin is no browser's and passes.
    """

    def __init__(self, config: ServeConfig, own_names: Iterable[str] | None = None):
        """Args:
            own_names: names and addresses of this machine; found out if None.
        """
        names = {"localhost", "127.0.0.1", "::1", *config.allowed_hosts}
        if not is_loopback(config.host):
            names |= {config.host, *(machine_names() if own_names is None else own_names)}
        self._names = {name.lower() for name in names}
        self._origins = {origin.lower().rstrip("/") for origin in config.allowed_origins}
        self._token = config.token
        self._scheme = "https" if config.https else "http"

    def check_host(self, host: str | None) -> str:
        """Return the Host header if it names this server.

        Raises:
            AccessError: 421 (RFC 9110 section 15.5.20).
        """
        if _name(host or "") not in self._names:
            raise AccessError(421, "wrong_host", "the Host header does not name this server")
        return host

    def check_origin(self, origin: str | None, host: str) -> None:
        """Let pages of this server and of the allowed origins in.

        Raises:
            AccessError: 403.
        """
        if origin is None or self.allows(origin) or origin.lower() == f"{self._scheme}://{host.lower()}":
            return
        raise AccessError(403, "wrong_origin", "pages of this origin may not connect")

    def allows(self, origin: str) -> bool:
        """Whether it is one of the allowed origins, whose pages may read the answers too."""
        return origin.lower() in self._origins

    def check_token(self, headers: Mapping[str, str], query: Mapping[str, str], protocols: Iterable[str] = ()) -> None:
        """Look for the token in Authorization, in ?token= and among the WebSocket subprotocols.

        Raises:
            AccessError: 401.
        """
        if not self._token:
            return
        kind, _, bearer = headers.get("Authorization", "").partition(" ")
        offered = [bearer.strip()] if kind.lower() == "bearer" else []
        offered += [query["token"]] if "token" in query else []
        offered += [p.removeprefix(prefix) for p in protocols for prefix in (TOKEN_PROTOCOL, KEY_PROTOCOL)
                    if p.startswith(prefix)]
        # Each comparison takes the same time whatever is wrong; any() may stop early, which tells nothing of the token.
        if not any(hmac.compare_digest(token.encode(), self._token.encode()) for token in offered):
            raise AccessError(401, "unauthorized", "this server needs its token")


class ConnectionRate:
    """A token bucket for each address: `burst` connections at once, then `per_s` a second."""

    def __init__(self, burst: int, per_s: float):
        self._burst, self._per_s = burst, per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (tokens, at seconds)

    def take(self, address: str, now_s: float) -> None:
        """Count one connection.

        Raises:
            AccessError: 429.
        """
        key = _bucket_key(address)
        tokens, at = self._buckets.pop(key, (float(self._burst), now_s))
        tokens = min(float(self._burst), tokens + (now_s - at) * self._per_s)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now_s)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        if not allowed:
            raise AccessError(429, "rate_limited", "too many connections from this address; wait a little")


def machine_names() -> set[str]:
    """Addresses of this machine's interfaces and its host name, with and without ".local"."""
    names = {socket.gethostname(), socket.gethostname() + ".local"}
    return names | {str(address) for address in machine_addresses()}


def machine_addresses() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Addresses of this machine that others on its networks can use; loopback and link-local ones left out."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if not (address.is_loopback or address.is_link_local):
                found.append(address)
    return found


def _name(host: str) -> str:
    """The name or address in a Host header, without port and brackets; "" if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  (raises where the port is no number)
    except ValueError:
        return ""
    clean = parts.netloc == host and not parts.path and "@" not in host
    return (parts.hostname or "") if clean else ""


def _bucket_key(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 6:
        return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.ipv4_mapped is None else str(ip.ipv4_mapped)
    return str(ip)

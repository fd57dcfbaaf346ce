"""A poor network for datagrams: what a client on this machine and a server send each other is lost, delayed, overtaken.

    client ─► inner socket ─► Link up ──► outer socket ─► server
    client ◄─ inner socket ◄─ Link down ◄ outer socket ◄─ server

To the client the inner socket is the server, to the server the outer one is the client, as a NAT would be. Everything
crosses it: ICE's checks, the DTLS handshake, media, reports and the data channel, so a call over a poor network also
takes longer to come about.

The n-th datagram of a direction has the fate that the seed gives it, in each run; which one is the n-th is up to the
clocks of both ends.
"""

import asyncio
import time
from collections.abc import Callable

from omni.transport.loopback import Link, LinkConditions

MAX_UNDER_WAY = 1_000       # in each direction: 5 s of a call with room to spare; more is dropped, the newest first


class Direction:
    """One direction, for all sockets of a relay.

    Attributes:
        sent: datagrams that were given to it.
        lost: those that chance took.
        overflowed: those that were dropped because too many were under way.
    """

    def __init__(self, conditions: LinkConditions, seed: int, clock_ns: Callable[[], int]):
        self.sent = self.overflowed = 0
        self._link = Link(conditions, seed, clock_ns)
        self._under_way = 0

    @property
    def lost(self) -> int:
        return self._link.lost

    def send(self, deliver: Callable, *items) -> None:
        """Call `deliver(*items)` at the other end, or not."""
        self.sent += 1
        if self._under_way >= MAX_UNDER_WAY:
            self.overflowed += 1
            return
        lost = self._link.lost
        self._link.send(self._arrive, deliver, *items)
        self._under_way += self._link.lost == lost

    def _arrive(self, deliver: Callable, *items) -> None:
        self._under_way -= 1
        deliver(*items)


class Relay:
    """Stands between one client and all addresses of a server.

    Attributes:
        up, down: from the client to the server, and back.
    """

    def __init__(self, conditions: LinkConditions, seed: int, clock_ns: Callable[[], int] = time.monotonic_ns):
        """Args:
            conditions: of each of the two directions.
        """
        self.up = Direction(conditions, 2 * seed, clock_ns)
        self.down = Direction(conditions, 2 * seed + 1, clock_ns)
        self._pairs: list[_Pair] = []

    async def open(self, server: tuple[str, int]) -> tuple[str, int] | None:
        """Stand before one address of the server. Cancelling it leaves the rest to `close`.

        Returns:
            The address to be used in its place, on the network interface that leads there; None if no interface does.
        """
        pair = _Pair(self.up, self.down)
        self._pairs.append(pair)
        try:
            return await pair.open(server)
        except OSError:
            pair.close()
            return None

    def close(self) -> None:
        """Close the sockets; what is under way is lost. Idempotent."""
        for pair in self._pairs:
            pair.close()


class _Pair:
    """The two sockets before one address."""

    def __init__(self, up: Direction, down: Direction):
        self._up, self._down = up, down
        self._inner: asyncio.DatagramTransport | None = None
        self._outer: asyncio.DatagramTransport | None = None
        self._host = ""
        self._client: tuple | None = None       # known once it has sent something

    async def open(self, server: tuple[str, int]) -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        self._outer, _ = await loop.create_datagram_endpoint(lambda: _Socket(self._from_server), remote_addr=server)
        self._host = self._outer.get_extra_info("sockname")[0]
        self._inner, _ = await loop.create_datagram_endpoint(lambda: _Socket(self._from_client),
                                                             local_addr=(self._host, 0))
        return self._inner.get_extra_info("sockname")[:2]

    def close(self) -> None:
        for socket in (self._inner, self._outer):
            if socket is not None:
                socket.close()

    def _from_client(self, data: bytes, address: tuple) -> None:
        # A client has a socket for each interface; the answers would not find back to more than one.
        if self._client is None and address[0] == self._host:
            self._client = address
        if address == self._client:
            self._up.send(self._deliver, self._outer, data, None)

    def _from_server(self, data: bytes, address: tuple) -> None:
        if self._client is not None:
            self._down.send(self._deliver, self._inner, data, self._client)

    @staticmethod
    def _deliver(socket: asyncio.DatagramTransport, data: bytes, address: tuple | None) -> None:
        if not socket.is_closing():
            socket.sendto(data, address)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, tuple], None]):
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self._received(data, addr)

    def error_received(self, exc: OSError) -> None:
        """Nobody there, by ICMP: the datagram is lost, as on any network."""

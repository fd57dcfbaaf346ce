"""The poor network for datagrams, between two plain sockets."""

import asyncio

import pytest

from omni.transport import relay as module
from omni.transport.loopback import LinkConditions
from omni.transport.relay import Direction, Relay


class Socket(asyncio.DatagramProtocol):
    """Keeps what it gets, with the instant; `echo` sends it back too."""

    def __init__(self, echo: bool = False):
        self.got: list[tuple[float, bytes]] = []
        self.echo = echo

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.got.append((asyncio.get_running_loop().time(), data))
        if self.echo:
            self.transport.sendto(data, addr)


async def _socket(echo: bool = False) -> Socket:
    _, socket = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Socket(echo), local_addr=("127.0.0.1", 0))
    return socket


@pytest.mark.realtime
async def test_datagrams_are_lost_delayed_and_overtaken_both_ways():
    server, client, stranger = await _socket(echo=True), await _socket(), await _socket()
    relay = Relay(LinkConditions(30, 20, 0.2), 3)
    place = await relay.open(server.transport.get_extra_info("sockname"))
    assert place != server.transport.get_extra_info("sockname")
    sent = {}
    for number in range(200):
        sent[number.to_bytes(2, "big")] = asyncio.get_running_loop().time()
        client.transport.sendto(number.to_bytes(2, "big"), place)
        await asyncio.sleep(0.002)
    stranger.transport.sendto(b"let me in", place)
    await asyncio.sleep(0.15)
    relay.close()
    assert relay.up.sent == 200 and relay.down.sent == len(server.got) == 200 - relay.up.lost
    assert len(client.got) == relay.down.sent - relay.down.lost
    assert 20 < relay.up.lost < 60 and 15 < relay.down.lost < 55
    up_ms = [1000 * (at - sent[data]) for at, data in server.got]
    assert min(up_ms) >= 29 and max(up_ms) > 45
    order = [data for _, data in server.got]
    assert order != sorted(order) and set(order) <= set(sent) and not stranger.got
    for socket in (server, client, stranger):
        socket.transport.close()


async def test_equal_seeds_lose_the_same_and_too_much_under_way_is_dropped(monkeypatch):
    def fates(seed: int) -> list[bool]:
        way, lost = Direction(LinkConditions(0, 0, 0.3), seed, lambda: 0), []
        for _ in range(100):
            before = way.lost
            way.send(lambda: None)
            lost.append(way.lost > before)
        return lost

    assert fates(1) == fates(1) != fates(2)
    monkeypatch.setattr(module, "MAX_UNDER_WAY", 10)
    got = []
    way = Direction(LinkConditions(20), 0, lambda: 0)
    for number in range(15):
        way.send(got.append, number)
    await asyncio.sleep(0.05)
    way.send(got.append, 15)
    await asyncio.sleep(0.05)
    assert (way.sent, way.overflowed, way.lost) == (16, 5, 0) and sorted(got) == [*range(10), 15]


async def test_what_arrives_after_the_end_and_what_leads_nowhere_is_harmless():
    server, client = await _socket(), await _socket()
    relay = Relay(LinkConditions(20), 0)
    assert await relay.open(("256.0.0.1", 9)) is None
    client.transport.sendto(b"late", await relay.open(server.transport.get_extra_info("sockname")))
    await asyncio.sleep(0.01)
    relay.close()
    relay.close()
    await asyncio.sleep(0.05)
    assert relay.up.sent == 1 and not server.got
    for socket in (server, client):
        socket.transport.close()

"""A WebRTC client on aiortc, for tests of the server's side."""

import asyncio
import fractions
import time

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription


class Tone(MediaStreamTrack):
    """A client's microphone: 440 Hz, 48 kHz, on a 20 ms grid."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.count, self.start = 0, None

    async def recv(self):
        self.start = self.start or time.monotonic()
        await asyncio.sleep(max(0.0, self.start + self.count * 0.02 - time.monotonic()))
        at = np.arange(960) + 960 * self.count
        frame = av.AudioFrame.from_ndarray(
            (8000 * np.sin(2 * np.pi * 440 * at / 48_000)).astype(np.int16)[None], format="s16", layout="mono")
        frame.pts, frame.sample_rate, frame.time_base = 960 * self.count, 48_000, fractions.Fraction(1, 48_000)
        self.count += 1
        return frame


class Client:
    """A client in a few lines: microphone, channel, and everything that came."""

    def __init__(self, track=None):
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track = track or Tone()
        self.pc.addTrack(self.track)
        self.channel = self.pc.createDataChannel("oai-events")
        self.texts: list[str] = []
        self.frames: list[tuple[float, av.AudioFrame]] = []
        self.got_text, self.open = asyncio.Event(), asyncio.Event()
        self.channel.on("message", self._on_message)
        self.channel.on("open", self.open.set)
        self.pc.on("track", lambda track: setattr(self, "reader", asyncio.ensure_future(self._read(track))))
        self.reader = None

    def _on_message(self, text):
        self.texts.append(text)
        self.got_text.set()

    async def _read(self, track):
        while True:
            frame = await track.recv()
            self.frames.append((time.monotonic(), frame))

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def answer(self, sdp: str):
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))

    async def close(self):
        if self.reader:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
        await self.pc.close()

    def sound(self) -> np.ndarray:
        return np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for _, frame in self.frames]) / 32768


def vanish(client: Client) -> None:
    """The client's cable is pulled: its sockets stay, and nothing leaves them any more."""
    for protocol in client.pc.getSenders()[0].transport.transport._connection._protocols:
        protocol.transport.sendto = lambda *_: None

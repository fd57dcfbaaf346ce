"""A real headless Chromium, driven over its DevTools protocol; nothing is downloaded.

    async with Browser.launch(microphone=Path("question.wav")) as browser:
        page = await browser.open("http://localhost:8765/")
        await page.click("#call")
        await page.until("document.body.dataset.state === 'live'", 10)

Chromium plays a WAV file once as its microphone. `HOOKS` runs in every page before the page's own modules: it keeps the
streams that the page gets and plays, so that both can be recorded as PCM on the page's clock (`Page.record`).
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

HOOKS = (Path(__file__).parent / "hooks.js").read_text()
_START_S = 60  # a first start on a busy machine is slow; no test measures it
_REPLY_S = 30


class BrowserError(Exception):
    """The browser did not start, or a script in the page threw."""


@dataclass
class Recording:
    """One side of a conversation as the page met it.

    Attributes:
        rate_hz: of `samples`.
        samples: float32 mono, without gaps.
        start_ms: `performance.now()` of the page at the first sample.
    """

    rate_hz: int
    samples: np.ndarray
    start_ms: float

    def levels(self, window_ms: int = 10) -> np.ndarray:
        """Root mean square of each whole window."""
        size = self.rate_hz * window_ms // 1000
        whole = self.samples[:len(self.samples) // size * size].reshape(-1, size)
        return np.sqrt((whole.astype(np.float64) ** 2).mean(axis=1))

    def onset_ms(self, above: float, after_ms: float = 0.0, window_ms: int = 10) -> float | None:
        """Page time of the first window after `after_ms` (page time) whose level is above `above`."""
        return self._first(self.levels(window_ms) > above, after_ms, window_ms)

    def last_ms(self, above: float, before_ms: float = float("inf"), window_ms: int = 10) -> float | None:
        """Page time of the end of the last window before `before_ms` whose level is above `above`."""
        loud = np.flatnonzero(self.levels(window_ms) > above)
        ends = self.start_ms + (loud + 1) * window_ms
        ends = ends[ends <= before_ms]
        return float(ends[-1]) if len(ends) else None

    def quiet_ms(self, below: float, after_ms: float, for_ms: int = 400, window_ms: int = 10) -> float | None:
        """Page time after `after_ms` from which all is below `below` for `for_ms`."""
        quiet = (self.levels(window_ms) < below).astype(int)
        run = for_ms // window_ms
        if len(quiet) < run:
            return None
        return self._first(np.convolve(quiet, np.ones(run, int), "valid") == run, after_ms, window_ms)

    def _first(self, hits: np.ndarray, after_ms: float, window_ms: int) -> float | None:
        times = self.start_ms + np.flatnonzero(hits) * window_ms
        times = times[times >= after_ms]
        return float(times[0]) if len(times) else None


@dataclass
class Page:
    """One tab.

    Attributes:
        problems: uncaught exceptions, console errors, failed loads and breaches of the content policy, as text.
    """

    devtools: "_Devtools"
    session_id: str
    problems: list[str] = field(default_factory=list)

    async def call(self, method: str, **params) -> dict:
        """One DevTools command."""
        return await self.devtools.call(method, params, self.session_id)

    async def goto(self, url: str, wait_s: float = 40) -> None:
        """Load a page and wait until its modules have run."""
        reply = await self.call("Page.navigate", url=url)
        if reply.get("errorText"):
            raise BrowserError(f"{url}: {reply['errorText']}")
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'", wait_s)

    async def evaluate(self, script: str):
        """Value of an expression; promises are awaited.

        Raises:
            BrowserError: it threw.
        """
        reply = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
                                userGesture=True)
        if "exceptionDetails" in reply:
            details = reply["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return reply["result"].get("value")

    async def until(self, condition: str, within_s: float) -> None:
        """Wait until an expression is true.

        Raises:
            BrowserError: it did not become true; says what the page shows instead.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not await self.evaluate(condition):  # noqa: ASYNC110  (the event is in another process)
                    await asyncio.sleep(0.03)
                return
        state = await self.evaluate("document.body.innerText.replace(/\\s+/g, ' ').slice(0, 600)")
        raise BrowserError(f"not within {within_s} s: {condition}; page: {state}; problems: {self.problems}")

    async def click(self, selector: str) -> None:
        """Click in the middle of an element, as a mouse does."""
        x, y = await self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """Press and release one key."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else "")
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def resize(self, width: int, height: int, *, mobile: bool = False, scale: float = 1) -> None:
        """Size of the window's inside, in CSS pixels."""
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                        mobile=mobile)

    async def prefer(self, *, scheme: str = "light", reduced_motion: bool = False) -> None:
        """What the system says it prefers."""
        await self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else "no-preference"}])

    async def screenshot(self, path: Path) -> None:
        """The visible part as PNG."""
        reply = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(reply["data"]))

    async def record(self) -> None:
        """Begin to keep both sides' sound; call it once the page is live."""
        await self.evaluate("window.__harness.record()")

    async def events(self, direction: str, kind: str) -> list[dict]:
        """Events of one type that the page has "sent" or "received", each with `at`, its time on the page's clock."""
        chosen = f"filter((one) => one.type === {json.dumps(kind)})"
        return await self.evaluate(f"window.__harness.wire.{direction}.{chosen}")

    async def recorded(self) -> tuple[Recording, Recording]:
        """What was kept so far: (microphone, voice). Neither is stopped."""
        sides = await self.evaluate("window.__harness.recorded()")
        return tuple(Recording(side["rate"], np.frombuffer(base64.b64decode(side["samples"]), "<i2") / 32768.0,
                               side["start"]) for side in (sides["microphone"], sides["voice"]))


class Browser:
    """One Chromium with a profile of its own."""

    def __init__(self, devtools: "_Devtools"):
        self._devtools = devtools

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, program: str, *, microphone: Path | None = None, devices: bool = True, grant: bool = True,
                     flags: tuple[str, ...] = ()) -> AsyncIterator["Browser"]:
        """Start it, and end it with everything it started.

        Args:
            microphone: absolute path of the WAV that the fake microphone plays once; without one it beeps.
            devices: pretend that there are a microphone and a speaker; else there are none, whatever this machine has.
            grant: allow the microphone without asking; otherwise refuse it without asking.
            flags: more of the command line.
        """
        profile = Path(tempfile.mkdtemp(prefix="omni-browser-"))
        fake = [f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []
        command = [
            program, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={profile}",
            "--autoplay-policy=no-user-gesture-required", *fake,
            *(["--use-fake-device-for-media-stream"] if devices else []),
            *(["--use-fake-ui-for-media-stream"] if grant else ["--deny-permission-prompts"]),
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
            "--disable-default-apps", "--no-first-run", "--no-default-browser-check", "--metrics-recording-only",
            "--disable-features=Translate,MediaRouter,OptimizationHints,WebRtcHideLocalIpsWithMdns",
            "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
            "--disable-background-timer-throttling", "--disable-gpu", "--mute-audio", "--hide-scrollbars",
            "--disable-dev-shm-usage", *flags, "about:blank"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | ({} if devices else {"PULSE_SERVER": "none", "ALSA_CONFIG_PATH": os.devnull}))
        try:
            port, path = await _devtools_address(profile, process)
            async with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None, ping_interval=None) as socket:
                devtools = _Devtools(socket)
                async with devtools.reading():
                    yield cls(devtools)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)

    async def open(self, url: str, *, preferences: dict | None = None, size: tuple[int, int] = (1280, 800)) -> Page:
        """A new tab at `url`.

        Args:
            preferences: what the page remembers of the user; the microphone is left untreated unless it says so, since
                a recording would be treated twice.
        """
        target = await self._devtools.call("Target.createTarget", {"url": "about:blank"})
        attached = await self._devtools.call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        page = Page(self._devtools, attached["sessionId"])
        self._devtools.listen(page.session_id, lambda method, params: _note(page.problems, method, params))
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        kept = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False, **(preferences or {})}
        remember = f"try {{ localStorage.setItem('omni.preferences', {json.dumps(json.dumps(kept))}); }} catch {{}}"
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=f"{HOOKS}\n{remember}")
        await page.resize(*size)
        await page.goto(url)
        return page


def _note(problems: list[str], method: str, params: dict) -> None:
    if method == "Runtime.exceptionThrown":
        details = params["exceptionDetails"]
        problems.append(details.get("exception", {}).get("description") or details["text"])
    elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
        problems.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"]))
    elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
        problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")


async def _devtools_address(profile: Path, process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Chromium writes its port and path into its profile once it listens."""
    file = profile / "DevToolsActivePort"
    try:
        async with asyncio.timeout(_START_S):
            while True:
                if process.returncode is not None:
                    raise BrowserError(f"chromium ended with {process.returncode}")
                lines = (await asyncio.to_thread(file.read_text)).split() if file.exists() else []
                if len(lines) == 2:
                    return int(lines[0]), lines[1]
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BrowserError(f"chromium did not listen within {_START_S} s") from None


class _Devtools:
    """Commands and their replies over one socket, and events by session."""

    def __init__(self, socket: ClientConnection):
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future] = {}
        self._listeners = {}

    def listen(self, session_id: str, listener) -> None:
        self._listeners[session_id] = listener

    async def call(self, method: str, params: dict, session_id: str | None = None) -> dict:
        number = next(self._ids)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        await self._socket.send(json.dumps(message | ({"sessionId": session_id} if session_id else {})))
        try:
            async with asyncio.timeout(_REPLY_S):
                return await reply
        finally:
            del self._replies[number]

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._read(), name="devtools")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            reply = self._replies.get(message.get("id"))
            if reply is None:
                listener = self._listeners.get(message.get("sessionId"))
                if listener and "method" in message:
                    listener(message["method"], message["params"])
            elif "error" in message:
                reply.set_exception(BrowserError(message["error"]["message"]))
            elif not reply.done():
                reply.set_result(message["result"])

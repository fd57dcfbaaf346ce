"""The page in a real browser: connecting, talking, being interrupted, and what it says when something is missing."""

import asyncio
import math
from contextlib import asynccontextmanager

import numpy as np
import pytest
from browser import Browser
from conftest import need
from reacting import ReactingEngine
from scripted import ScriptedServer

from omni.audio.files import write_wav
from omni.base.config import build
from omni.engine.worker import EngineWorker
from omni.serve.command import serving
from omni.serve.config import ServeConfig

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
RATE_HZ = 16_000
AUDIBLE = 0.01
STATE = "document.body.dataset.state"


@asynccontextmanager
async def house(capacity: int = 2, **config):
    """The real server over an engine without weights; yields (address, server)."""
    async with EngineWorker(ReactingEngine(capacity)) as worker:
        values = {"port": 0, **config} | {"limits": {"sessions": capacity, "connects_burst": 100}}
        serve = serving(build(ServeConfig, values), worker, stats=worker.stats)
        async with serve as address:
            yield address, serve.server


def room(path, *sounds: tuple[float, float], seconds: float = 30.0):
    """A microphone's recording: a quiet room in which something voice-like sounds from .. to these seconds."""
    rng = np.random.default_rng(7)
    samples = rng.normal(0, 0.0008, int(seconds * RATE_HZ))
    for begin, end in sounds:
        t = np.arange(int(begin * RATE_HZ), int(end * RATE_HZ)) / RATE_HZ
        syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
        voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
        samples[int(begin * RATE_HZ):int(begin * RATE_HZ) + len(t)] += 0.12 * syllables * voice
    write_wav(path, samples.astype(np.float32), RATE_HZ)
    return path


async def talk(browser, url, **preferences):
    """Open the page and be live. A server that is behind its clock on a busy machine is asked again."""
    page = await browser.open(url, preferences=preferences)
    for _ in range(10):
        await page.click("#call")
        await page.until(f"['live', 'failed'].includes({STATE})", 20)
        if await page.evaluate(STATE) == "live":
            await page.record()
            return page
        assert "behind its clock" in await page.evaluate("document.getElementById('notice').innerText")
        await asyncio.sleep(1)
    raise AssertionError("the engine stays behind its clock")


async def emptied(server, within_s: float = 10) -> None:
    """Wait until the server knows no conversation any more."""
    async with asyncio.timeout(within_s):
        while server.conversations:  # noqa: ASYNC110  (a plain collection)
            await asyncio.sleep(0.05)


async def notice(page, within_s: float = 10) -> dict:
    await page.until("!document.getElementById('notice').hidden", within_s)
    return await page.evaluate("({code: document.getElementById('notice').dataset.code,"
                               " text: document.getElementById('notice').innerText})")


@pytest.mark.realtime
@pytest.mark.parametrize("transport", ["auto", "websocket"])
async def test_a_question_is_answered_and_a_stop_silences(transport, tmp_path):
    """Both ways of connecting carry sound, captions, the floor and the words that were cut."""
    microphone = room(tmp_path / "room.wav", (5.0, 6.2), (10.0, 11.5))
    async with house() as (url, server), Browser.launch(need("chromium"), microphone=microphone) as browser:
        page = await talk(browser, url, transport=transport)
        await page.until("document.querySelectorAll('.lane.omni .said p').length > 0", 15)
        await page.until("document.querySelector('.lane.omni p.cut') !== null", 15)
        await asyncio.sleep(1.0)
        heard, voice = await page.recorded()
        words = await page.evaluate("document.querySelector('.lane.omni .said p').innerText")
        you = await page.evaluate("document.querySelector('.lane.you .said p').innerText")
        answer = await page.evaluate("document.getElementById('reading-answer').innerText")
        status = await page.evaluate("document.getElementById('status').innerText")
        reports = await page.events("sent", "omni.playback")
        known = await page.events("received", "omni.heard")
        await page.click("#call")
        await page.until(f"{STATE} === 'idle'", 5)
        await emptied(server)
        assert page.problems == []
    asked = heard.onset_ms(0.02) + 1_200
    stop = asked + 3_800
    answered = voice.onset_ms(AUDIBLE, after_ms=asked - 200)
    silent = voice.quiet_ms(AUDIBLE, after_ms=stop)
    print(f"{status}: question -> answer {answered - asked:.0f} ms (the stand-in waits 320 of them), "
          f"stop -> silence {silent - stop:.0f} ms (waits 320), page says {answer}")
    assert 320 < answered - asked < 1_500
    assert 320 < silent - stop < 1_500
    assert words.startswith("Once there was") and you.startswith("hm")
    assert answer.endswith(" ms")
    assert len(reports) > 20 and all(("rtp_timestamp" in report) == (transport == "auto") for report in reports[5:])
    assert known[-1]["final"] and not known[-1]["estimated"]
    assert words.startswith(known[-1]["text"].strip())


@pytest.mark.realtime
async def test_blocked_udp_falls_back_within_five_seconds_and_says_so(tmp_path):
    """Five seconds from the click, on a server with a single place: the try over UDP held it for 15 s."""
    microphone = room(tmp_path / "room.wav")
    flags = ("--webrtc-ip-handling-policy=disable_non_proxied_udp",)
    async with (house(capacity=1) as (url, server),
                Browser.launch(need("chromium"), microphone=microphone, flags=flags) as browser):
        page = await browser.open(url)
        began = await page.evaluate("performance.now()")
        await page.click("#call")
        await page.until(f"['live', 'failed'].includes({STATE})", 10)
        took = await page.evaluate("performance.now()") - began
        assert (await notice(page))["code"] == "fallback"
        assert "WebSocket" in await page.evaluate("document.getElementById('status').innerText")
        assert [conversation.kind for conversation in server.conversations.values()] == ["websocket"]
        assert page.problems == []
    print(f"blocked UDP: click -> live over a WebSocket {took:.0f} ms")
    assert took < 5_000


async def test_mute_is_confirmed_by_the_server(tmp_path):
    microphone = room(tmp_path / "room.wav", (0.5, 29.5))
    async with house() as (url, _), Browser.launch(need("chromium"), microphone=microphone) as browser:
        page = await talk(browser, url)
        await page.until("document.querySelectorAll('.lane.you .said').length > 0", 10)
        await page.press("m")
        await page.until("document.querySelector('#mute[aria-pressed=true]:not(.unconfirmed)') !== null", 5)
        await asyncio.sleep(0.5)
        before = await page.evaluate("document.querySelector('.lane.you').innerText")
        await asyncio.sleep(1.0)
        assert await page.evaluate("document.querySelector('.lane.you').innerText") == before
        await page.click("#mute")
        await page.until("document.querySelector('#mute[aria-pressed=false]:not(.unconfirmed)') !== null", 5)
        assert page.problems == []


async def test_a_full_server_is_said_in_words(tmp_path):
    async with house(capacity=1) as (url, server), Browser.launch(
            need("chromium"), microphone=room(tmp_path / "room.wav")) as browser:
        first = await talk(browser, url)
        for transport in ("auto", "websocket"):
            second = await browser.open(url, preferences={"transport": transport})
            await second.click("#call")
            assert (await notice(second))["code"] == "full"
            assert await second.evaluate(STATE) == "failed"
        assert await first.evaluate(STATE) == "live"
        assert len(server.conversations) == 1


async def test_a_vanished_page_frees_its_place(tmp_path):
    async with house(capacity=1) as (url, server), Browser.launch(
            need("chromium"), microphone=room(tmp_path / "room.wav")) as browser:
        page = await talk(browser, url)
        assert len(server.conversations) == 1
        await page.call("Page.close")
        await emptied(server)


async def test_a_lost_connection_comes_back_by_itself(tmp_path):
    server = ScriptedServer(cut_after_s=2.0)
    async with server.run() as url, Browser.launch(need("chromium")) as browser:
        page = await talk(browser, url, transport="websocket")
        await page.until(f"{STATE} === 'reconnecting'", 10)
        assert "coming back" in await page.evaluate("document.getElementById('status').innerText")
        await page.until(f"{STATE} === 'live'", 10)
        assert "does not remember" in await page.evaluate("document.querySelector('.seam').innerText")


@pytest.mark.parametrize(("case", "launch"), [("permission", {"grant": False}), ("no_microphone", {"devices": False})])
async def test_a_missing_microphone_is_said_in_words(case, launch):
    async with ScriptedServer().run() as url, Browser.launch(need("chromium"), **launch) as browser:
        page = await browser.open(url)
        await page.click("#call")
        assert (await notice(page))["code"] == case
        assert await page.evaluate("document.getElementById('call').innerText") == "Try again"
        assert page.problems == []


async def test_an_insecure_address_is_explained_before_the_microphone_fails():
    flags = ("--host-resolver-rules=MAP lan.test 127.0.0.1",)
    async with ScriptedServer().run() as url, Browser.launch(need("chromium"), flags=flags) as browser:
        page = await browser.open(url.replace("localhost", "lan.test"))
        said = await notice(page)
        port = url.rsplit(":", 1)[1].strip("/")
        assert said["code"] == "insecure" and f"http://localhost:{port}" in said["text"] and "--https" in said["text"]


async def test_a_wrong_token_is_said_in_words(tmp_path):
    async with house(token="right-token") as (url, _), Browser.launch(need("chromium")) as browser:
        for transport in ("auto", "websocket"):
            page = await browser.open(url.split("#")[0], preferences={"transport": transport})
            await page.click("#call")
            assert (await notice(page))["code"] == "unauthorized"
        for transport in ("auto", "websocket"):
            page = await talk(browser, url, transport=transport)
            assert "right-token" not in await page.evaluate("location.href")


async def test_every_look_renders_without_complaint(tmp_path):
    """Idle, live and panel in light, dark and on a phone: no error in the console, nothing wider than the window."""
    async with ScriptedServer(speed=2).run() as url, Browser.launch(need("chromium")) as browser:
        page = await browser.open(url, preferences={"transport": "websocket"})
        for moment in ("idle", "live", "panel", "after"):
            if moment in ("live", "after"):
                await page.click("#call")
                await page.until(f"{STATE} === '{'live' if moment == 'live' else 'idle'}'", 8)
                await asyncio.sleep(2)
            if moment == "panel":
                await page.click("#sound")
                await page.until("document.getElementById('panel').open", 2)
            for scheme in ("light", "dark"):
                await page.prefer(scheme=scheme, reduced_motion=scheme == "dark")
                for width, height in ((1280, 800), (360, 640)):
                    await page.resize(width, height, mobile=width < 600)
                    await page.until(f"innerWidth === {width}", 3)
                    await page.screenshot(tmp_path / f"{moment}-{scheme}-{width}.png")
                    wide = await page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, f"{moment} at {width}: {wide} px wide"
            await page.resize(1280, 800)
            await page.evaluate("document.getElementById('panel').close()")
        assert page.problems == []
        shown = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert math.prod(int(part) for part in shown[4:-1].split(",")) < 50 ** 3, "dark where dark is preferred"


async def test_everything_can_be_reached_by_keyboard():
    async with ScriptedServer().run() as url, Browser.launch(need("chromium")) as browser:
        page = await browser.open(url)
        reached = []
        for _ in range(6):
            await page.press("Tab")
            reached.append(await page.evaluate("document.activeElement.id"))
        assert reached[:4] == ["theme", "call", "volume", "sound"]
        await page.evaluate("document.getElementById('theme').focus()")
        await page.press("Enter")
        unnamed = await page.evaluate(
            "[...document.querySelectorAll('button, input, select')].filter((part) => !(part.innerText || "
            "part.getAttribute('aria-label') || part.labels?.length)).map((part) => part.id)")
        assert unnamed == []

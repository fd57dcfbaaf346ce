"""The page and the shipped model: a real order answered aloud, a recorded "stop" over a story.

What is printed is measured at the page: both sides are recorded there, on one clock.
"""

import importlib.resources
from contextlib import asynccontextmanager

import numpy as np
import pytest
from browser import Browser, Recording
from conftest import need
from way import way

from omni.audio.files import read_audio, write_wav
from omni.audio.resampling import Resampler
from omni.base.config import build, data_path
from omni.data.skills.orders import vocabulary
from omni.engine.worker import EngineWorker
from omni.evaluate.recogniser import Recogniser
from omni.evaluate.senses.grammar import plain
from omni.serve.command import serving
from omni.serve.config import ServeConfig

WEIGHTS = importlib.resources.files("omni") / "weights" / "tiny"
pytestmark = [
    pytest.mark.browser, pytest.mark.realtime, pytest.mark.timeout(180),
    pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no weights are shipped yet"),
]
RATE_HZ = 16_000
AUDIBLE = 0.01
STATE = "document.body.dataset.state"


@asynccontextmanager
async def house():
    """The server as `omni serve` builds it; yields its address."""
    from omni.engine.engine import Engine
    from omni.model.weights import load_model

    engine = Engine(load_model("tiny", device="cpu"), capacity=2, device="cpu")
    async with EngineWorker(engine) as worker:
        async with serving(build(ServeConfig, {"port": 0}), worker, stats=worker.stats) as address:
            yield address


def room(path, *sounds: tuple[float, str], seconds: float):
    """A microphone's recording: a quiet room, and recordings of the simulation scripts at these seconds."""
    samples = np.random.default_rng(11).normal(0, 10 ** (-62 / 20), int(seconds * RATE_HZ))
    for at_s, name in sounds:
        sound, rate_hz = read_audio(data_path("configs") / "evaluate" / "recordings" / name)
        assert rate_hz == RATE_HZ
        at = int(at_s * RATE_HZ)
        samples[at:at + sound.shape[1]] += sound[0]
    write_wav(path, np.clip(samples, -1, 1).astype(np.float32), RATE_HZ)
    return path


async def talk(browser, url):
    page = await browser.open(url)
    await page.click("#call")
    await page.until(f"{STATE} === 'live'", 20)
    await page.record()
    return page


def spoken_words(voice: Recording, from_ms: float) -> str:
    """What an independent recogniser, choosing among the words of orders, hears in the voice after this page time."""
    resampler = Resampler(voice.rate_hz, RATE_HZ)
    tail = voice.samples[int((from_ms - voice.start_ms) / 1000 * voice.rate_hz):].astype(np.float32)
    samples = np.concatenate([resampler.process(tail), resampler.flush()])
    return Recogniser(word for text in vocabulary() for word in plain(text).split()).hear(samples)


def question_end_ms(heard: Recording, before_ms: float) -> float:
    """Page time of the last window of the question that is louder than a tenth of its loudest."""
    levels = heard.levels()
    return heard.last_ms(0.1 * float(levels.max()), before_ms=before_ms)


async def test_an_order_is_answered_aloud(tmp_path):
    microphone = room(tmp_path / "room.wav", (5.0, "order_cappuccino.flac"), seconds=30)
    async with house() as url, Browser.launch(need("chromium"), microphone=microphone) as browser:
        page = await talk(browser, url)
        await page.until("document.querySelector('.lane.omni .said p')?.innerText.split(' ').length > 4", 25)
        await page.until("document.querySelector('.lane.omni .said p.open') === null", 20)
        heard, voice = await page.recorded()
        caption = "".join(event["delta"] for event in await page.events("received", "session.output_transcript.delta"))
        answered = voice.onset_ms(AUDIBLE)
        asked = question_end_ms(heard, answered + 500)
        taken = next(one for one in await page.events("received", "omni.floor") if one["state"] == "speaking")
        spent = await way(page, heard, taken, asked, answered)
        readings = await page.evaluate("[...document.querySelectorAll('#readings div')].map((one) => one.innerText"
                                       ".replace('\\n', ' ')).join(', ')")
        assert page.problems == []
    words = spoken_words(voice, answered - 200)
    print(f"end of question -> first audible answer {spent}\n"
          f"the page says: {readings}\ncaptions: {caption!r}; recogniser: {words!r}")
    assert "cappuccino" in caption and "cappuccino" in words, "the drink is read back, and understood by somebody else"
    assert answered - asked < 1_500


async def test_a_spoken_stop_reaches_a_story(tmp_path):
    microphone = room(tmp_path / "room.wav", (5.0, "story.flac"), (11.0, "stop.flac"), seconds=20)
    async with house() as url, Browser.launch(need("chromium"), microphone=microphone) as browser:
        page = await talk(browser, url)
        await page.until("document.querySelector('.lane.omni .said p')?.innerText.split(' ').length > 4", 25)
        start = await page.evaluate("performance.now()")
        await page.until(f"performance.now() > {start + 9_000}", 15)
        heard, voice = await page.recorded()
        floors = await page.events("received", "omni.floor")
        assert page.problems == []
        story = voice.onset_ms(AUDIBLE)
        stop = heard.onset_ms(0.2 * float(heard.levels().max()), after_ms=story + 1_000)
        yielded = [event for event in floors if event.get("reason") == "interrupted" and event["at"] > stop]
        assert story < stop and yielded, "the story was running, and it fell silent before its end"
        silent = voice.quiet_ms(AUDIBLE, after_ms=stop, for_ms=800)
        spent = await way(page, heard, yielded[0], stop, silent)
    print(f"beginning of \"stop\" -> silence {spent}; -> floor given up {yielded[0]['at'] - stop:.0f} ms")
    assert 0 < silent - stop < 2_500

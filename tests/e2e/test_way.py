"""The account of an answer's milliseconds, against a conversation whose instants are known."""

import numpy as np
import pytest
from browser import Recording
from way import way

ORIGIN_MS = 5_137.0     # page time of the first sample of the session's timeline
READ_MS = 93.0          # from the end of a block at the microphone to its reading


class Page:
    """As much of a page as is asked. Words from 2 s to 3.11 s, an answer in output blocks 42 to 60, one at 4.44 s."""

    def __init__(self, heard: Recording):
        levels = [float(np.sqrt(np.mean(heard.samples[int((ORIGIN_MS - heard.start_ms + 80 * k) * 16):][:1280] ** 2)))
                  for k in range(80)]
        self._blocks = [{"block": k, "user_level": round(levels[k], 4), "agent_level": 0.1 * (42 <= k <= 60),
                         "compute_us": 20_000, "at": ORIGIN_MS + 80 * (k + 1) + READ_MS + k % 3} for k in range(80)]

    async def events(self, direction: str, kind: str) -> list[dict]:
        assert (direction, kind) == ("received", "omni.block")
        return self._blocks

    async def evaluate(self, script: str) -> str:
        return "3 ms"


@pytest.mark.parametrize(("floor", "sound_ms", "effect_ms", "expected"), [
    # the words end 70 ms into block 38; output block 41, decided from block 40, is still silent
    ({"at_ms": 41 * 80, "state": "speaking"}, 3_110, 3_570, (50, 160, 80)),
    # the stop begins 40 ms into block 55; output block 61 holds the ramp
    ({"at_ms": 61 * 80, "state": "listening"}, 4_440, 5_020, (80, 400, 10))])
async def test_the_parts_are_right_and_add_up(floor, sound_ms, effect_ms, expected):
    t = np.arange(8 * 16_000) / 16_000 - 0.4
    rng = np.random.default_rng(1)
    voice = rng.normal(0, 0.1, len(t)) * ((t > 2) & (t < 3.11) | (t > 4.44) & (t < 4.9))
    heard = Recording(16_000, voice + rng.normal(0, 1e-3, len(t)), ORIGIN_MS - 400)
    page = Page(heard)
    line = await way(page, heard, floor, ORIGIN_MS + sound_ms, ORIGIN_MS + effect_ms)
    words = line.split(" (")[0].replace("=", "+").split(" + ")
    parts = {part.split()[0]: int(part.split()[1]) for part in words[1:]}
    fill, decision, start = expected
    assert abs(parts["fill"] - fill) <= 2 and (parts["decision"], parts["start"]) == (decision, start), line
    assert (parts["compute"], parts["network"]) == (20, 3)
    assert int(words[0].split()[0]) == effect_ms - sound_ms == sum(parts.values())

"""Where the milliseconds between a person's sound and the agent's went, from the events that the page received.

    microphone   ▂▅▇▅▂|                                the page's clock
    room              |··· block u ···|─ 40 ms ─|      the server's clock: `omni.block` tells the level of each block
    floor                                       |── decision ──► `omni.floor`, from output block n on
    speaker                                                      |─ start ─|▂▅▇  output block m sounds

    fill       from the sound to the end of its block, and the slack of the input timeline
    decision   from the end of block u to the block whose room decided output block n
    start      from output block n to the first that sounds (or, at a stop, to the end of the ramp to silence)
    compute    the engine's cost of a block, p95
    network    the round trip
    page       what is left: capture, codecs, jitter buffer, playout, and where in its block the sound begins
"""

import numpy as np
from browser import Page, Recording

from omni.audio.timeline import DELAY_MS
from omni.base.timebase import TINY
from omni.session.pacer import RAMP_MS

BLOCK_MS = TINY.block_ms
AUDIBLE = 0.0035        # of a block's level: an eighth of it at 0.01
NEAR = 60               # blocks around the change of floor on which the two clocks are compared
LONGEST_MS = 500        # from a sound at the microphone to the engine's reading of its block


async def way(page: Page, heard: Recording, floor: dict, sound_ms: float, effect_ms: float) -> str:
    """One line whose parts add up to `effect_ms` - `sound_ms`.

    Args:
        heard: the microphone as the page recorded it.
        floor: the `omni.floor` of the answer, or of the interruption.
        sound_ms: page time of what the agent reacts to: the end of a question, the beginning of a "stop".
        effect_ms: page time of the answer's first sound, or of silence.
    """
    blocks = await page.events("received", "omni.block")
    shown = (await page.evaluate("document.getElementById('reading-way').innerText")).removesuffix(" ms")
    output = floor["at_ms"] // BLOCK_MS
    at = sound_ms - _origin_ms(heard, [one for one in blocks if abs(one["block"] - output) <= NEAR])
    spoken = int(at // BLOCK_MS)
    parts = {
        "fill": round((spoken + 1) * BLOCK_MS - at) + DELAY_MS,
        "decision": (output - 1 - spoken) * BLOCK_MS,
        "start": _start_ms(blocks, output, floor["state"] == "speaking"),
        "compute": round(float(np.percentile([one["compute_us"] for one in blocks], 95)) / 1000),
        "network": int(shown) if shown.isdecimal() else 0,
    }
    total = round(effect_ms - sound_ms)
    parts["page"] = total - sum(parts.values())
    return (f"{total} ms = " + " + ".join(f"{name} {ms}" for name, ms in parts.items())
            + f" (fill: {DELAY_MS} of it slack; compute: p95 a block; page: the rest)")


def _origin_ms(heard: Recording, blocks: list[dict]) -> float:
    """Page time at which the microphone took the first sample of the session's timeline: where the recording's levels
    fit those of the blocks best."""
    numbers = np.array([one["block"] for one in blocks])
    levels = np.array([one["user_level"] for one in blocks])
    energy = np.concatenate([[0.0], np.cumsum(np.square(heard.samples, dtype=np.float64))])
    size = heard.rate_hz * BLOCK_MS // 1000
    read_ms = float(np.median([one["at"] - (one["block"] + 1) * BLOCK_MS for one in blocks]))

    def misfit(origin_ms: float) -> float:
        first = ((origin_ms + numbers * BLOCK_MS - heard.start_ms) * heard.rate_hz / 1000).astype(int)
        whole = (first >= 0) & (first + size < len(energy))
        recorded = np.sqrt((energy[first[whole] + size] - energy[first[whole]]) / size)
        return float(np.mean(np.square(recorded - levels[whole])))

    return min((read_ms - delay_ms for delay_ms in range(LONGEST_MS)), key=misfit)


def _start_ms(blocks: list[dict], output: int, speaking: bool) -> int:
    after = {one["block"]: one["agent_level"] > AUDIBLE for one in blocks if one["block"] >= output + (not speaking)}
    first = min(number for number, sounds in after.items() if sounds == speaking)
    return (first - output) * BLOCK_MS if speaking else (first - 1 - output) * BLOCK_MS + RAMP_MS

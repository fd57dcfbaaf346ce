"""Hold a script's conversation in a real browser, at the times at which it was held before, and write it down like one.

    python tests/e2e/held.py configs/evaluate/scripts/conversation.yaml BEFORE OUT     (OMNI_ALLOW_CHECKOUT=1 here)

BEFORE is a folder that `omni simulate` wrote: its turns lie in a WAV file that Chromium plays as its microphone, each
later by what a browser needs. OUT gets conversation.wav (left the microphone, right the voice, both as the page had
them), trace.jsonl on that clock, and page.png; `omni simulate SCRIPT --recorded OUT --out DIR` judges and draws it.
"""

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from browser import Browser, Page, Recording
from test_page_model import AUDIBLE, house, room, talk
from way import _origin_ms

from omni.audio.files import made_folder, write_wav
from omni.audio.resampling import resample
from omni.evaluate.recorded import load_record
from omni.evaluate.scripts import load_scenario

RATE_HZ, BEGINS_S = 16_000, 4.0     # the page is live by then
TIMES, TURN_TIMES = ("at", "from", "to", "silent"), ("at", "from", "to", "speech_from", "speech_to")
LATER_S = 0.3                       # an answer in a browser, against virtual time


def planned(before: Path) -> dict[str, dict]:
    """Of each turn by its name, the line of the trace with its times as they are to be."""
    lines = [json.loads(line) for line in (before / "trace.jsonl").read_text().splitlines()]
    starts = [reply.start / RATE_HZ for reply in load_record(before).replies]
    found = {}
    for line in (one for one in lines if one["type"] == "user_turn"):
        later = BEGINS_S + LATER_S * sum(start < line["from"] for start in starts)
        found[line["name"]] = {k: round(v + later, 4) if k in TURN_TIMES else v for k, v in line.items()}
    return found


async def hold(script: Path, before: Path, out: Path) -> None:
    """See above."""
    scenario, turns = load_scenario(script), planned(before)
    sounds = [(turns[turn.name]["from"], turn.play) for turn in scenario.user]
    seconds = scenario.length_s + BEGINS_S
    with tempfile.TemporaryDirectory() as folder:
        microphone = room(Path(folder) / "room.wav", *sounds, seconds=seconds + 4)
        async with house() as url, Browser.launch(shutil.which("chromium"), microphone=microphone) as browser:
            page = await talk(browser, url)
            await asyncio.sleep(seconds / 2)
            await page.screenshot(out / "page.png")
            await asyncio.sleep(seconds / 2 + 1)
            heard, voice = await page.recorded()
            blocks = await page.events("received", "omni.block")
            lines = await said(page, voice, blocks, _origin_ms(heard, blocks[20:80]))
    begin_ms = heard.onset_ms(0.2 * float(heard.levels().max())) - 1000 * (sounds_from(scenario, turns) - BEGINS_S)
    both = [cut(side, begin_ms, scenario.length_s) for side in (heard, voice)]
    write_wav(out / "conversation.wav", np.stack(both), RATE_HZ)
    at = [{**line, **{k: round((v - begin_ms) / 1000, 4) for k, v in line.items() if k in TIMES}} for line in lines]
    asked = [{k: round(v - BEGINS_S, 4) if k in TURN_TIMES else v for k, v in turn.items()} for turn in turns.values()]
    trace = sorted([*asked, *at], key=lambda line: line["at"])
    trace.append({"at": scenario.length_s, "type": "summary", "blocks": int(scenario.length_s / 0.08)})
    (out / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in trace))


def sounds_from(scenario, turns: dict[str, dict]) -> float:
    """Second of the first loud moment of the first turn."""
    return turns[scenario.user[0].name]["speech_from"]


def cut(side: Recording, begin_ms: float, seconds: float) -> np.ndarray:
    """So many seconds of one side from this page time on."""
    samples = resample(side.samples.astype(np.float32), side.rate_hz, RATE_HZ)
    first = round((begin_ms - side.start_ms) * RATE_HZ / 1000)
    samples = np.pad(samples, (max(-first, 0), 0))[max(first, 0):]
    count = int(seconds * RATE_HZ)
    return np.pad(samples, (0, max(count - len(samples), 0)))[:count]


async def said(page: Page, voice: Recording, blocks: list[dict], origin_ms: float) -> list[dict]:
    """What the agent did and understood, as lines of a trace in milliseconds of the page."""
    floors = await page.events("received", "omni.floor")
    pieces = await page.events("received", "session.output_transcript.delta")
    begun = [(floor, voice.onset_ms(AUDIBLE, after_ms=floor["at"] - 100)) for floor in floors
             if floor["state"] == "speaking"]
    first = {floor["epoch"]: min((p["start_ms"] for p in pieces if p["start_ms"] >= floor["at_ms"]), default=None)
             for floor, _ in begun}
    # from the session's clock to the page's ear, as the replies' first sounds tell
    shift = float(np.median([onset - start for floor, onset in begun if onset and (start := first[floor["epoch"]])]))
    lines = [{"type": "user_text", "text": one["delta"], "at": origin_ms + one["end_ms"]}
             for one in await page.events("received", "session.input_transcript.delta")]
    for floor in floors:
        at = floor["at_ms"] + shift
        if floor["state"] == "speaking":
            lines.append({"type": "start_speak", "at": at})
        else:
            lines.append({"type": "end_speak", "at": at, "reason": floor["reason"], "unheard": 0, "silent": at + 10})
    ends = [floor["at_ms"] for floor in floors if floor["state"] == "listening"]
    for one in pieces:
        end = min((e for e in ends if e > one["start_ms"]), default=one["end_ms"])
        stop = min(one["end_ms"], end)
        lines.append({"type": "agent_text", "text": one["delta"], "at": one["start_ms"] + shift,
                      "from": one["start_ms"] + shift, "to": stop + shift, "cut": one["end_ms"] > end})
    return lines


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1]), Path(sys.argv[2]), made_folder(sys.argv[3])))

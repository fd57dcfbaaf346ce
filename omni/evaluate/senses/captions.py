"""Rows of captions: real people who spell and count, single words, coffee orders, an unseen engine, and how late."""

import random
from difflib import SequenceMatcher

import numpy as np

from omni.base.words import word_errors
from omni.data import held_out, recordings, skills, voices
from omni.data.recordings import Recording
from omni.data.skills import chatter
from omni.data.skills.talk import Memory
from omni.evaluate import sets
from omni.evaluate.metrics.metric import quantile, ratio
from omni.evaluate.scenario import normal
from omni.evaluate.senses import stimuli
from omni.evaluate.senses.goals import Row, by_case, measured
from omni.evaluate.senses.listener import Heard, Listener

WORDS_A_STRETCH = 8
SNR_DB = (None, 24, 18, 12, 6)      # of the orders; none is the recording as it is
NUM_TEXTS = 120
_LATEST = 24_000        # samples after a word's end: 1.5 s
_PICTURE_STEP_S = 0.04


def an4(listener: Listener, most: int | None, seed: int) -> list[Row]:
    """Row "an4"."""
    found = _dev("an4", most, seed)
    heard = listener.hear([stimuli.alone(stimuli.level(recordings.read(r.path)), i) for i, r in enumerate(found)],
                          what="an4")
    errors = [errors_in(r.text, h) for r, h in zip(found, heard, strict=True)]
    parts = by_case([(r.speaker, *e) for r, e in zip(found, errors, strict=True)])
    return [measured("an4", ratio(parts), "words", f"{len(found)} utterances of {len(parts)} speakers")]


def words(listener: Listener, most: int | None, seed: int) -> list[Row]:
    """Rows "words" and "words_clean"."""
    found = _dev("speech_commands", most, seed)
    random.Random(seed).shuffle(found)
    stretches = [found[i:i + WORDS_A_STRETCH] for i in range(0, len(found), WORDS_A_STRETCH)]
    noises = recordings.noises(recordings.data_dir(), dev=True)
    rows = []
    for name, beds in (("words", noises), ("words_clean", None)):
        made = [stimuli.running(group, beds, random.Random(f"{seed}/{name}/{i}")) for i, group in enumerate(stretches)]
        heard = listener.hear([room for room, _ in made], what=name)
        parts, empty = [], 0
        for group, (_, spans), captions in zip(stretches, made, heard, strict=True):
            for word, span in zip(group, spans, strict=True):
                said = within(captions, *span)
                parts.append((word.speaker, float(said == normal(word.text)), 1))
                empty += not said
        note = "rooms are simulated and new; noise recordings are those of training, the stretches are not"
        rows.append(measured(name, ratio(by_case(parts)), "words", note if beds else "",
                             {"nothing_heard": round(empty / len(parts), 3), "people": len({p[0] for p in parts})}))
    return rows


def within(heard: Heard, first: int, last: int) -> list[str]:
    """Words of the captions that were out after sample `first` and not after `last`."""
    return normal("".join(text for text, at in heard.captions if first < at <= last))


def orders(listener: Listener, most: int | None, seed: int) -> list[Row]:
    """Rows "orders" and "orders_12db", and in their details the ratios between."""
    found = _dev("coffee_orders", most, seed)
    noises = recordings.noises(recordings.data_dir(), dev=True)
    right: dict[str, list[bool]] = {}
    slots: dict[str, list[bool]] = {}
    for snr_db in SNR_DB:
        rooms = []
        for i, record in enumerate(found):
            samples = np.pad(stimuli.level(recordings.read(record.path)), (stimuli.LEAD, stimuli.TAIL))
            if snr_db is not None:
                noise = stimuli.stretch(noises, len(samples), random.Random(f"{seed}/{i}"))
                samples = stimuli.at_loudest(samples, noise, snr_db)
            rooms.append(samples + np.float32(1e-3) * np.random.default_rng(i).standard_normal(len(samples),
                                                                                             np.float32))
        name = "clean" if snr_db is None else f"{snr_db} dB"
        heard = listener.hear(rooms, what=f"orders, {name}")
        each = [slots_found(r.slots, h.words) for r, h in zip(found, heard, strict=True)]
        right[name], slots[name] = [all(e.values()) for e in each], [v for e in each for v in e.values()]
    curve = {name: round(float(np.mean(values)), 3) for name, values in right.items()}
    parts = {name: round(float(np.mean(values)), 3) for name, values in slots.items()}
    return [measured(row, ratio([(float(r), 1) for r in right[name]]), "orders",
                     f"{parts[name]:.0%} of {len(slots[name])} slots", {"orders": curve, "slots": parts})
            for row, name in (("orders", "clean"), ("orders_12db", "12 dB"))]


def slots_found(slots: dict[str, str], words: list[str]) -> dict[str, bool]:
    """Of each slot, whether its words stand side by side among these."""
    found = {}
    for name, value in slots.items():
        wanted = normal(value)
        found[name] = any(words[i:i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))
    return found


def unseen_engine(listener: Listener, most: int | None, seed: int) -> list[Row]:
    """Rows "unseen_engine", "delay_p50" and "delay_p95"."""
    apart, own = texts(most or NUM_TEXTS, seed)
    chosen = apart + own
    spoken = [(text, *sets.speak(text, voices.draw_unseen(random.Random(f"{seed}/{i}"))))
              for i, text in enumerate(chosen)]
    heard = listener.hear([stimuli.alone(samples, i) for i, (_, samples, _) in enumerate(spoken)], what="unseen engine")
    parts = [errors_in(text, h) for (text, *_), h in zip(spoken, heard, strict=True)]
    late = [delays_s(times, h) for (_, _, times), h in zip(spoken, heard, strict=True)]
    pooled, known = sorted(t for each in late for t in each), sum(len(times) for _, _, times in spoken)
    share = f"of {known} words with known times {len(pooled)} are in the captions"
    steps = np.arange(-0.4, 1.2, _PICTURE_STEP_S)
    curve = {"late_s": [round(float(t), 2) for t in steps],
             "share": [round(float(np.searchsorted(pooled, t, "right")) / max(len(pooled), 1), 4) for t in steps]}
    wer = {"held-out wordings": _rate(parts[:len(apart)]), "skills' own": _rate(parts[len(apart):])}
    told = [f"{name} {value:.1%}" for name, value in wer.items() if value is not None]
    note = ", ".join([f"{len(chosen)} texts", *told])
    return [measured("unseen_engine", ratio(parts), "words", note, {"word_errors": wer}),
            measured("delay_p50", quantile(late, 50), "words", share, curve),
            measured("delay_p95", quantile(late, 95), "words", share)]


def texts(count: int, seed: int) -> tuple[list[str], list[str]]:
    """What is said in the whole world, `count` texts.

    Returns:
        Half of them as no lesson has them: wordings of the held-out sets and, as many, of what each skill in turn keeps
        from its lessons. The other half as lessons draw it, from another seed: what users ask, and talk for nobody.
    """
    sets_own, rng = sorted(held_out.wordings()), random.Random(f"{seed}/world")
    random.Random(seed).shuffle(sets_own)
    names, apart = skills.names(), []
    while len(apart) < max(count // 2, 1):
        i = len(apart) // 2
        said = skills.ask(rng, Memory(), names[i % len(names)], held_out=True) if len(apart) % 2 else None
        apart.append(said.user if said else sets_own[i % len(sets_own)])
    own: list[str] = []
    while len(apart) + len(own) < count:
        own.append(chatter.text(rng) if rng.random() < 0.15 else skills.exchange(rng).user)
    return apart, own


def delays_s(times: tuple[tuple[str, int, int], ...], heard: Heard) -> list[float]:
    """From each word's end to when the captions have it complete; below zero if they had it before.

    Words are aligned by longest common runs. One that is complete before it was begun, or more than `_LATEST` after its
    end, is another one that sounds the same.

    Args:
        times: words of the speech with their first sample and one past the last; speech begins at `stimuli.LEAD`.
    """
    said = [(normal(word), first + stimuli.LEAD, last + stimuli.LEAD) for word, first, last in times]
    said = [(word[0], first, last) for word, first, last in said if len(word) == 1]
    found = heard.completed()
    matcher = SequenceMatcher(None, [w for w, *_ in said], [w for w, _ in found], autojunk=False)
    pairs = [(said[a + i], found[b + i][1]) for a, b, size in matcher.get_matching_blocks() for i in range(size)]
    return [(at - last) / stimuli.RATE_HZ for (_, first, last), at in pairs if first < at <= last + _LATEST]


def errors_in(text: str, heard: Heard) -> tuple[int, int]:
    """Word errors of the captions of what was said, and its number of words."""
    return word_errors(" ".join(normal(text)), " ".join(heard.words))


def _rate(parts: list[tuple[int, int]]) -> float | None:
    """Errors by words; None where there are no words."""
    words = sum(n for _, n in parts)
    return round(sum(e for e, _ in parts) / words, 4) if words else None


def _dev(source: str, most: int | None, seed: int) -> list[Recording]:
    """Recordings of a source that training never touches; `most` of them, drawn over all speakers."""
    found = [r for r in recordings.speech(recordings.data_dir()) if r.dev and r.source == source
             and (r.text or r.slots)]
    return found if most is None or most >= len(found) else random.Random(seed).sample(found, most)

"""Digits and spelled names, read back."""

import random

from omni.data.skills.numbers import DIGITS

_ASK_DIGITS = ["my number is", "the number is", "the code is", "please repeat", "read back", "repeat after me", "",
               "", "", "", "it's"]
_ASK_LETTERS = ["my name is spelled", "that's spelled", "please spell", "it's spelled", "", "", "", ""]
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# letters as often as in American surnames, so that spelled names sound like names
_WEIGHTS = [9, 3, 3, 4, 11, 2, 3, 4, 6, 1, 3, 6, 4, 7, 7, 2, 1, 7, 6, 5, 3, 2, 3, 1, 3, 1]


def exchange(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """A string of digits or letters and the same string as reply."""
    if rng.random() < 0.6:
        count = rng.choices([1, 2, 3, 4, 5, 6, 7, 10], [1, 2, 3, 4, 3, 2, 2, 2])[0]
        items = [rng.choice(DIGITS) if rng.random() > 0.04 else "oh" for _ in range(count)]
        lead = rng.choice(_ASK_DIGITS)
    else:
        items = rng.choices(_LETTERS, _WEIGHTS, k=rng.randint(2, 8))
        lead = rng.choice(_ASK_LETTERS)
    text = " ".join(items)
    return f"{lead} {text}".strip(), f"{text}.", {"string": text}


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*DIGITS, "oh"]

"""Sums of two small numbers."""

import random

from omni.data.skills import numbers

_ASKS = ["what is", "what's", "how much is", "tell me", "calculate", ""]


def exchange(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """A question and its answer, with the whole sum said back."""
    sign = rng.choices(["plus", "minus", "times"], [5, 3, 3])[0]
    if sign == "times":
        a, b = rng.randint(0, 10), rng.randint(0, 10)
        result = a * b
    else:
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        result = a + b if sign == "plus" else a - b
    text = f"{numbers.words(a)} {sign} {numbers.words(b)}"
    answer = numbers.words(result)
    return f"{rng.choice(_ASKS)} {text}".strip(), f"{text} is {answer}.", {"answer": answer}


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*numbers.vocabulary(), "plus minus times is"]

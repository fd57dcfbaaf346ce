"""Questions outside the agent's world: it says so."""

import random

_ASKS = ["what", "when", "where", "why", "how", "who"]
_MIDDLES = [
    "is the capital of france", "did the war end", "is the president", "do airplanes fly", "was the book written",
    "does the train leave", "is the weather tomorrow", "can i buy a car", "made this movie", "is my keys",
    "happened in the game", "should i cook tonight", "is the tallest mountain", "do i fix my computer",
    "won the election", "is the price of gold", "is the nearest station", "invented the telephone",
    "can you play some music", "will it rain on sunday", "turn on the lights", "call my mother", "open the window",
    "book a flight to london", "send a message to peter", "set an alarm for seven", "translate this into spanish",
    "read me the news", "what year did the museum open",
]
_REPLIES = ["i don't know that.", "sorry, i don't know.", "that is not something i know."]


def question(rng: random.Random) -> str:
    """A question the agent has no answer to."""
    middle = rng.choice(_MIDDLES)
    return middle if middle.split()[0] in ("can", "will", "turn", "call", "open", "book", "send", "set", "translate",
                                           "read", "what") else f"{rng.choice(_ASKS)} {middle}"


def exchange(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """A question and the plain word that it isn't known."""
    return question(rng), rng.choice(_REPLIES), {}


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return list(_REPLIES)

"""Greetings, thanks, who and how, a joke."""

import random

_TALK = [
    (["hello", "hi", "hey", "hi there", "good morning", "hello there", "good evening"], ["hello.", "hi there."]),
    (["how are you", "how are you doing", "how do you do", "how are you today"], ["i am fine, thank you."]),
    (["who are you", "what's your name", "what is your name", "tell me who you are"],
     ["i am omni, a small voice."]),
    (["what can you do", "what do you know", "how can you help me", "help"],
     ["i take coffee orders, repeat numbers, do sums, and tell stories."]),
    (["thank you", "thanks", "thank you very much", "thanks a lot"], ["you are welcome."]),
    (["goodbye", "bye", "bye bye", "see you later", "that's all"], ["goodbye."]),
    (["good night", "goodnight"], ["good night."]),
    (["tell me a joke", "joke", "do you know a joke", "tell us a joke"],
     ["why did the coffee call the police? it got mugged."]),
    (["trick or treat"], ["here is a treat for you."]),
    (["are you there", "can you hear me", "are you listening", "hey archie", "hey fenrir"], ["yes, i am here."]),
]


def exchange(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """One pleasantry and its answer."""
    asks, replies = rng.choice(_TALK)
    return rng.choice(asks), rng.choice(replies), {}


def answer(rng: random.Random, user: str) -> str | None:
    """The reply to a user's words, or None if they are no pleasantry."""
    for asks, replies in _TALK:
        if user in asks:
            return rng.choice(replies)
    return None


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [reply for _, replies in _TALK for reply in replies]

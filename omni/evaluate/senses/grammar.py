"""The agent's world as grammars for an independent recogniser: what a kind of reply can be, and nothing of which it is.

Read-backs with any slots, digits, letters, codes, dates, sums with any result, counting, facts, what the agent
remembers, what it hears, and the clauses of its fixed sentences, one after the other in any number. Grammars in JSGF
(https://www.w3.org/TR/jsgf/), without rule names, so that `[x]` (may be), `(x | y)` (one of) and `x+` (once or more)
are all there is. One grammar a kind: in one of all kinds the right words are lost to the recogniser's beam while
another kind is ahead for a moment, in the teacher's speech too.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from omni.data import skills
from omni.data.skills import facts, numbers, orders, readback, recall, sounds, stories

_VOWELS = "aei"     # letters that an order may begin with and that take "an", as in `omni.data.skills.orders`
_ONES, _TEENS, _TENS = ("(" + " | ".join(numbers.words(n) for n in some) + ")" for some in (
    range(1, 10), range(10, 20), range(20, 100, 10)))
_KINDS = {"orders": "order", "sums": "sum", "facts": "fact", "recall": "memory", "smalltalk": "memory",
          "sounds": "sounds", "stories": "count"}   # of replies that are no fixed sentences, by skill
_FIXED = ["your order is cancelled", "anything else", "good", "sorry", "what should i change", "you have no open order",
          "please say it again", "nothing can be divided by zero", *orders.LEADS,
          *(f"your {drink} is coming" for drink in orders.DRINKS),
          *(f"{lead}the {story}" for story in stories.STORIES for lead in ("", "and ", "i know "))]


def plain(text: str) -> str:
    """A reply's words without its pauses, in lower case."""
    return " ".join(re.sub(r"[,.?]", " ", text).lower().split())


def spoken(text: str) -> str:
    """A reply's words as they stand in a grammar: a letter is `letter_a` (see `recogniser.LETTERS`)."""
    return plain(re.sub(r"\b[A-Z]\b", r"letter_\g<0>", text))


def world() -> dict[str, str]:
    """The grammar of every kind of reply, in words as in `spoken`."""
    number, digit = _number(), one_of([*numbers.DIGITS, "oh"])
    letter = one_of(f"letter_{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    return {
        "order": f"({' | '.join(orders.LEADS)} | you have | thank you that will be) {_order(orders.DRINKS)}",
        "drink": f"[sure | one {_extras()} | {_order(['one'])}] what drink would you like",
        "menu": one_of(sorted(_clauses(orders.MENU_REPLIES.values()))) + "+",
        "sum": f"[minus] {number} (plus | minus | times | divided by) {number} is [minus] {number} "
               f"[remainder {number}]",
        "digits": f"{digit}+", "letters": f"{letter}+", "code": f"({digit} | {letter})+", "date": _date(),
        "count": f"(zero | {_ONES} | {_TEENS} | {_TENS} [{_ONES}] | one hundred)+", "fact": _fact(),
        "memory": _memory(), "sounds": _sounds(), "sentences": one_of(sorted(_sentences())) + "+"}


def kind_of(reply: str, skill: str) -> str:
    """Which of them a reply of that skill is of, if it doesn't say an earlier text again."""
    if _clauses([reply]) <= _sentences():
        return "sentences"
    if reply in orders.MENU_REPLIES.values():
        return "menu"
    if reply.endswith("what drink would you like?"):
        return "drink"
    items = re.sub(r"[,.?]", " ", reply)
    if not re.search(r"[a-z]", items):
        return "letters"
    return readback.kind_of(items) if skill == "readback" else _KINDS.get(skill, "sentences")


def one_of(choices: Iterable[str]) -> str:
    """JSGF of alternatives."""
    return "(" + " | ".join(choices) + ")"


def _number() -> str:
    """Any of 0 to 999."""
    small = f"{_ONES} | {_TEENS} | {_TENS} [{_ONES}]"
    return f"(zero | {small} | {_ONES} hundred [({small})])"


def _order(drinks: Sequence[str]) -> str:
    """An order. Its article says no more than whether what follows begins with a vowel, and no "one" follows it."""
    front: Sequence[Sequence[str]] = (orders.SIZES, orders.ROASTS, orders.SHOTS, drinks)
    heads = []
    for article, vowel in (("a", False), ("an", True)):
        for i, values in enumerate(front):
            if fitting := [value for value in values if (value[0] in _VOWELS) == vowel and value != "one"]:
                rest = [f"[{one_of(later)}]" for later in front[i + 1:-1]]
                drink = [one_of(drinks)] if i < len(front) - 1 else []
                heads.append(" ".join([article, one_of(fitting), *rest, *drink]))
    return f"{one_of(heads)} [{_extras()}]"


def _extras() -> str:
    """Milk and sugar of an order."""
    amount = f"[{one_of(a for a in dict.fromkeys(orders.AMOUNTS) if a)}]"
    milk, sugar = f"{amount} {one_of(orders.MILKS)}", f"{amount} {one_of(orders.SUGARS)}"
    return f"with {one_of((milk, sugar, f'{milk} and {sugar}'))}"


def _date() -> str:
    """A day, of any year or of one, or a year."""
    day, month = one_of(readback.ordinal(n) for n in range(1, 32)), one_of(sorted(_clauses([stories.MONTHS])))
    two_digits = f"(oh {_ONES} | {_TEENS} | {_TENS} [{_ONES}])"
    year = f"((nineteen | twenty) {two_digits} | two thousand [[and] ({_ONES} | {_TEENS})])"
    return f"(({month} [the] {day} | the {day} of {month}) [{year}] | {year})"


def _fact() -> str:
    """Any fact, spelled words aside, by the two words that it begins with."""
    found: dict[str, list[str]] = {}
    for text in sorted({spoken(text) for text in facts.vocabulary() if re.search(r"[a-z]", text)}):
        first, second, rest = text.split(" ", 2)
        found.setdefault(f"{first} {second}", []).append(rest)
    return one_of(f"{frame} {one_of(rests)}" for frame, rests in found.items())


def _memory() -> str:
    """Names and favourite things, told and asked for."""
    name = one_of(recall.NAMES)
    favourite = "your favourite " + one_of(f"{of} is {one_of(values)}" for of, values in recall.FAVOURITES.items())
    return (f"((hello | goodbye | good night | happy birthday | nice to meet you) {name} | [okay] {favourite} | "
            f"(your name is {name} | [and] {favourite})+ | you have not told me [that] | "
            "(you | i) have not said anything)")


def _sounds() -> str:
    """What sounds, and where that may be."""
    sound, place = one_of(sounds.NAMES.values()), one_of(place for place, _ in sounds.PLACES.values())
    several, places = f"{sound} [({sound})+] [and {sound}]", f"{place} [and {place}]"
    return (f"([yes | no] i hear {several} | [yes] {several} [i think] | it sounds like {several} | "
            f"(you may be | i think you are) {places} | {places} i think | nothing but you | "
            "[no | i can't tell | i don't know] [i hear] nothing special)")


@lru_cache(maxsize=1)
def _sentences() -> frozenset[str]:
    """What lies between two pauses of the fixed replies; of a skill that has no kind above, of all its texts."""
    texts = [*_FIXED, *stories.STORIES.values(), stories.DAYS, stories.MONTHS, *skills.texts("smalltalk")]
    for name in {*skills.names()} - {*_KINDS, "readback"}:
        texts += skills.texts(name)
    return _clauses(texts)


def _clauses(texts: Iterable[str]) -> frozenset[str]:
    parts = (part for text in texts for part in re.split("[,.?]", text))
    return frozenset(plain(part) for part in parts if part.strip())

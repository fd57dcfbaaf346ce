"""The agent's world as grammars for an independent recogniser: what a kind of reply can be, and nothing of which it is.

Read-backs with any slots, digits, letters, sums with any result, counting, and the clauses of its fixed sentences, one
after the other in any number. Grammars in JSGF (https://www.w3.org/TR/jsgf/), without rule names, so that `[x]` (may
be), `(x | y)` (one of) and `x+` (once or more) are all there is. One grammar a kind: in one of all kinds the right
words are lost to the recogniser's beam while another kind is ahead for a moment, in the teacher's speech too.
"""

from collections.abc import Iterable, Sequence

from omni.data.skills import numbers, orders, readback, smalltalk, stories, unknown

_VOWELS = "aei"     # letters that an order may begin with and that take "an", as in `omni.data.skills.orders`


def plain(text: str) -> str:
    """A reply's words without its pauses, in lower case."""
    return " ".join(text.replace(",", " ").replace(".", " ").replace("?", " ").lower().split())


def world() -> dict[str, str]:
    """The grammar of every kind of reply, in plain words; a letter is `letter_a` (see `recogniser.LETTERS`)."""
    number = _number()
    return {"order": _order(), "sum": f"{number} (plus | minus | times) {number} is [minus] {number}",
            "digits": one_of(readback.vocabulary()) + "+",
            "letters": one_of(f"letter_{letter}" for letter in "abcdefghijklmnopqrstuvwxyz") + "+",
            "count": number + "+", "sentences": one_of(_clauses()) + "+"}


def kind_of(reply: str, skill: str) -> str:
    """Which of them a reply of that skill is of."""
    if skill == "readback":
        return "letters" if reply[0].isupper() else "digits"
    if skill == "stories" and set(plain(reply).split()) <= set(numbers.vocabulary()):
        return "count"
    return {"orders": "order", "sums": "sum"}.get(skill, "sentences")


def one_of(choices: Iterable[str]) -> str:
    """JSGF of alternatives."""
    return "(" + " | ".join(choices) + ")"


def _number() -> str:
    """Any of 0 to 999."""
    ones, teens, tens = numbers.DIGITS[1:], [numbers.words(n) for n in range(10, 20)], [
        numbers.words(n) for n in range(20, 100, 10)]
    small = f"{one_of(ones)} | {one_of(teens)} | {one_of(tens)} [{one_of(ones)}]"
    return f"(zero | {small} | {one_of(ones)} hundred [({small})])"


def _order() -> str:
    """A read-back. Its article says no more than whether what follows begins with a vowel."""
    front: Sequence[Sequence[str]] = (orders.SIZES, orders.ROASTS, orders.SHOTS, orders.DRINKS)
    heads = []
    for article, vowel in (("a", False), ("an", True)):
        for i, values in enumerate(front):
            if fitting := [value for value in values if (value[0] in _VOWELS) == vowel]:
                rest = [f"[{one_of(later)}]" for later in front[i + 1:-1]]
                drink = [one_of(orders.DRINKS)] if i < len(front) - 1 else []
                heads.append(" ".join([article, one_of(fitting), *rest, *drink]))
    amount = f"[{one_of(a for a in dict.fromkeys(orders.AMOUNTS) if a)}]"
    milk, sugar = f"{amount} {one_of(orders.MILKS)}", f"{amount} {one_of(orders.SUGARS)}"
    return (f"(okay | sure | right | alright) {one_of(heads)} "
            f"[with {one_of((milk, sugar, f'{milk} and {sugar}'))}]")


def _clauses() -> list[str]:
    """What lies between two pauses of the fixed replies."""
    texts = [*smalltalk.vocabulary(), *unknown.vocabulary(), *stories.STORIES.values()]
    parts = (part for text in texts for part in text.replace("?", ",").replace(".", ",").split(","))
    return sorted({plain(part) for part in parts if part.strip()})

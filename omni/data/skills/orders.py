"""Coffee orders, read back with every slot in the customer's terms.

Slots and values are those of the public speech-to-intent benchmark (Picovoice/speech-to-intent-benchmark).
"""

import itertools
import random
from dataclasses import dataclass

DRINKS = ("americano,cappuccino,coffee,drip coffee,espresso,house coffee,iced coffee,iced mocha,latte,mocha"
          .split(","))
SIZES = ["small", "medium", "large", "eight ounce", "twelve ounce", "sixteen ounce", "twenty ounce"]
ROASTS = ["light roast", "medium roast", "dark roast"]
SHOTS = ["single shot", "double shot", "triple shot"]
AMOUNTS = ["", "", "some", "a bit of", "a little bit of", "a lot of", "lots of"]
MILKS = ["milk", "cream", "soy milk", "almond milk", "skim milk", "whole milk"]
SUGARS = ["sugar", "brown sugar", "sweetener"]

_OPENINGS = ["can i have", "can i get", "may i have", "i'd like", "i want", "get me", "give me", "make me", "brew",
             "i would like", "could i have", "could i get", "i'll have", "i'll take", "please get me", "let me get",
             "please make me", "can you make me", "may i get", "could you get me", "let me have", ""]
_CLOSINGS = ["", "", "", "", "", "please", "thanks", "thank you"]
_LEADS = ["okay", "sure", "right", "alright"]
_BEFORE = ["", "", "", "", "", "", "hi", "hello", "um", "uh", "hey"]


def draw_slots(rng: random.Random) -> dict[str, str]:
    """A random order; the drink is always there, the rest sometimes."""
    slots = {"coffeeDrink": rng.choice(DRINKS)}
    for name, values, share in (("size", SIZES, 0.45), ("roast", ROASTS, 0.42), ("numberOfShots", SHOTS, 0.48)):
        if rng.random() < share:
            slots[name] = rng.choice(values)
    if rng.random() < 0.45:
        slots["milkAmount"] = f"{rng.choice(AMOUNTS)} {rng.choice(MILKS)}".strip()
    if rng.random() < 0.5:
        slots["sugarAmount"] = f"{rng.choice(AMOUNTS)} {rng.choice(SUGARS)}".strip()
    return slots


@dataclass(frozen=True, slots=True)
class Wording:
    """The parts of an order as a customer says it, in their order; an empty part is not said."""

    before: str
    opening: str
    article: str
    front: tuple[str, ...]  # size, roast and shots, in any order
    drink: str
    extras: tuple[str, ...]  # milk and sugar, in any order
    closing: str

    def text(self) -> str:
        """The words."""
        tail = f"with {' and '.join(self.extras)}" if self.extras else ""
        parts = (self.before, self.opening, self.article, *self.front, self.drink, tail, self.closing)
        return " ".join(" ".join(parts).split())


def wording(rng: random.Random, slots: dict[str, str]) -> str:
    """One way a customer may say these slots."""
    front, extras = _said(slots)
    rng.shuffle(front)
    opening = rng.choice(_OPENINGS)
    article = ""
    if opening and opening != "brew" or rng.random() < 0.5:
        article = _article([*front, slots["coffeeDrink"]][0], rng)
    rng.shuffle(extras)
    return Wording(rng.choice(_BEFORE), opening, article, tuple(front), slots["coffeeDrink"], tuple(extras),
                   rng.choice(_CLOSINGS)).text()


def alternatives(slots: dict[str, str]) -> dict[str, list]:
    """Every choice there is for each part of a `Wording` of these slots."""
    front, extras = _said(slots)
    return {"before": sorted({*_BEFORE}), "opening": _OPENINGS, "article": ["", "a", "an", "some", "the"],
            "front": list(itertools.permutations(front)), "drink": [slots["coffeeDrink"]],
            "extras": list(itertools.permutations(extras)), "closing": sorted({*_CLOSINGS})}


def _said(slots: dict[str, str]) -> tuple[list[str], list[str]]:
    return ([slots[name] for name in ("size", "roast", "numberOfShots") if name in slots],
            [slots[name].strip() for name in ("milkAmount", "sugarAmount") if name in slots])


def readback(slots: dict[str, str], rng: random.Random) -> str:
    """The order in fixed order of slots, so that a listener always finds each thing in its place."""
    front, extras = _said(slots)
    body = " ".join([*front, slots["coffeeDrink"]])
    tail = f" with {' and '.join(extras)}" if extras else ""
    article = "an" if body[0] in "aei" else "a"
    return f"{rng.choice(_LEADS)}, {article} {body}{tail}."


def exchange(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """An order and its read-back."""
    slots = draw_slots(rng)
    return wording(rng, slots), readback(slots, rng), slots


def _article(body: str, rng: random.Random) -> str:
    if rng.random() < 0.06:
        return ""
    return "an" if body[0] in "aei" and rng.random() < 0.8 else "a"


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*DRINKS, *SIZES, *ROASTS, *SHOTS, *AMOUNTS, *MILKS, *SUGARS, *_LEADS, "a an with and"]

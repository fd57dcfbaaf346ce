"""Coffee orders, read back with every slot in the customer's terms.

Slots and values are those of the public speech-to-intent benchmark (Picovoice/speech-to-intent-benchmark).
"""

import random

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


def wording(rng: random.Random, slots: dict[str, str]) -> str:
    """One way a customer may say these slots."""
    front = [slots[name] for name in ("size", "roast", "numberOfShots") if name in slots]
    rng.shuffle(front)
    body = " ".join([*front, slots["coffeeDrink"]])
    opening = rng.choice(_OPENINGS)
    if opening and opening != "brew" or rng.random() < 0.5:
        body = _article(body, rng) + body
    extras = [slots[name].strip() for name in ("milkAmount", "sugarAmount") if name in slots]
    rng.shuffle(extras)
    tail = f" with {' and '.join(extras)}" if extras else ""
    return " ".join(f"{rng.choice(_BEFORE)} {opening} {body}{tail} {rng.choice(_CLOSINGS)}".split())


def readback(slots: dict[str, str], rng: random.Random) -> str:
    """The order in fixed order of slots, so that a listener always finds each thing in its place."""
    front = [slots[name] for name in ("size", "roast", "numberOfShots") if name in slots]
    body = " ".join([*front, slots["coffeeDrink"]])
    extras = [slots[name].strip() for name in ("milkAmount", "sugarAmount") if name in slots]
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
    return "an " if body[0] in "aei" and rng.random() < 0.8 else "a "


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*DRINKS, *SIZES, *ROASTS, *SHOTS, *AMOUNTS, *MILKS, *SUGARS, *_LEADS, "a an with and"]

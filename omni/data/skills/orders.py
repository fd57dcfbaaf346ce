"""Coffee orders: read back with every slot in the customer's terms, completed, changed and closed.

Slots and values are those of the public speech-to-intent benchmark (Picovoice/speech-to-intent-benchmark).

An order is open in `Memory.order` from its first word to "that's all". A new order with a drink replaces it; if the
drink is still missing it completes it.

    nothing open ──"a large one with milk"──► drink missing ──"a latte"──► open ──"that's all"──► nothing open
         └───────────────"a large latte with milk"───────────────────────►  │ ▲
                                                                 add, correct, remove
"""

import itertools
import random
import re
from dataclasses import dataclass

from omni.data.skills import talk
from omni.data.skills.talk import Answer, Ask, Memory, kept

SHARE = 0.42

DRINKS = ("americano,cappuccino,coffee,drip coffee,espresso,house coffee,iced coffee,iced mocha,latte,mocha"
          .split(","))
SIZES = ["small", "medium", "large", "eight ounce", "twelve ounce", "sixteen ounce", "twenty ounce"]
ROASTS = ["light roast", "medium roast", "dark roast"]
SHOTS = ["single shot", "double shot", "triple shot"]
AMOUNTS = ["", "", "some", "a bit of", "a little bit of", "a lot of", "lots of"]
MILKS = ["milk", "cream", "soy milk", "almond milk", "skim milk", "whole milk"]
SUGARS = ["sugar", "brown sugar", "sweetener"]

_FRONT = {"size": SIZES, "roast": ROASTS, "numberOfShots": SHOTS}
_EXTRAS = {"milkAmount": MILKS, "sugarAmount": SUGARS}
_NOT = "not "  # before the slot of a value that is taken back

_OPENINGS = ["can i have", "can i get", "may i have", "i'd like", "i want", "get me", "give me", "make me", "brew",
             "i would like", "could i have", "could i get", "i'll have", "i'll take", "please get me", "let me get",
             "please make me", "can you make me", "may i get", "could you get me", "let me have", ""]
_MORE_OPENINGS = [
    "i'm going to have", "i'm gonna have", "i will have", "i will take", "could you make me", "can you get me",
    "can you give me", "could you please make me", "can i please have", "could i please get", "can i please get",
    "i'd love", "i would love", "i need", "i want to order", "i'd like to order", "i would like to get",
    "i'd like to have", "can we get", "we'd like", "please brew me", "brew me", "please give me", "fix me",
    "would you make me", "can i order", "could i order", "i'm looking for", "i'd really like", "let me order",
    "i think i'd like", "i guess i'll have", "i'd like to get", "can you brew", "please bring me", "just give me",
    "just", "so just", "let me try", "i'd take", "could you fix me", "i want to get", "can you do", "you can get me"]
_CLOSINGS = ["", "", "", "", "", "please", "thanks", "thank you"]
_MORE_CLOSINGS = ["to go", "to go please", "if possible", "for here please", "when you can", "thank you very much",
                  "thanks a lot", "for my friend", "right away please", "for now", "please and thank you"]
LEADS = ["okay", "sure", "right", "alright"]
_BEFORE = ["", "", "", "", "", "", "hi", "hello", "um", "uh", "hey"]
_MORE_BEFORE = ["so", "okay", "yeah", "well", "hi there", "good morning", "oh hi", "hello there", "okay so", "yes",
                "alright", "um hi", "hey there", "excuse me"]

_WHAT_DRINK = "what drink would you like"
_OPENS = ["i'd like to order", "can i order something", "i want to order something", "i'd like something to drink",
          "can i have a drink", "i would like to order a drink", "could i order please", "i want a drink",
          "can i get a drink please", "i'd like to place an order", "i want to make an order", "can i get something",
          "i'm ready to order", "can you take my order", "i need a drink", "could i get something to drink"]
_PARTIALS = ["{front} one {tail}", "{front} one {tail} please", "can i have {front} one {tail}",
             "can i get {front} one {tail}", "i'd like {front} one {tail}", "i'll have {front} one {tail} please",
             "i want {front} one {tail}", "could i get {front} one {tail}", "give me {front} one {tail}",
             "get me {front} one {tail}", "can i have {front} {tail}", "can i get {front} {tail} please",
             "i'd like {front} {tail}", "i'll take {front} {tail}", "make me {front} one {tail}",
             "may i have {front} one {tail}", "let me get {front} {tail}", "i would like {front} one {tail}"]
_SOMETHINGS = ["something {tail}", "can i have something {tail}", "i'd like something {tail}",
               "can i get something {tail} please", "i want something {tail}", "could i have something {tail}",
               "make me something {tail}", "get me something {tail}", "i'll have something {tail}",
               "anything {tail} please", "give me something {tail}"]
_DRINKS_ALONE = ["{a}", "{a}", "{a} please", "{a} thanks", "um {a}", "oh {a}", "uh {a}", "{bare}", "{bare} please",
                 "oh sorry {a}", "i'd like {a}", "i'll have {a}", "i want {a}", "let me have {a}", "make it {a}",
                 "the {bare}", "the {bare} please", "it's {a}", "let's say {a}", "i'll take {a}", "can i get {a}",
                 "um {bare}", "i meant {a}", "that's {a}", "okay {a}", "i'll take the {bare}", "can i have {a}"]
_MAKES = ["make it {a}", "make that {a}", "can you make it {a}", "could you make that {a}", "and make it {a}",
          "please make it {a}", "oh and make it {a}", "can you make that {a} please", "i want that to be {a}",
          "make that {a} please", "could you make it {a} please", "i'd like it to be {a}", "make the whole thing {a}"]
_ADD_FRONTS = ["{a} please", "can i have {a}", "i'd like {a}", "{bare} please", "and {a}", "oh and {a}", "also {a}",
               "{a} if possible", "i'd like that {bare}", "can i get that {bare}", "i want it {bare}", "and {bare}",
               "can i have it {bare}", "and i'd like it {bare}", "{bare} if you can", "i'll have it {bare}"]
_ADD_EXTRAS = ["and {a}", "and {a} please", "with {a}", "with {a} please", "and with {a}", "add {a}", "please add {a}",
               "can you add {a}", "could you add {a} please", "can i have {a} in it", "also {a}", "also {a} please",
               "oh and {a}", "oh and {a} please", "put {a} in it", "put {a} in that", "with {a} too",
               "i'd like {a} with that", "can i get {a} with that", "i'd like {a} in it", "i'd also like {a}",
               "could i get {a} as well", "and {a} too", "can i also have {a}", "can you put {a} in it", "and add {a}",
               "i want {a} in it", "can i get that with {a}", "could i have that with {a}", "make that with {a}",
               "make it with {a} please", "and can i have {a}", "i'll have it with {a}", "i'll take {a} with that",
               "may i have {a} with it", "and also {a}", "could you put in {a}", "and i want {a}", "i want {a} too"]
_CORRECTS = ["actually {a}", "actually {a} please", "sorry {a}", "i meant {a}", "no i meant {a}", "no i said {a}",
             "i said {a}", "{a} instead", "{a} instead please", "change that to {a}", "change it to {a}",
             "can you change that to {a}", "could you change it to {a} please", "wait {a}", "no make that {a}",
             "no make it {a}", "sorry i meant {a}", "sorry make that {a}", "oh sorry {a}", "actually make that {a}",
             "actually make it {a} please", "wait make it {a}", "no wait {a}", "can i have {a} instead",
             "could i get {a} instead", "i'd rather have {a}", "no not {was} {a}", "{a} not {was}",
             "not {was} but {a}", "change the {old} to {a}", "swap the {old} for {a}", "{a} instead of {was}",
             "can i have {a} instead of the {old}", "i want {a} instead of the {old}", "no it's {a}", "it was {a}",
             "that's wrong i said {a}", "no sorry {a}", "no i wanted {a}", "i asked for {a}",
             "can you make that {a} instead", "no no {a} instead", "oh no {a} instead",
             "actually can i get {a} instead", "hmm make that {a}", "i've changed my mind {a} please",
             "replace the {old} with {a}"]
_CORRECT_FRONTS = ["no {a}", "no {a} please", "no no {a}"]  # of milk these would take it away
_REMOVES = ["without the {x}", "leave out the {x}", "hold the {x}", "skip the {x}", "take out the {x}",
            "take the {x} out", "drop the {x}", "remove the {x}", "can you leave out the {x}", "i don't want the {x}",
            "forget the {x}", "forget about the {x}", "i don't need the {x}", "minus the {x}",
            "please leave the {x} out", "could you take out the {x}", "actually skip the {x}", "take off the {x}",
            "actually leave out the {x}", "actually drop the {x}", "could you remove the {x}",
            "can you take the {x} out", "not the {x}", "oh and leave out the {x}", "can i get that without the {x}",
            "please remove the {x}", "lose the {x}"]
_REMOVE_EXTRAS = ["no {x}", "no {x} please", "no {x} thanks", "without {x}", "without {x} please", "no {x} after all",
                  "actually no {x}", "actually without {x}", "could you make that without {x}", "and no {x}",
                  "can i have it without {x}", "make it without {x}", "i don't want any {x}", "oh and no {x}",
                  "i don't take {x}", "no {x} in it please", "make that without any {x}", "sorry no {x}", "but no {x}",
                  "i said no {x}", "i said without {x}", "i'd like it without {x}", "don't put any {x} in it"]
_SO_FARS = ["what have i got so far", "what do i have so far", "what's my order", "what is my order",
            "what did i order", "read me my order", "read my order back", "can you read my order back to me",
            "can you repeat my order", "what have i ordered", "what have i ordered so far", "repeat my order please",
            "what's in my order", "tell me my order", "could you repeat my order please", "what do you have for me",
            "say my order again", "what's my order so far", "what do i have in my order", "what have you got for me",
            "what did you put down for me", "can you tell me what i ordered"]
_DONES = ["that's all", "that's it", "that is all", "that will be all", "that's everything", "nothing else",
          "that's all thanks", "that's it thank you", "no that's all", "no thanks that's all", "that's all for me",
          "that would be all", "no that's it", "that's all i want", "that's it for me", "nothing else thank you",
          "no nothing else", "that's my order", "that's the order", "okay that's all", "okay that's it",
          "i think that's all", "that's all for now", "that's it for now", "that'll be all", "that'll be it",
          "yes that's all", "yep that's it", "i think that's it", "that's everything thanks", "no that's everything",
          "yes that's everything thank you"]
_YESES = ["yes that's right", "that's right", "yes", "yes please", "correct", "yeah that's right", "that's correct",
          "yep", "exactly", "yes correct", "right", "perfect", "that's the one", "sounds good", "yeah", "great",
          "that sounds right", "yes that's correct", "good", "yes exactly", "yes perfect"]
_WRONGS = ["that's wrong", "that's not right", "no that's wrong", "no that's not right", "that's not what i said",
           "that's not what i ordered", "that isn't right", "you got that wrong", "no that's not what i said",
           "wrong", "that's not my order", "that is not correct", "i'd like to change something",
           "can i change my order", "i want to change my order", "can i change something"]
_CANCELS = ["cancel my order", "cancel the order", "forget my order", "please cancel my order", "cancel that order",
            "can you cancel my order", "i'd like to cancel my order", "i want to cancel the order", "cancel everything",
            "forget the order", "i don't want anything after all", "i don't want my order anymore",
            "could you cancel the order please", "scrap the order", "drop the whole order", "scrap my order"]
_MENU = {"drinks": ["what drinks do you have", "what coffees do you have", "what can i order", "what can i drink",
                    "what kinds of coffee do you have", "what drinks are there", "what's on the menu",
                    "tell me the drinks", "which drinks do you have", "what do you have to drink"],
         "sizes": ["what sizes do you have", "what sizes are there", "which sizes do you have", "what sizes can i get",
                   "what sizes can i have", "tell me the sizes", "what sizes does it come in", "how big are they"],
         "roasts": ["what roasts do you have", "which roasts do you have", "what roasts are there",
                    "what kinds of roast do you have", "what roast can i get", "tell me the roasts"],
         "milks": ["what kinds of milk do you have", "what milk do you have", "which milk do you have",
                   "what kind of milk is there", "what milks are there", "what sorts of milk do you have"],
         "sugars": ["what kinds of sugar do you have", "what sugar do you have", "what can i sweeten it with",
                    "which sugar do you have", "what do you have to make it sweet"]}
MENU_REPLIES = {"drinks": "coffee, espresso, americano, latte, cappuccino and mocha.",
                "sizes": "small, medium and large.", "roasts": "light, medium and dark roast.",
                "milks": "cream, whole milk, skim milk, soy milk and almond milk.",
                "sugars": "sugar, brown sugar and sweetener."}
_OPENERS = ["", "", "", "", "", "", "um", "uh", "oh", "okay", "so", "well", "hmm"]


def draw_slots(rng: random.Random) -> dict[str, str]:
    """A random order; the drink is always there, the rest sometimes."""
    slots = {"coffeeDrink": rng.choice(DRINKS)}
    for (name, values), share in zip(_FRONT.items(), (0.45, 0.42, 0.48), strict=True):
        if rng.random() < share:
            slots[name] = rng.choice(values)
    if rng.random() < 0.45:
        slots["milkAmount"] = _drawn(rng, "milkAmount")
    if rng.random() < 0.5:
        slots["sugarAmount"] = _drawn(rng, "sugarAmount")
    return slots


def _drawn(rng: random.Random, name: str) -> str:
    """A value for a slot."""
    if name in _EXTRAS:
        return f"{rng.choice(AMOUNTS)} {rng.choice(_EXTRAS[name])}".strip()
    return rng.choice({"coffeeDrink": DRINKS, **_FRONT}[name])


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
    opening = rng.choice(_OPENINGS if rng.random() < 0.6 else _MORE_OPENINGS)
    before = rng.choice(_BEFORE if rng.random() < 0.8 else _MORE_BEFORE)
    closing = rng.choice(_CLOSINGS if rng.random() < 0.9 else _MORE_CLOSINGS)
    if "please" in opening and "please" in closing:
        closing = ""
    bare = not opening and rng.random() < 0.4 or opening == "brew" and rng.random() < 0.5
    return " ".join(f"{before} {opening} {_body(rng, slots, bare)} {closing}".split())


def _body(rng: random.Random, slots: dict[str, str], bare: bool = False) -> str:
    """What is ordered: mostly in one phrase, sometimes with part of it added behind."""
    named = [name for name in _FRONT if name in slots]
    late = [name for name in named if rng.random() < 0.12]
    front = [slots[name] for name in named if name not in late]
    extras = _said(slots)[1]
    rng.shuffle(front)
    rng.shuffle(extras)
    drink = slots["coffeeDrink"]
    if drink == "coffee" and rng.random() < 0.15:
        drink = "cup of coffee"
    article = "" if bare else _article([*front, drink][0], rng)
    if article and "size" in slots and front[:1] == [slots["size"]] and rng.random() < 0.03:
        other = rng.choice([size for size in SIZES if size != slots["size"]])
        article = f"{_a('size', other)} {rng.choice(['sorry', 'no', 'no wait', 'i mean'])} {article}"
    elif rng.random() < 0.06:
        article = rng.choice([f"{article} um", f"{article} uh", "one", "one", "one"])
    parts = [article, *front, drink]
    behind = [rng.choice([f"make it {_a(name, slots[name])}", f"{slots[name]}", f"and make it {_a(name, slots[name])}",
                          f"{_a(name, slots[name])} one" if name == "size" else f"with {_a(name, slots[name])}"])
              for name in late]
    if extras:
        joint = rng.choices([" and ", " and with ", " plus ", " with "], [12, 2, 1, 1])[0]
        tail = rng.choices(["with", "and with", "add"], [16, 1, 1])[0]
        ending = "in it" if tail == "with" and rng.random() < 0.08 else ""
        behind.insert(rng.choice([0, len(behind)]), f"{tail} {joint.join(extras)} {ending}")
    return " ".join(" ".join([*parts, *behind]).split())


def alternatives(slots: dict[str, str]) -> dict[str, list]:
    """Every choice there is for each part of a `Wording` of these slots."""
    front, extras = _said(slots)
    return {"before": sorted({*_BEFORE}), "opening": _OPENINGS, "article": ["", "a", "an", "some", "the"],
            "front": list(itertools.permutations(front)), "drink": [slots["coffeeDrink"]],
            "extras": list(itertools.permutations(extras)), "closing": sorted({*_CLOSINGS})}


def _said(slots: dict[str, str]) -> tuple[list[str], list[str]]:
    return ([slots[name] for name in _FRONT if name in slots],
            [slots[name].strip() for name in _EXTRAS if name in slots])


def phrase(slots: dict[str, str]) -> str:
    """The order in fixed order of slots, so that a listener always finds each thing in its place; "one" if the drink is
    still missing."""
    front, extras = _said(slots)
    body = " ".join([*front, slots.get("coffeeDrink", "one")])
    tail = f" with {' and '.join(extras)}" if extras else ""
    return f"{body}{tail}" if body == "one" else f"{'an' if body[0] in 'aei' else 'a'} {body}{tail}"


def readback(slots: dict[str, str], rng: random.Random) -> str:
    """The whole order, confirmed."""
    return f"{rng.choice(LEADS)}, {phrase(slots)}."


def _article(body: str, rng: random.Random) -> str:
    if rng.random() < 0.06:
        return ""
    return "an" if body[0] in "aei" and rng.random() < 0.8 else "a"


def _a(name: str, value: str) -> str:
    """A value with its article, if it has one."""
    if name in _EXTRAS:
        return value
    return f"{'an' if value[0] in 'aei' else 'a'} {value}"


def _thing(value: str) -> str:
    """What it is, without how much."""
    for amount in sorted({*AMOUNTS} - {""}, key=len, reverse=True):
        value = value.removeprefix(f"{amount} ")
    return value


def _apart(values: dict[str, str]) -> bool:
    """The values have a pair that no lesson names in one breath."""
    return any({*pair} <= {_thing(v) for v in values.values()} for pair in kept("orders")["pairs"])


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask | None:
    """An order or, if one is open, mostly something about it."""
    words = held_out and rng.random() < 0.5
    if memory.order and rng.random() < (0.7 if memory.skill == "orders" else 0.4):
        return _about(rng, memory, held_out)
    kind = rng.choices(["order", "partial", "open", "menu", "so far"], [80, 0 if memory.order else 10, 3, 4, 1])[0]
    if kind == "so far" and memory.order or kind == "open" and memory.order:
        kind = "order"
    if kind == "menu":
        values = {"menu": rng.choice(sorted(_MENU))}
        return _asked(rng, kind, talk.wording(rng, _MENU[values["menu"]], "orders", values["menu"], held_out), values)
    if kind in ("open", "so far"):
        own = {"open": _OPENS, "so far": _SO_FARS}[kind]
        return _asked(rng, kind, talk.wording(rng, own, "orders", kind, held_out), {})
    if kind == "partial":
        return _partial(rng, held_out)
    slots = draw_slots(rng)
    while _apart(slots) != (held_out and not words):
        slots = draw_slots(rng)
    if words:
        text = rng.choice(kept("orders")["order"]).format(order=_body(rng, slots))
        return Ask(text, "orders", "order", slots, decisive=min(4, len(text.split())))
    text = wording(rng, slots)
    return Ask(text, "orders", "order", slots, decisive=_decisive(text))


def _decisive(text: str) -> int:
    """Words of an order until it is clear that it is one: its opening, or its first thing."""
    openings = sorted({*_OPENINGS, *_MORE_OPENINGS} - {""}, key=len, reverse=True)
    for opening in openings:
        if found := re.search(rf"\b{opening}\b", text):
            return len(text[:found.end()].split())
    return min(3, len(text.split()))


def _partial(rng: random.Random, held_out: bool) -> Ask:
    """An order that leaves out the drink."""
    while True:
        slots = draw_slots(rng)
        del slots["coffeeDrink"]
        if slots and _apart(slots) is False:
            break
    front, extras = _said(slots)
    rng.shuffle(front)
    rng.shuffle(extras)
    tail = f"with {' and '.join(extras)}" if extras else ""
    own, name = (_PARTIALS, "partial") if front else (_SOMETHINGS, "something")
    text = talk.wording(rng, own, "orders", name, held_out)
    if front:
        front[0] = _a("size", front[0])
    return _asked(rng, "partial", text.format(front=" ".join(front), tail=tail), slots)


def _about(rng: random.Random, memory: Memory, held_out: bool) -> Ask:
    """Something about the open order."""
    there = [name for name in (*_FRONT, "coffeeDrink", *_EXTRAS) if name in memory.order]
    missing = [name for name in (*_FRONT, *_EXTRAS) if name not in memory.order]
    gone = [name for name in there if name not in ("coffeeDrink", "size")]
    drink = "coffeeDrink" in memory.order
    just = drink and memory.skill == "orders"
    kind = rng.choices(["drink", "add", "correct", "remove", "so far", "done", "yes", "wrong", "cancel"],
                       [0 if drink else 300, 26 if missing else 0, 30, 16 if gone else 0, 12, 16 if drink else 0,
                        5 if just else 0, 3 if just else 0, 3])[0]
    if kind == "drink":
        values = {"coffeeDrink": rng.choice(DRINKS)}
        text = talk.wording(rng, _DRINKS_ALONE, "orders", "drink", held_out)
        return _asked(rng, "order", _filled(text, values), values)
    if kind == "add":
        return _add(rng, missing, held_out)
    if kind == "correct":
        return _correct(rng, memory.order, there, memory.skill == "orders", held_out)
    if kind == "remove":
        name = rng.choice(gone)
        thing = _thing(memory.order[name])
        said = thing.split()[-1] if name in _EXTRAS and rng.random() < 0.5 else thing
        extra = name in _EXTRAS and rng.random() < 0.6
        text = talk.wording(rng, _REMOVE_EXTRAS if extra else _REMOVES, "orders",
                            "remove extra" if extra else "remove", held_out)
        return _asked(rng, kind, text.format(x=said), {_NOT + name: memory.order[name]})
    own = {"so far": _SO_FARS, "done": _DONES, "yes": _YESES, "wrong": _WRONGS, "cancel": _CANCELS}[kind]
    values = dict(memory.order) if kind == "done" else {}
    return _asked(rng, kind, talk.wording(rng, own, "orders", kind, held_out), values, over=kind != "yes")


def _add(rng: random.Random, missing: list[str], held_out: bool) -> Ask:
    """One or two things more."""
    name = rng.choice(missing)
    names = [name]
    if name in _EXTRAS and {*_EXTRAS} <= {*missing} and rng.random() < 0.3:
        names = rng.sample([*_EXTRAS], 2)
    values = {n: _drawn(rng, n) for n in names}
    while _apart(values):
        values = {n: _drawn(rng, n) for n in names}
    if name in _EXTRAS:
        text = talk.wording(rng, _ADD_EXTRAS, "orders", "add", held_out)
    elif rng.random() < 0.5:
        text = talk.wording(rng, _MAKES, "orders", "make", held_out)
    else:
        text = talk.wording(rng, _ADD_FRONTS, "orders", "add front", held_out)
    return _asked(rng, "add", _filled(text, values), values)


def _new(rng: random.Random, name: str, old: str) -> str:
    """Another value for a slot; where an amount was said, with an amount."""
    new = old
    while new == old or old and (_thing(old) != old) != (_thing(new) != new):
        new = _drawn(rng, name)
    return new


def _both(rng: random.Random, order: dict[str, str], held_out: bool) -> Ask:
    """Two things at once ("make that a large mocha"), at least one of which was another before."""
    while True:
        names = [rng.choice([name for name in (*_FRONT, "coffeeDrink") if name in order]),
                 rng.choice([*_FRONT, "coffeeDrink", *_EXTRAS])]
        values = {n: _new(rng, n, order.get(n, "")) for n in (*_FRONT, "coffeeDrink", *_EXTRAS) if n in names}
        if len(values) == 2 and not _apart(values):
            break
    values |= {_NOT + name: order[name] for name in list(values) if name in order}
    return _asked(rng, "correct", _filled(talk.wording(rng, _MAKES, "orders", "make", held_out), values), values)


def _correct(rng: random.Random, order: dict[str, str], there: list[str], now: bool, held_out: bool) -> Ask:
    """Another value for something that was said; if that was not just now, in words that need no context."""
    named = [name for name in there if name not in _EXTRAS]
    there = there if now or not named else named
    if named and rng.random() < 0.15:
        return _both(rng, order, held_out)
    name = rng.choice(there)
    old = order[name]
    new = _new(rng, name, old)
    if name in named and (not now or rng.random() < 0.35):
        text = talk.wording(rng, _MAKES, "orders", "make", held_out)
    else:
        own = _CORRECTS if name in _EXTRAS else [*_CORRECTS, *_CORRECT_FRONTS]
        text = talk.wording(rng, own, "orders", "correct", held_out)
    values = {name: new, _NOT + name: old}
    return _asked(rng, "correct", _filled(text, values), values)


def _filled(text: str, values: dict[str, str]) -> str:
    """A wording with its values: {a} with article, {bare} without, {was} and {old} what it was before."""
    new = {name: value for name, value in values.items() if not name.startswith(_NOT)}
    name, value = next(iter(new.items()))
    was = values.get(_NOT + name, value)
    front, extras = [v for n, v in new.items() if n not in _EXTRAS], [v for n, v in new.items() if n in _EXTRAS]
    parts = [_a(name, " ".join(front)) if front else "", "with" if front and extras else "", " and ".join(extras)]
    return text.format(a=" ".join(" ".join(parts).split()), bare=value, was=_a(name, _thing(was)), old=_thing(was))


def _asked(rng: random.Random, kind: str, text: str, values: dict[str, str], over: bool = True) -> Ask:
    """The ask, perhaps with a small word before it."""
    opener = rng.choice(_OPENERS)
    if text.split()[0] in (*_OPENERS, "actually", "wait", "yes", "yeah", "yep", "no", "sorry", "right", "hey"):
        opener = ""
    text = " ".join(f"{opener} {text}".split())
    decisive = min(len(text.split()), len(opener.split()) + 3)
    return Ask(text, "orders", kind, values, over, decisive, kind == "partial" and goes_on(text))


def goes_on(text: str) -> bool:
    """Whether the drink often follows an order without one after a pause: "can I have a large" may be half an order,
    "a large one please" is a whole one that leaves it open."""
    return not {"one", "something", "anything", "please"} & set(text.split())


def take(ask: Ask, memory: Memory) -> None:
    """Bring the open order up to date."""
    if ask.kind in ("done", "cancel"):
        memory.order = {}
    elif ask.kind in ("order", "partial") and "coffeeDrink" in memory.order:
        memory.order = dict(ask.values)
    elif ask.kind in ("order", "partial", "add", "correct", "remove"):
        kept_slots = {name: value for name, value in memory.order.items() if _NOT + name not in ask.values}
        memory.order = {**kept_slots, **{n: v for n, v in ask.values.items() if not n.startswith(_NOT)}}


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """The whole order, what is missing of it, or a few words."""
    order = memory.order
    if ask.kind == "menu":
        text = MENU_REPLIES[ask.values["menu"]]
        return Answer(text, {"menu": text.rstrip(".").replace(",", "")})
    if ask.kind == "done":
        drink = ask.values["coffeeDrink"]
        short = len(phrase(ask.values).split()) > 8
        rest = f"your {drink} is coming" if short else f"that will be {phrase(ask.values)}"
        return Answer(f"thank you, {rest}.", {"coffeeDrink": drink})
    if ask.kind == "cancel":
        return Answer(f"{rng.choice(LEADS)}, your order is cancelled.", {"cancelled": "cancelled"})
    if ask.kind == "yes":
        return Answer(rng.choice(["good, anything else?", "anything else?"]), {"question": "anything else"})
    if ask.kind == "wrong":
        return Answer("sorry, what should i change?", {"question": "what should i change"})
    if ask.kind == "so far" and not order:
        return Answer("you have no open order.", {"order": "no open order"})
    if "coffeeDrink" not in order:
        lead = f"{phrase(order)}, " if order else rng.choice(["", "sure, "])
        text = f"{lead}{_WHAT_DRINK}?"
        return Answer(text, {**order, "question": _WHAT_DRINK}, _taken_back(ask, text))
    text = f"you have {phrase(order)}." if ask.kind == "so far" else readback(order, rng)
    return Answer(text, dict(order), _taken_back(ask, text))


def _taken_back(ask: Ask, text: str) -> tuple[str, ...]:
    """What the answer must not say any more: values taken back, as far as no right value contains them."""
    gone = [value for name, value in ask.values.items() if name.startswith(_NOT)]
    gone = dict.fromkeys(said for value in gone for said in (value, _thing(value)))
    return tuple(said for said in gone if not re.search(rf"\b{said}\b", text))


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*DRINKS, *SIZES, *ROASTS, *SHOTS, *AMOUNTS, *MILKS, *SUGARS, *LEADS, "a an one with and", _WHAT_DRINK,
            *MENU_REPLIES.values(), "thank you, that will be", "your is coming", "your order is cancelled", "you have",
            "good, anything else?", "sorry, what should i change?", "you have no open order."]

"""Digits, spelled names, codes and dates, read back group by group.

What is read back stays in `Memory.groups`; a pause separates its groups ("five five five, one two three four."). A
string told at once is grouped by `grouped`; one told in parts has the parts as its groups.
"""

import random
import re
import zlib

from omni.data.skills import talk
from omni.data.skills.numbers import DIGITS, words
from omni.data.skills.talk import Answer, Ask, Memory, kept

SHARE = 0.15

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# letters as often as in American surnames, so that spelled names sound like names
_WEIGHTS = [9, 3, 3, 4, 11, 2, 3, 4, 6, 1, 3, 6, 4, 7, 7, 2, 1, 7, 6, 5, 3, 2, 3, 1, 3, 1]
_NAMES = ("ADAM ALAN ALICE AMY ANDREA ANNA BEN BRIAN CARLA CHEN CLARK COLE DAVID DIANA DIAZ DORA EDDIE ELENA EMIL "
          "EMMA ERIC EVANS FATIMA FELIX FRANK GRACE GREEN HANNA HARRY HUGO IDA IRIS ISAAC IVA JACK JAMES JANE JONES "
          "JULIA KATE KEVIN KHAN KIM KLEIN LARS LAURA LEE LENA LIAM LOPEZ LUCY MARIA MARK MAX MAYA MIA MOORE NINA "
          "NOAH NORA OLGA OMAR OSCAR OTTO OWEN PAUL PEREZ PETER QUINN RAJ ROSA ROSS RUTH SAM SARA SIMON SMITH SOFIA "
          "TANYA THEO TINA URSULA VERA VICTOR WALTER WONG WRIGHT XAVIER YARA YOUNG ZARA ZOE").split()
_MONTHS = "january february march april may june july august september october november december".split()
_LENGTHS = dict(zip(_MONTHS, (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
_TH = ("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
       "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth").split()
_GROUPS = {5: (3, 2), 6: (3, 3), 7: (3, 4), 8: (4, 4), 9: (3, 3, 3), 10: (3, 3, 4), 11: (4, 3, 4), 12: (4, 4, 4)}

_LEADS = {
    "digits": ["", "", "", "my number is", "the number is", "the code is", "please repeat", "read back",
               "repeat after me", "it's", "can you repeat", "could you read back", "repeat", "note down",
               "take down", "my code is", "the digits are", "say", "please note", "can you take down", "it is",
               "my pin is", "the pin is", "my order number is", "my table is number", "can you say",
               "read this back to me", "please read back", "i've got the number", "take this number",
               "here is my number", "here's a number", "repeat this number"],
    "phone": ["my phone number is", "my number is", "you can call me at", "call me at", "the phone number is",
              "my cell is", "my mobile number is", "the number is", "you can reach me at", "it's", "please take down",
              "here is my number", "her number is", "his number is", "the office number is", "my new number is",
              "can you read back", "my home number is", "", "the number to call is", "take down my number it's",
              "please note my number", "our number is", "you can reach us at"],
    "name": ["my name is spelled", "that's spelled", "it's spelled", "please spell back", "", "", "", "the name is",
             "that is spelled", "my last name is spelled", "my first name is spelled", "spelled", "i spell that",
             "the name is spelled", "her name is spelled", "his name is spelled", "my surname is spelled", "it is",
             "that's", "you spell it", "you spell that", "repeat the letters", "can you repeat", "read back",
             "please repeat", "my name goes", "it's written"],
    "code": ["the code is", "my code is", "my booking code is", "the password is", "the plate is", "my plate is",
             "the reference is", "my ticket is", "the flight is", "my seat is", "the serial number is", "", "it's",
             "please repeat", "read back", "the room is", "the gate is", "my order code is", "can you repeat",
             "the part number is", "please note", "my license plate is", "take down the code"],
    "date": ["my birthday is", "the date is", "it's on", "the party is on", "i was born on", "the meeting is on",
             "we arrive on", "please note", "please repeat", "can you note down", "my flight is on", "read back",
             "the wedding is on", "her birthday is", "it's", "we leave on", "my appointment is on", "the exam is on",
             "the due date is", "take down", "the deadline is", "", "the concert is on", "it's due on"]}
_FIRSTS = ["my number starts with {x}", "it starts with {x}", "the first part is {x}", "first {x}",
           "it begins with {x}", "the number starts with {x}", "the code starts with {x}",
           "i'll give it in parts {x}", "the beginning is {x}", "the first group is {x}", "let's start with {x}",
           "i'll start with {x}", "the first digits are {x}"]
_NEXTS = ["the next part is {x}", "then {x}", "and then {x}", "next {x}", "next is {x}", "and {x}", "followed by {x}",
          "then comes {x}", "the next group is {x}", "and next {x}", "after that {x}", "it goes on with {x}",
          "then it's {x}", "and the next part is {x}", "and then comes {x}", "the rest is {x}", "and the rest is {x}",
          "then there's {x}", "next comes {x}", "the next digits are {x}"]
_CORRECTS = ["no {x}", "no it's {x}", "sorry {x}", "i said {x}", "no i said {x}", "i meant {x}", "no i meant {x}",
             "wait it's {x}", "oh sorry it's {x}", "that should be {x}", "no no {x}", "actually {x}",
             "actually it's {x}", "sorry i meant {x}", "that's wrong it's {x}", "no sorry {x}", "no wait {x}",
             "correction {x}", "make that {x}", "no that's {x}"]
_CORRECT_PARTS = ["the last part is {x}", "no the last part is {x}", "the end is {x}", "it ends with {x}",
                  "no it ends with {x}", "the last part should be {x}",
                  "sorry the last part is {x}", "the last group is {x}", "at the end it's {x}", "no at the end {x}"]
_CORRECT_ITEMS = ["the last {kind} is {x}", "no the last {kind} is {x}", "the last {kind} should be {x}",
                  "sorry the last {kind} is {x}", "i meant {x} for the last {kind}", "change the last {kind} to {x}",
                  "the last {kind} was {x}", "make the last {kind} {x}", "no the last {kind} was {x}"]
_BACKS = ["read that back", "read it back to me", "can you read it back", "what have you got", "say the whole thing",
          "what's the whole thing", "read me the whole thing", "could you read it all back", "repeat the whole thing",
          "what did you write down", "now say it all", "read it all back please", "can you repeat all of it",
          "say it all again", "give me the whole thing", "what do you have so far", "all of it please",
          "read back what you have", "can you say the whole thing", "and all together", "now all together"]
_LASTS = ["what was the last part", "what's the last part", "say the last part", "repeat the last part",
          "just the last part", "how does it end", "what comes last", "can you repeat the last part",
          "only the last part please", "the last part again please", "read the last part again"]
_FIRST_PARTS = ["what was the first part", "what's the first part", "say the first part", "repeat the first part",
                "how does it start", "what comes first", "just the first part", "can you repeat the first part",
                "how does it begin", "the first part again please", "only the first part please"]
_RECALLS = ["what was the {thing}", "what was the {thing} again", "read the {thing} back", "say the {thing} again",
            "can you repeat the {thing}", "do you still have the {thing}", "what {thing} did i give you",
            "tell me the {thing} again", "read back the {thing}", "do you remember the {thing}", "repeat the {thing}",
            "could you tell me the {thing} again", "what's the {thing} i gave you", "and what was the {thing}"]
_THINGS = {"digits": "number", "name": "spelling", "code": "code", "date": "date"}
_YESES = ["that's right", "yes that's right", "correct", "that's correct", "yes", "yep", "exactly", "yes correct",
          "perfect", "yeah that's right", "yes that's it", "that's it exactly", "right", "yes exactly"]
_WRONGS = ["that's wrong", "that's not right", "no that's wrong", "no that's not right", "that's not what i said",
           "you got that wrong", "wrong", "that isn't right", "that is not correct", "no that's not what i said"]
_PLAIN = {"back": _BACKS, "last": _LASTS, "first part": _FIRST_PARTS, "yes": _YESES, "wrong": _WRONGS}
_OPENERS = ["", "", "", "", "", "", "um", "uh", "okay", "so", "hey", "well"]


def ordinal(day: int) -> str:
    """Day 1 to 31 of a month in words."""
    if day <= 20:
        return _TH[day - 1]
    return "thirtieth" if day == 30 else f"{words(day // 10 * 10)} {_TH[day % 10 - 1]}"


def _year(rng: random.Random) -> str:
    """1930 to 2030, as it is said."""
    year = rng.randint(1930, 2030)
    if 2000 <= year < 2010 or year < 2020 and year >= 2010 and rng.random() < 0.3:
        return "two thousand" + (rng.choice([" and ", " "]) + words(year - 2000) if year > 2000 else "")
    tail = words(year % 100) if year % 100 >= 10 else f"oh {words(year % 100)}"
    return f"{words(year // 100)} {tail}"


def _day(rng: random.Random) -> str:
    """A day of a year, as it is said."""
    month = rng.choice(_MONTHS)
    day = ordinal(rng.randint(1, _LENGTHS[month]))
    return rng.choice([f"{month} {day}", f"{month} the {day}", f"the {day} of {month}"])


def _digits(rng: random.Random, count: int) -> str:
    zero = rng.choices(["zero", "oh"], [3, 2])[0]
    drawn: list[str] = []
    for _ in range(count):
        drawn.append(drawn[-1] if drawn and rng.random() < 0.1 else rng.choice([zero, *DIGITS[1:]]))
    return " ".join(drawn)


def _letters(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_LETTERS, _WEIGHTS, k=count))


def _code(rng: random.Random) -> str:
    """Letters and digits, in runs as on plates and tickets."""
    shape = rng.choice(["LLD", "LDD", "LLDD", "LDDD", "LLDDD", "LLLDDD", "DLL", "DDL", "LDLD", "LLDDLL", "LDDDD",
    "DDLLDD",
                        "LDLDLD", "DLLLDDD"])
    return " ".join(_code_item(rng, kind == "L") for kind in shape)


def _code_item(rng: random.Random, letter: bool) -> str:
    """A letter or a digit of a code; not "O" nor "oh", which sound alike."""
    if not letter:
        return rng.choice(DIGITS)
    return rng.choices(_LETTERS.replace("O", ""), [w for a, w in zip(_LETTERS, _WEIGHTS, strict=True) if a != "O"])[0]


def grouped(text: str) -> str:
    """A string's items with a pause after every group of three or four."""
    items, groups = text.split(), []
    for size in _GROUPS.get(len(items), (len(items),)):
        groups.append(" ".join(items[:size]))
        items = items[size:]
    return ", ".join(groups)


def _string(rng: random.Random, kind: str) -> str:
    """Something to be read back, with its pauses."""
    if kind == "phone":
        return grouped(_digits(rng, rng.choices([6, 7, 8, 9, 10, 11], [2, 6, 2, 1, 6, 1])[0]))
    if kind == "digits":
        return grouped(_digits(rng, rng.choices([1, 2, 3, 4, 5, 6, 8, 12], [1, 3, 5, 5, 4, 4, 2, 0.5])[0]))
    if kind == "code":
        return grouped(_code(rng))
    if kind == "name":
        return " ".join(rng.choice(_NAMES)) if rng.random() < 0.4 else _letters(rng, rng.randint(2, 8))
    return f"{_day(rng)}, {_year(rng)}" if rng.random() < 0.35 else _day(rng)


def _apart(string: str) -> bool:
    """No lesson has this string: one in ten of those with four items or more."""
    plain = string.replace(",", "")
    return len(plain.split()) > 3 and zlib.crc32(plain.encode()) % 10 == 0


def _drawn(rng: random.Random, kind: str, apart: bool) -> str:
    """A string for lessons, or one that no lesson has."""
    while True:
        string = _string(rng, kind)
        if _apart(string) == apart:
            return string


def kind_of(group: str) -> str:
    """What a group consists of: "digits", "name" (letters), "code" (both) or "date"."""
    items = group.split()
    letters, digits = [len(i) == 1 and i.isupper() for i in items], [i in (*DIGITS, "oh") for i in items]
    if all(letters):
        return "name"
    if all(digits):
        return "digits"
    return "code" if all(a or b for a, b in zip(letters, digits, strict=True)) else "date"


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask | None:
    """Something to read back or, if something has been read back just now, often a word about it."""
    if memory.groups and rng.random() < (0.6 if memory.skill == "readback" else 0.15):
        return _about(rng, memory, held_out)
    said = held_out and rng.random() < 0.5
    if rng.random() < 0.1:
        text = talk.wording(rng, _FIRSTS, "readback", "first", held_out)
        return _asked(rng, "whole", text, _short(rng, rng.choice([2, 3, 3, 4])))
    kind = rng.choices([*_LEADS], [28, 25, 20, 11, 16])[0]
    string = _drawn(rng, kind, held_out and not said)
    lead = rng.choice(kept("readback")[kind]) if said else rng.choice(_LEADS[kind])
    return _asked(rng, "whole", f"{lead} {{x}}", string)


def _about(rng: random.Random, memory: Memory, held_out: bool) -> Ask:
    """A further group, a correction of the last one, or a question for what is there."""
    last, many = memory.groups[-1], len(memory.groups) > 1
    kind = kind_of(last)
    few = len(memory.groups) < 4 and kind == "digits" and len(" ".join(memory.groups).split()) < 9
    now = memory.skill == "readback"
    what = rng.choices(["next", "correct", "item", "back", "last", "first part", "yes", "wrong"],
                       [30 if few else 0, 30, 10 if kind != "date" else 0, 14, 6 if many else 0, 5 if many else 0,
                        4, 3])[0]
    if not now:
        text = talk.wording(rng, _RECALLS, "readback", "recall", held_out).replace("{thing}", _THINGS[kind])
        return _asked(rng, "back", text, "")
    if what in _PLAIN:
        own = _PLAIN[what]
        return _asked(rng, what, talk.wording(rng, own, "readback", what, held_out), "")
    if what == "next":
        return _asked(rng, what, talk.wording(rng, _NEXTS, "readback", what, held_out),
                      _short(rng, rng.choice([2, 3, 3, 4, 4])))
    if what == "item":
        items = last.split()
        digit = items[-1] in (*DIGITS, "oh")
        new = items[-1]
        while new == items[-1] or {new, items[-1]} == {"zero", "oh"}:
            new = _code_item(rng, not digit)
        text = talk.wording(rng, _CORRECT_ITEMS, "readback", what, held_out)
        return _asked(rng, what, text.replace("{kind}", "digit" if digit else "letter"), new)
    if many and rng.random() < 0.4:
        text = talk.wording(rng, _CORRECT_PARTS, "readback", "correct part", held_out)
    else:
        text = talk.wording(rng, _CORRECTS, "readback", what, held_out)
    return _asked(rng, what, text, _other(rng, last, kind), last)


def _short(rng: random.Random, count: int) -> str:
    """A group of digits for lessons."""
    while True:
        if not _apart(group := _digits(rng, count)):
            return group


def _other(rng: random.Random, old: str, kind: str) -> str:
    """What a group might have been instead: as long, and mostly like it."""
    items = old.split()
    while True:
        if kind == "date":
            new = _day(rng) if {*items} & {*_MONTHS} else _year(rng)
        else:
            changed = list(items)
            for at in rng.sample(range(len(items)), min(len(items), rng.choice([1, 1, 2, 3]))):
                digit = items[at] in (*DIGITS, "oh")
                changed[at] = (_code_item(rng, not digit) if kind == "code" else
                               _digits(rng, 1) if digit else _letters(rng, 1))
            new = " ".join(changed)
        if new.replace("oh", "zero") != old.replace("oh", "zero") and not _apart(new):
            return new


def _asked(rng: random.Random, kind: str, text: str, string: str, old: str = "") -> Ask:
    """The ask, perhaps with a small word before it; {x} in `text` is the string, `old` what it replaces."""
    opener = rng.choice(_OPENERS) if text.split()[0] not in ("yes", "yeah", "yep", "no", "sorry", "oh", "wait",
    "{x}", "okay") else ""
    user = " ".join(f"{opener} {text.format(x=string.replace(',', ''))}".split())
    lead = len(f"{opener} {text.split('{x}')[0]}".split())
    values = {"string": string} if string else {}
    if old:
        values["not string"] = old
    decisive = min(len(user.split()), lead + 1 if lead < 3 else len(opener.split()) + 3)
    listed = kind != "item" and bool(string) and kind_of(string.replace(",", "")) != "date"
    return Ask(user, "readback", kind, values, kind != "yes", decisive, open=listed)


def take(ask: Ask, memory: Memory) -> None:
    """Bring what is being read back up to date."""
    if ask.kind == "whole":
        memory.groups = ask.values["string"].split(", ")
    elif ask.kind == "next":
        memory.groups = [*memory.groups, ask.values["string"]]
    elif ask.kind == "correct":
        memory.groups = [*memory.groups[:-1], ask.values["string"]]
    elif ask.kind == "item" and memory.groups:
        kept_items = memory.groups[-1].split()[:-1]
        memory.groups = [*memory.groups[:-1], " ".join([*kept_items, ask.values["string"]])]


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """The string as it is now; of one that is told in parts, the part that was told."""
    if ask.kind == "yes":
        return Answer("good.", {"good": "good"})
    if ask.kind == "wrong":
        return Answer("sorry, please say it again.", {"question": "say it again"})
    groups = {"next": memory.groups[-1:], "last": memory.groups[-1:], "first part": memory.groups[:1]}.get(
        ask.kind, memory.groups)
    string = " ".join(groups)
    old = ask.values.get("not string", "")
    never = (old,) if len(old.split()) > 1 and not re.search(rf"\b{old}\b", string) else ()
    return Answer(f"{', '.join(groups)}.", {"string": string}, never)


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*DIGITS, "oh", *_MONTHS, *_TH, "thirtieth", "the of and", "two thousand",
            "good", "sorry please say it again", *[words(n) for n in (*range(10, 20), *range(20, 100, 10))]]

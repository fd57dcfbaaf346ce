"""Sums: plus, minus, times and divided by of whole numbers, one after the other if the user goes on from a result.

The whole sum is said back, so that a number that was misheard is heard to be so. Operands are 0 to 999 (what a chain
goes on from may be negative), results -999 to 999. About one sum in twelve is kept from lessons by `kept_apart`.
"""

import random
import zlib

from omni.data.skills import numbers
from omni.data.skills.talk import Answer, Ask, Memory, kept

SHARE = 0.12
LIMIT = 999     # of operands and results, either side of zero

_SIGNS = {"plus": 5, "minus": 4, "times": 3, "divided by": 2}      # sign to how often
_VALUES = {numbers.words(n): n for n in range(-LIMIT, LIMIT + 1)}

_OPENERS = ["", "", "", "", "", "", "um", "so", "okay", "hey", "and"]
_CLOSERS = ["", "", "", "", "", "please"]
_FRAMES = [
    "what is {sum}", "what is {sum}", "what's {sum}", "what's {sum}", "how much is {sum}", "tell me {sum}", "{sum}",
    "{sum}", "calculate {sum}", "what does {sum} make", "what do you get for {sum}", "can you tell me {sum}",
    "do you know what {sum} is", "i need to know what {sum} is", "tell me what {sum} is", "how much does {sum} make",
    "can you calculate {sum}", "i want to know {sum}", "what's the answer to {sum}", "what is the result of {sum}",
    "please calculate {sum}", "{sum} is what", "{sum} makes what", "what would {sum} be", "can you do {sum}",
    "let's do {sum}", "do you know {sum}", "what about {sum}",
]
_NOUNS = {
    "plus": ["{a} plus {b}"],
    "minus": ["{a} minus {b}"],
    "times": ["{a} times {b}", "{a} times {b}", "{a} times {b}", "{a} multiplied by {b}"],
    "divided by": ["{a} divided by {b}", "{a} divided by {b}", "{a} divided by {b}", "{a} over {b}"],
}
_COMMANDS = {
    "plus": ["add {a} and {b}", "add {b} to {a}", "what is the sum of {a} and {b}"],
    "minus": ["subtract {b} from {a}", "take {b} away from {a}", "what is {a} take away {b}"],
    "times": ["multiply {a} by {b}", "multiply {a} and {b}", "what is the product of {a} and {b}"],
    "divided by": ["divide {a} by {b}", "how many times does {b} go into {a}"],
}
_GO_ON = ["", "", "and", "and", "now", "then", "and now", "and then", "okay now"]
_CHAINS = {
    "plus": ["plus {b}", "plus {b}", "add {b}", "add {b} to that", "that plus {b}", "what is that plus {b}"],
    "minus": ["minus {b}", "minus {b}", "take away {b}", "minus that by {b}", "subtract {b}", "subtract {b} from that",
              "that minus {b}", "what is that minus {b}"],
    "times": ["times {b}", "times {b}", "multiply that by {b}", "multiply it by {b}", "that times {b}",
              "what is that times {b}"],
    "divided by": ["divided by {b}", "divide that by {b}", "divide it by {b}", "that divided by {b}",
                   "what is that divided by {b}"],
}
_TWOS = {"times": ["double that", "double it"], "divided by": ["halve that", "what is half of that"]}


def kept_apart(a: int, sign: str, b: int) -> bool:
    """Whether a sum is kept from lessons: about one in twelve, always the same ones."""
    return zlib.crc32(f"{a} {sign} {b}".encode()) % 12 == 0


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask:
    """A sum, or if the last thing asked was one, in half of all cases what comes on top of it."""
    chain = memory.result is not None and memory.skill == "sums" and rng.random() < 0.5
    by_words = held_out and (chain or rng.random() < 0.5)
    if chain:
        a, sign, b = _next(rng, memory.result)
        template = _chain(rng, sign, b, by_words)
    else:
        a, sign, b = _draw(rng, held_out and not by_words)
        template = _whole(rng, sign, by_words)
    said = {"a": _spoken(rng, a, template), "b": _spoken(rng, b, template)}
    values = {"a": numbers.words(a), "sign": sign, "b": numbers.words(b)}
    return Ask(template.format(**said), "sums", "chain" if chain else "sum", values, decisive=_decisive(template, said))


def take(ask: Ask, memory: Memory) -> None:
    """Remember the result to go on from; none if there is a remainder, or no result at all."""
    results = _results(ask)
    memory.result = results[0] if len(results) == 1 else None


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """The whole sum, with its remainder if there is one."""
    results = [numbers.words(n) for n in _results(ask)]
    if not results:
        return Answer("nothing can be divided by zero.", {"answer": "divided by zero"})
    facts = {"answer": f"is {results[0]}"}
    if results[1:]:
        facts["remainder"] = f"remainder {results[1]}"
    return Answer(f"{ask.values['a']} {ask.values['sign']} {ask.values['b']} {', '.join(facts.values())}.", facts)


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [*numbers.vocabulary(), "plus minus times divided by is remainder nothing can be"]


def _results(ask: Ask) -> list[int]:
    """The result; the quotient and the remainder if one is left; nothing if the sum has no result."""
    a, sign, b = _VALUES[ask.values["a"]], ask.values["sign"], _VALUES[ask.values["b"]]
    if sign != "divided by":
        return [{"plus": a + b, "minus": a - b, "times": a * b}[sign]]
    if not b:
        return []
    return list(divmod(a, b)) if a % b else [a // b]


def _draw(rng: random.Random, apart: bool) -> tuple[int, str, int]:
    """A sum of the kept ones or of the others, small ones mostly."""
    while True:
        sign = rng.choices(list(_SIGNS), list(_SIGNS.values()))[0]
        top = rng.choices([20, 100, LIMIT], [60, 28, 12])[0]
        if sign in ("plus", "minus"):
            a, b = rng.randint(0, top), rng.randint(0, top)
        elif sign == "times":
            a, b = rng.randint(0, {20: 10, 100: 20, LIMIT: 99}[top]), rng.randint(0, 10 if top < LIMIT else 50)
        else:
            b = rng.randint(1, 10) if rng.random() < 0.98 else 0
            a = b * rng.randint(0, top // 5) if rng.random() < 0.6 else rng.randint(0, top)
        result = a * b if sign == "times" else a + b if sign == "plus" else 0
        if a <= LIMIT and result <= LIMIT and kept_apart(a, sign, b) == apart:
            return a, sign, b


def _next(rng: random.Random, a: int) -> tuple[int, str, int]:
    """What may come on top of a result, and none of the kept sums."""
    while True:
        sign = rng.choices(list(_SIGNS), [4, 4, 4, 3])[0]
        if sign in ("plus", "minus"):
            b = rng.randint(1, rng.choices([10, 20, 100], [5, 4, 1])[0])
        else:
            b = 2 if rng.random() < 0.3 else rng.randint(2, 10)
        result = {"plus": a + b, "minus": a - b, "times": a * b, "divided by": 0}[sign]
        if sign == "divided by" and (a < 0 or a % b and rng.random() < 0.7):
            continue
        if abs(result) <= LIMIT and not kept_apart(a, sign, b):
            return a, sign, b


def _whole(rng: random.Random, sign: str, by_words: bool) -> str:
    """How a sum is asked for, with {a} and {b}; by words: in a wording that is kept from lessons."""
    if by_words and rng.random() < 0.5:
        return rng.choice(kept("sums")[sign])
    if not by_words and rng.random() < 0.25:
        text = rng.choice(_COMMANDS[sign])
    else:
        frame = rng.choice(kept("sums")["frames"] if by_words else _FRAMES)
        text = frame.replace("{sum}", rng.choice(_NOUNS[sign]))
    opener, closer = rng.choice(_OPENERS), rng.choice(_CLOSERS)
    return " ".join(f"{opener} {text} {'' if 'please' in text else closer}".split())


def _chain(rng: random.Random, sign: str, b: int, by_words: bool) -> str:
    """How to go on from a result, with {b}."""
    if by_words:
        return rng.choice(kept("sums")[f"chain {sign}"])
    own = _TWOS[sign] if b == 2 and sign in _TWOS and rng.random() < 0.3 else _CHAINS[sign]
    return f"{rng.choice(_GO_ON)} {rng.choice(own)}".strip()


def _spoken(rng: random.Random, number: int, template: str) -> str:
    """A number in words, sometimes as "a hundred and five" where no other "and" makes that ambiguous."""
    words = numbers.words(number)
    if number == 100 and rng.random() < 0.4:
        return "a hundred"
    if " and " in template or number < 101 or rng.random() < 0.8:
        return words
    return words.replace("hundred ", "hundred and ")


def _decisive(template: str, said: dict[str, str]) -> int:
    """Words until it is clear what is asked for: the first two or three of the question, or those to the sign."""
    lead = template.split("{")[0].split()
    fill = next((i for i, word in enumerate(lead) if word not in _OPENERS and word not in _GO_ON), len(lead))
    if len(lead) > fill:
        return fill + (2 if len(lead) - fill < 3 else 3)
    return fill + len(said[template.split("{")[1][0]].split()) + 1

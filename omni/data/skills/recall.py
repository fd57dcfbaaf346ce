"""What the agent remembers: a name, favourite things, what was just said by either side."""

import random
from functools import lru_cache

from omni.data import skills
from omni.data.skills.floor import marked, plain
from omni.data.skills.talk import Answer, Ask, Memory, kept, value, wording

SHARE = 0.09
PASSING = frozenset({"user said", "agent said"})
"""Kinds which are nothing that a user would later say to have said."""

NAMES = ("nora ben anna peter emma tom lucy max lily sam ella jack maria paul julia david sarah leo kate oscar alice "
         "henry clara hugo").split()
FAVOURITES = {of: values.split() for of, values in {
    "colour": "red blue green yellow black white orange pink purple brown",
    "drink": "coffee tea water milk juice lemonade espresso cappuccino latte mocha",
    "animal": "dog cat horse cow sheep duck bear lion fox owl elephant rabbit",
    "food": "bread cheese pizza rice soup cake fish chocolate salad honey",
    "day": "monday tuesday wednesday thursday friday saturday sunday",
    "number": "one two three four five six seven eight nine ten eleven twelve",
    "month": "january february march april may june july august september october november december",
    "season": "spring summer autumn winter",
    "city": "paris london rome madrid berlin vienna tokyo athens",
}.items()}
_SAID_WORDS, _HEARD_WORDS = 8, 25  # at most, to be asked for again
_KNOWN = 3  # things at most, to be asked for all at once

_OPENERS = ["", "", "", "", "", "hello", "hi", "hey", "okay", "so", "um", "well", "omni", "hey omni"]
_QUESTION_OPENERS = ["", "", "", "", "", "okay", "so", "um", "omni", "hey omni", "now", "and", "hey", "tell me"]

_NAME = (
    "my name| is {name},my name's| {name},call me {name},please call me {name},you can call me {name},"
    "i am called {name},i'm called {name},they call me {name},people call me {name},everyone calls me {name},"
    "my friends call me {name},my first name| is {name},this is {name},i'm {name} by the way,"
    "my name| is {name} by the way,i am {name},i'm {name},the name is {name},just call me {name},{name} is my name,"
    "remember my name| i am {name},my name| is {name} nice to meet you,please remember my name| is {name},"
    "remember that my name| is {name},you should call me {name}"
).split(",")
_RENAME = (
    "no my name| is {name},no i'm {name},actually my name| is {name},actually i'm {name},sorry my name| is {name},"
    "sorry i meant {name},no call me {name},actually call me {name},please call me {name} instead,"
    "call me {name} instead,you got my name| wrong it's {name},no not {was} {name},no it's {name} not {was},"
    "my name's| not {was} it's {name},i am {name} not {was},i'm not {was} i'm {name},now call me {name},"
    "from now on call me {name},now my name| is {name},wait my name| is {name}"
).split(",")
_FAVOURITE = (
    "my favourite| {of} is {is},{is} is my favourite {of},my favourite| {of} is {is} you know,"
    "the {of} i like best| is {is},the {of} i like most| is {is},the {of} i love most| is {is},"
    "i think my favourite| {of} is {is},i guess my favourite| {of} is {is},i'd say my favourite| {of} is {is},"
    "remember that my favourite| {of} is {is},please remember my favourite| {of} is {is},"
    "remember my favourite| {of} is {is},did you know my favourite| {of} is {is},"
    "of course my favourite| {of} is {is},i told you my favourite| {of} is {is},my favourite| {of} of all is {is},"
    "my very favourite| {of} is {is},you should know my favourite| {of} is {is},"
    "don't forget my favourite| {of} is {is},as a {of} i like {is} best,my favourite| {of} has always been {is},"
    "for me the best {of}| is {is},my favourite| {of} that's {is}"
).split(",")
_CHANGE = (
    "no my favourite| {of} is {is},actually my favourite| {of} is {is},sorry my favourite| {of} is {is},"
    "my favourite| {of} is {is} now,now my favourite| {of} is {is},wait my favourite| {of} is {is},"
    "my favourite| {of} is not {was} it's {is},no my favourite| {of} is {is} not {was},"
    "i changed my mind my favourite| {of} is {is},i mean my favourite| {of} is {is},"
    "my favourite| {of} is not {was} any more it's {is},i like {is} better now as a {of}"
).split(",")
_WHAT_NAME = (
    "what is my| name,what's my| name,what was my| name,do you know my| name,do you remember my| name,who am i,"
    "what am i called,say my name,what is my| name again,what's my| name again,can you tell me my| name,"
    "could you tell me my| name,do you still know my| name,do you still remember my| name,have you got my| name,"
    "what did i say my| name was,what did i say my| name is,what do you call me,do you know who i am,"
    "do you remember who i am,do you remember what i'm called,what name did i give you,did i tell you my| name,"
    "i wonder if you know my| name,please say my name,please tell me my| name"
).split(",")
_WHAT_FAVOURITE = (
    "what is my favourite| {of},what's my favourite| {of},what was my favourite| {of},do you know my favourite| {of},"
    "do you remember my favourite| {of},which {of} is my favourite,which is my favourite| {of},"
    "which {of} do i like best,what {of} do i like best,what {of} do i like most,which {of} do i like most,"
    "can you tell me my favourite| {of},do you still know my favourite| {of},"
    "do you still remember my favourite| {of},what did i say my favourite| {of} is,"
    "what did i say my favourite| {of} was,what is my favourite| {of} again,what's my favourite| {of} again,"
    "say my favourite| {of},could you tell me my favourite| {of},do you know which {of} i like best,"
    "do you remember what {of} i like best,did i tell you my favourite| {of},please tell me my favourite| {of}"
).split(",")
_ABOUT_ME = (
    "what do you know about me,what do you remember about me,what have i told you| about me,"
    "what have i told you| about myself,what did i tell you| about me,do you know anything about me,"
    "do you remember anything about me,what can you tell me about me,say what you know about me,"
    "everything you know about me,all you know about me please"
).split(",")
_USER_SAID = (
    "what did i just| say,what did i say,what have i just| said,what have i said,what did i say just now,"
    "what was it i just| said,what did i just| tell you,do you know what i just| said,do you remember what i said,"
    "do you remember what i just| said,can you repeat what i| said,can you repeat what i| just said,"
    "could you repeat what i| said,please repeat what i| said,repeat what i| said,repeat what i| just said,"
    "say what i| said,can you say what i| just said,what were my words,what were my last words,"
    "what did you hear me| say,did you hear what i| said,have you heard what i| said,what was i saying,"
    "what did i say before,what did i say a moment ago"
).split(",")
_AGENT_SAID = (
    "what did you just| say,what did you just| tell me,what have you just| said,what have you just| told me,"
    "what did you say just now,what did you tell me just now,what was it you just| said,what did you say to me,"
    "do you know what you just| said,do you remember what you said,do you remember what you just| told me,"
    "can you repeat what you| said,can you repeat what you| just said,could you repeat what you| said,"
    "please repeat what you| said,repeat what you| said,repeat what you| just said,what were your words,"
    "what were your last words,what were you saying,what did you say a moment ago,can you say what you| just said"
).split(",")
_ASKING = {"what name": _WHAT_NAME, "what favourite": _WHAT_FAVOURITE, "about me": _ABOUT_ME, "user said": _USER_SAID,
           "agent said": _AGENT_SAID}

_UNTOLD = ["you have not told me.", "you have not told me that."]


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask | None:
    """As in `Skill`; nothing while the agent is to wait."""
    if memory.waiting:
        return None
    kinds = {"name": 0.7 if memory.name else 2.0, "favourite": 2.0, "what name": 2.0 if memory.name else 0.3,
             "what favourite": 2.0 if memory.favourites else 0.4}
    if 0 < bool(memory.name) + len(memory.favourites) <= _KNOWN:
        kinds["about me"] = 0.5
    if 0 < len(memory.user_said.split()) <= _SAID_WORDS and _sayable(memory.user_said):
        kinds["user said"] = 1.5
    elif not (memory.user_said or memory.skill):
        kinds["user said"] = 0.1
    if 0 < len(memory.agent_said.split()) <= _HEARD_WORDS or not memory.said_whole:
        kinds["agent said"] = 1.0 if memory.agent_said else 0.1
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    if kind == "name":
        return _tell_name(rng, memory, held_out)
    if kind == "favourite":
        return _tell_favourite(rng, memory, held_out)
    values = {}
    if kind == "what favourite":
        told = list(memory.favourites)
        values["of"] = rng.choice(told if told and rng.random() < 0.85 else list(FAVOURITES))
    return _ask(rng, kind, wording(rng, _ASKING[kind], "recall", kind, held_out), values, _QUESTION_OPENERS)


@lru_cache(maxsize=1)
def _spoken() -> frozenset[str]:
    return frozenset(skills.vocabulary())


def _sayable(text: str) -> bool:
    """Every word of a user's is one that the agent speaks, or a letter; nobody wants others spelled out."""
    return all(word in _spoken() or len(word) == 1 and word.isupper() for word in text.split())


def _tell_name(rng: random.Random, memory: Memory, held_out: bool) -> Ask:
    values = {"name": rng.choice([name for name in NAMES if name != memory.name])}
    again = bool(memory.name)
    if again:
        values["was"] = memory.name
    text = wording(rng, _RENAME if again else _NAME, "recall", "rename" if again else "name", held_out)
    return _ask(rng, "name", text, values, [""] if again else _OPENERS)


def _tell_favourite(rng: random.Random, memory: Memory, held_out: bool) -> Ask:
    apart = kept("recall")
    rare = held_out and rng.random() < 0.5  # a value that no lesson has, instead of a wording
    new = {of: [v for v in values if v != memory.favourites.get(of)] for of, values in FAVOURITES.items()}
    of = rng.choice([of for of in new if not rare or set(new[of]) & set(apart.get(of, ()))])
    again = of in memory.favourites and rng.random() < 0.7
    values = {"of": of, "is": value(rng, new[of], "recall", of, rare)}
    if of in memory.favourites:
        values["was"] = memory.favourites[of]
    text = wording(rng, _CHANGE if again else _FAVOURITE, "recall", "change" if again else "favourite",
                   held_out and not rare)
    return _ask(rng, "favourite", text, values, [""] if again else _OPENERS)


def _ask(rng: random.Random, kind: str, template: str, values: dict[str, str], openers: list[str]) -> Ask:
    opener = rng.choice(openers)
    if opener == "tell me" and not template.startswith(("what is", "what's")):
        opener = ""
    if opener and opener.split()[0] == template.split()[0]:
        opener = ""
    text, decisive = marked(template.format(**values))
    return Ask(f"{opener} {text}".strip(), "recall", kind, values, decisive=decisive + len(opener.split()))


def take(ask: Ask, memory: Memory) -> None:
    """As in `Skill`."""
    if ask.kind == "name":
        memory.name = ask.values["name"]
    elif ask.kind == "favourite":
        memory.favourites[ask.values["of"]] = ask.values["is"]


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """As in `Skill`."""
    never = (ask.values["was"],) if "was" in ask.values else ()
    if ask.kind == "name":
        name = ask.values["name"]
        return Answer(rng.choice([f"hello {name}.", f"nice to meet you, {name}."]), {"name": name}, never)
    if ask.kind == "favourite":
        of, is_ = ask.values["of"], ask.values["is"]
        return Answer(rng.choice([f"okay, your favourite {of} is {is_}.", f"your favourite {of} is {is_}."]),
                      {of: is_}, never)
    if ask.kind == "user said":
        return _again("you", "you said, ", memory.user_said)
    if ask.kind == "agent said":
        return _again("i", "", memory.agent_said)
    facts = {of: is_ for of, is_ in memory.favourites.items() if ask.kind == "about me" or ask.values.get("of") == of}
    parts = [f"your favourite {of} is {is_}" for of, is_ in facts.items()]
    if memory.name and ask.kind != "what favourite":
        facts = {"name": memory.name} | (facts if ask.kind == "about me" else {})
        parts = [f"your name is {memory.name}", *(parts if ask.kind == "about me" else [])]
    if not parts:
        return Answer(rng.choice(_UNTOLD), {"untold": "you have not told me"})
    head, last = parts[:-1], parts[-1]
    return Answer(f"{', '.join(head)}, and {last}." if head else f"{last}.", facts)


def _again(who: str, frame: str, said: str) -> Answer:
    if not said:
        return Answer(f"{who} have not said anything.", {"said": "have not said anything"})
    words = said.rstrip(" ,")
    return Answer(frame + (words if words.endswith((".", "?")) else words + "."), {"said": plain(words)})


def vocabulary() -> list[str]:
    """As in `Skill`; what was said has the words of other skills, or is anything that a user said."""
    values = [v for of, values in FAVOURITES.items() for v in (of, *values)]
    return [*NAMES, *values, *_UNTOLD, "hello nice to meet you", "okay your favourite name is and", "you said",
            "i have not said anything"]

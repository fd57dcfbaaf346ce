"""Who may speak: stop, wait until called, go on, say it again, never mind.

A wording may carry "|": what stands before it is decisive, which is when an agent that speaks should yield.
"""

import random

from omni.data.skills.talk import Answer, Ask, Memory, wording

SHARE = 0.06
PASSING = frozenset({"stop", "wait", "back", "go on", "again", "never mind"})
"""Kinds which are nothing that a user would later say to have said."""

_AGAIN_WORDS = 40  # nobody wants a whole story again

_STOP = (
    "stop,stop| it,stop| talking,stop| please,stop| that,stop| stop,stop| stop stop,stop| now,stop| talking please,"
    "stop| it please,stop| speaking,stop| there,please stop,please stop| it,please stop| talking,okay stop,"
    "okay okay stop,no stop,no no stop,oh stop,oh stop| it,hey stop,alright stop,well stop,um stop,yes stop,now stop,"
    "just stop,okay stop| please,okay stop| it,okay stop| now,okay you can stop,you can stop| now,"
    "you can stop| talking,you may stop| now,can you stop,can you stop| please,could you stop| talking,"
    "could you please stop,would you please stop,will you stop| it,i want you to stop,omni stop,hey omni stop,"
    "omni please stop,be quiet,be quiet| please,please be quiet,okay be quiet,omni be quiet,just be quiet,"
    "can you be quiet,could you be quiet| please,quiet,quiet| please,quiet| omni,enough,enough| now,enough| of that,"
    "okay enough,that's enough,that's enough| now,okay that's enough,that is enough,that is enough| thank you,"
    "that's enough| thanks,i've heard enough,okay i've heard enough,shut up,shut up| please,oh shut up,just shut up,"
    "don't talk,don't talk| now,stop| i've heard it,stop| i know that,stop| thank you,stop| thanks,silence,"
    "silence| please,okay okay that's enough,that's okay stop,alright that's enough,cut it out,knock it off"
).split(",")
_WAIT = (
    "wait,wait| wait,wait| a minute,wait| a second,wait| a moment,wait| please,wait| for me,wait| a bit,wait| there,"
    "please wait,please wait| a moment,please wait| a minute,okay wait,okay wait| a minute,oh wait,no wait,um wait,"
    "no wait| a second,hey wait,just wait,just wait| a minute,omni wait,omni wait| a moment,hey omni wait,"
    "can you wait,can you wait| a minute,can you wait| a moment please,could you wait| a second,"
    "would you wait| a bit,will you wait| for me,hold on,hold on| a second,hold on| a minute,hold on| please,"
    "hold on| a moment,okay hold on,oh hold on,please hold on,omni hold on,sorry hold on,sorry wait| a moment,"
    "hang on,hang on| a second,hang on| a minute,okay hang on,oh hang on,one moment,one moment| please,one second,"
    "one second| please,just a moment,just a moment| please,just a second,just a minute,give me a second,"
    "give me a moment,give me a minute,give me a minute| please,wait| until i'm back,wait| till i call you,"
    "wait| i'll be right back,hold on| i'll be right back,hold on| somebody's at the door,wait| the phone is ringing,"
    "wait| i have to get the phone"
).split(",")
_BACK = (
    "okay go ahead,go ahead,go ahead| please,okay go ahead| now,you can go ahead,i'm back,okay i'm back,"
    "hello i'm back,hey i'm back,i am back,i'm back| now,alright i'm back,i'm here| again,okay i'm here| again,"
    "are you there,are you still there,hello are you there,hey are you there,okay are you still there,omni,hey omni,"
    "okay omni,hello omni,omni are you there,omni i'm back,you can talk| again,you can talk| now,"
    "you can speak| again,you may speak| now,you may talk| again,okay you can talk| now,thanks for waiting,"
    "thank you for waiting,okay thanks for waiting,sorry about that| i'm back,sorry about that| go ahead,"
    "okay where were we,where were we,so where were we,i'm ready,okay i'm ready,i'm ready| now,okay i'm done,"
    "okay i'm listening,i'm listening| again,i can listen| now,okay i can listen| again"
).split(",")
_GO_ON = (
    "go on,go on| please,please go on,okay go on,and go on,now go on,so go on,yes go on,no go on,sorry go on,"
    "go on| then,go on| with it,you can go on,you can go on| now,okay you can go on,you may go on,can you go on,"
    "could you go on| please,please do go on,continue,continue| please,please continue,okay continue,"
    "you can continue,you may continue| now,can you continue,could you continue| please,okay now continue,"
    "sorry please continue,keep going,okay keep going,please keep going,keep talking,please keep talking,carry on,"
    "okay carry on,please carry on,carry on| please,you can carry on,tell me the rest,tell me the rest| please,"
    "what's the rest,now the rest| please,let me hear the rest,can i hear the rest,and then what,and what then,"
    "what comes next,go ahead,okay go ahead,omni go on,omni continue,finish that| please,finish what you were saying,"
    "okay finish what you were saying"
).split(",")
_AGAIN = (
    "say that again,say that again| please,say it again,say it again| please,please say that again,"
    "can you say that again,could you say that again,could you say that again| please,can you say it again,"
    "would you say that again,sorry say that again,sorry can you say that again,um say that again,"
    "omni say that again,repeat that,repeat that| please,please repeat that,can you repeat that,"
    "could you repeat that,could you repeat that| please,sorry could you repeat that,would you repeat that| for me,"
    "please repeat it,can you repeat it,once more,once more| please,one more time,one more time| please,"
    "say it one more time,say that once more,again please,pardon,pardon| me,i beg your pardon,sorry what was that,"
    "what was that,what was that| again,come again,sorry come again,i didn't catch that,sorry i didn't catch that,"
    "i did not hear that,i didn't hear you,sorry i didn't hear that,i didn't understand that,let me hear that again,"
    "can i hear that again,i want to hear that again"
).split(",")
_NEVER_MIND = (
    "never mind,oh never mind,okay never mind,um never mind,no never mind,well never mind,never mind| that,"
    "never mind| thanks,ah never mind,sorry never mind,omni never mind,so never mind,never mind| omni,forget it,"
    "oh forget it,okay forget it,just forget it,please forget it,no forget it,forget that,okay forget that,"
    "forget about it,oh forget about it,just forget about it,forget about that,it doesn't matter,"
    "oh it doesn't matter,doesn't matter,no it doesn't matter,it does not matter,leave it,oh leave it,okay leave it,"
    "just leave it,drop it,okay drop it,just drop it,skip it,okay skip it,just skip that,no matter"
).split(",")
_WORDINGS = {"stop": _STOP, "wait": _WAIT, "back": _BACK, "go on": _GO_ON, "again": _AGAIN, "never mind": _NEVER_MIND}
_OVER = {"stop", "wait", "again", "never mind"}

_HERE = ["yes, i am here."]
_OKAY = ["okay.", "all right."]
_NOTHING = ["i have not said anything."]


def marked(template: str) -> tuple[str, int]:
    """A wording without its mark, and how many of its words stand before it; all of them if there is no mark."""
    head, _, tail = template.partition("|")
    return head + tail, len(head.split())


STOPS: list[str] = [marked(text)[0] for text in _STOP + _WAIT]
"""What is said to silence an agent."""


def hush(rng: random.Random, held_out: bool = False) -> Ask:
    """Something that is said over an agent's speech to silence it."""
    return _ask(rng, rng.choices(["stop", "wait"], [2, 1])[0], held_out)


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask | None:
    """As in `Skill`; whoever waits is called back, and nothing else."""
    if memory.waiting:
        return _ask(rng, "go on" if memory.rest and rng.random() < 0.2 else "back", held_out)
    kinds = {"stop": 2.0, "wait": 1.0}
    if memory.rest:
        kinds["go on"] = 4.0
    if 0 < len(memory.said_whole.split()) <= _AGAIN_WORDS:
        kinds["again"] = 2.0
    if memory.rest or memory.order:
        kinds["never mind"] = 0.7
    return _ask(rng, rng.choices(list(kinds), list(kinds.values()))[0], held_out)


def _ask(rng: random.Random, kind: str, held_out: bool) -> Ask:
    text, decisive = marked(wording(rng, _WORDINGS[kind], "floor", kind, held_out))
    return Ask(text, "floor", kind, over=kind in _OVER, decisive=decisive)


def take(ask: Ask, memory: Memory) -> None:
    """As in `Skill`; "never mind" drops what was begun: an answer that was cut, an order, a string read back."""
    memory.waiting = ask.kind == "wait"
    if ask.kind == "never mind":
        memory.rest = ""
        memory.order.clear()
        memory.groups.clear()


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """As in `Skill`; what goes on begins with the word that was cut."""
    if ask.kind in ("stop", "wait"):
        return Answer("")
    if ask.kind == "never mind":
        return Answer(rng.choice(_OKAY))
    if ask.kind == "again":
        text = memory.said_whole or rng.choice(_NOTHING)
    else:
        text = memory.rest or rng.choice(_HERE)
    return Answer(text, {"text": plain(text)})


def plain(text: str) -> str:
    """The words of a reply without its pauses."""
    return " ".join(text.translate(str.maketrans("", "", ",.?")).split())


def vocabulary() -> list[str]:
    """As in `Skill`; what is said again has the words of other skills."""
    return [*_HERE, *_OKAY, *_NOTHING]

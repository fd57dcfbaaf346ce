"""What sounds around the user: what it is, whether it is this or that, and what place it may be."""

import random

from omni.data.skills.talk import Answer, Ask, Memory, wording

SHARE = 0.06
NAMES = {"baby_cry": "a baby crying", "chainsaw": "a chainsaw", "clock_tick": "a clock ticking",
         "dog_bark": "a dog barking", "fire_crackling": "a fire crackling", "helicopter": "a helicopter",
         "person_sneeze": "somebody sneezing", "rain": "rain", "rooster": "a rooster", "sea_waves": "waves of the sea"}
SOUNDS = tuple(NAMES)  # classes, in the order in which ears tell of them
KEYS = {"baby_cry": "baby", "chainsaw": "chainsaw", "clock_tick": "clock", "dog_bark": "dog", "fire_crackling": "fire",
        "helicopter": "helicopter", "person_sneeze": "sneezing", "rain": "rain", "rooster": "rooster",
        "sea_waves": "sea"}
# where it may be, and what of it an answer must have
PLACES = {"baby_cry": ("at home with a baby", "baby"), "chainsaw": ("in a forest", "forest"),
          "clock_tick": ("in a quiet room", "room"), "dog_bark": ("near a dog", "dog"),
          "fire_crackling": ("near a fire", "fire"), "helicopter": ("outside under a helicopter", "helicopter"),
          "person_sneeze": ("with somebody who has a cold", "cold"), "rain": ("outside in the rain", "rain"),
          "rooster": ("on a farm", "farm"), "sea_waves": ("at the sea", "sea")}
_WHAT = ["i hear {}.", "i hear {}.", "it sounds like {}.", "{}, i think."]
_WHERE = ["you may be {}.", "you may be {}.", "i think you are {}.", "{}, i think."]
_QUIET = ["i hear nothing special.", "nothing special.", "nothing but you."]
_NOWHERE = ["i can't tell, i hear nothing special.", "i don't know, i hear nothing special."]

_BEFORE = ["", "", "", "", "", "um", "uh", "so", "okay", "hey", "well", "listen", "hi"]
_AFTER = ["", "", "", "", "", "now", "right now"]
_HEARING = ["what do you hear", "what can you hear", "what are you hearing", "what did you hear",
            "tell me what you hear", "tell me what you can hear", "can you tell me what you hear", "what do you hear",
            "what could you hear", "what did you just hear", "please tell me what you hear", "say what you hear",
            "describe what you hear", "i want to know what you hear", "what sounds do you hear",
            "which sounds can you hear", "what noises do you hear", "what kind of sounds do you hear",
            "can you say what you hear", "is there anything you hear", "could you tell me what you hear"]
_AROUND = ["", "", "", "", "around me", "around us", "around here", "in the background", "behind me", "out there",
           "over here", "on my side", "besides me"]
_NAMING = ["what is {}", "what's {}", "what was {}", "tell me what {} is", "can you tell what {} is",
           "do you know what {} is", "can you tell me what {} was", "do you know what {} was", "do you recognise {}",
           "can you recognise {}", "what do you think {} is", "what could {} be", "tell me what {} was", "what made {}",
           "what is making {}", "what's making {}", "who is making {}", "can you name {}",
           "could you tell me what {} is", "any idea what {} is", "please tell me what {} is", "guess what {} is"]
_NOISES = ["that sound", "that noise", "this sound", "this noise", "the sound", "the noise", "that strange sound",
           "that strange noise", "that loud noise", "the noise in the background", "the sound in the background",
           "that sound behind me", "that noise over there", "that sound i hear", "the noise here"]
_KIND_OF = ["what sound is {}", "what noise is {}", "what kind of sound is {}", "what kind of noise is {}",
            "what sort of noise is {}", "which sound is {}", "what sort of sound is {}"]
_THAT = ["that", "this", "it"]
_CAN_HEAR = ["can you hear", "do you hear", "did you hear", "could you hear", "are you hearing"]
_SOMETHING = ["that", "this", "something", "anything", "that sound", "that noise", "this sound", "this noise",
              "any sound", "any noise", "something special", "something behind me", "something in the background",
              "anything around me", "anything besides my voice"]
_WHERES = ["where am i", "where are we", "where do you think i am", "where do you think we are",
           "can you tell where i am", "can you guess where i am", "guess where i am", "where could i be",
           "where might i be", "what place is this", "what kind of place is this", "tell me where i am",
           "do you know where i am", "do you know where we are", "can you tell me where i am",
           "can you hear where i am", "do you hear where i am", "could you guess where i am",
           "please tell me where i am", "try to guess where i am", "can you tell where we are",
           "in what place am i", "where do i seem to be"]
_BY_EAR = ["", "", "", "", "by the sound of it", "from what you hear", "by the sounds", "from the sounds around me",
           "judging by the sound", "from the noise"]
_WHETHER = ["is that {}", "is this {}", "was that {}", "is there {}", "do you hear {}", "can you hear {}",
            "did you hear {}", "could that be {}", "do you think that is {}", "does that sound like {}",
            "tell me if you hear {}", "am i hearing {}", "is it {}", "was it {}", "do i hear {}", "could you hear {}",
            "is there {} around me", "is that {} in the background", "do you hear {} in the background",
            "would you say that is {}"]
_RAINING = ["is it raining", "is it raining now", "is it raining here", "is it raining outside",
            "has it started to rain", "do you think it is raining", "can you hear if it is raining",
            "tell me if it is raining", "was it raining"]
_CALLED = {
    "baby_cry": ["a baby", "a baby crying", "a crying baby", "a little baby"],
    "chainsaw": ["a chainsaw", "a chain saw", "a saw", "somebody with a chainsaw"],
    "clock_tick": ["a clock", "a clock ticking", "a ticking clock", "the ticking of a clock"],
    "dog_bark": ["a dog", "a dog barking", "a barking dog", "some dog"],
    "fire_crackling": ["a fire", "a fire crackling", "a crackling fire", "a burning fire"],
    "helicopter": ["a helicopter", "a helicopter flying", "some helicopter"],
    "person_sneeze": ["somebody sneezing", "someone sneezing", "a sneeze", "a person sneezing"],
    "rain": ["rain", "some rain", "rain falling", "falling rain"],
    "rooster": ["a rooster", "a rooster crowing", "a crowing rooster"],
    "sea_waves": ["the sea", "waves", "waves of the sea", "the waves of the sea", "the ocean"],
}
# with one of them, in its place, it is a question about what sounds
_CLEAR = {"hear", "hearing", "heard", "sound", "sounds", "noise", "noises", "place", "recognise", "raining", "rain"}
_KINDS = {"what": 55, "where": 20, "whether": 25}


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask:
    """A question about what sounds, also where nothing does."""
    kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    if kind == "whether":
        there = memory.sounds if memory.sounds and rng.random() < 0.5 else tuple(NAMES)
        sound = rng.choice(there)
        values = {"sound": sound}
        own = _dressed(rng, rng.choice(_RAINING if sound == "rain" and rng.random() < 0.4 else _WHETHER))
        user = wording(rng, [own], "sounds", kind, held_out).format(rng.choice(_CALLED[sound]))
    else:
        values, core = {}, _where(rng) if kind == "where" else _what(rng)
        user = wording(rng, [core], "sounds", kind, held_out)
    return Ask(user, "sounds", kind, values, decisive=_decisive(user.split()))


def take(ask: Ask, memory: Memory) -> None:
    """Nothing is to be remembered of a question."""


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """Of the sounds in memory: the names of all of them, or the places of the latest two."""
    sounds = list(dict.fromkeys(memory.sounds))
    if ask.kind == "whether":
        return _whether(ask.values["sound"], sounds, rng)
    if not sounds:
        return Answer(rng.choice(_NOWHERE if ask.kind == "where" else _QUIET), {"sounds": "nothing"}, ())
    if ask.kind == "where":
        places = [PLACES[sound] for sound in sounds[-2:]]
        return Answer(rng.choice(_WHERE).format(" and ".join(place for place, _ in places)),
                      {sound: key for sound, (_, key) in zip(sounds[-2:], places, strict=True)})
    return Answer(rng.choice(_WHAT).format(_joined(sounds)), {sound: KEYS[sound] for sound in sounds},
                  tuple(key for sound, key in KEYS.items() if sound not in sounds))


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    frames = [frame.replace("{}", "") for frame in (*_WHAT, *_WHERE)]
    return [*NAMES.values(), *(place for place, _ in PLACES.values()), *frames, *_QUIET, *_NOWHERE, "yes no and"]


def _whether(sound: str, sounds: list[str], rng: random.Random) -> Answer:
    if sound in sounds:
        text = rng.choice([f"yes, i hear {NAMES[sound]}.", f"yes, {NAMES[sound]}."])
        return Answer(text, {"answer": "yes", sound: KEYS[sound]}, ("no",))
    if not sounds:
        return Answer(rng.choice(["no, i hear nothing special.", "no, nothing special."]), {"answer": "no"}, ("yes",))
    return Answer(f"no, i hear {_joined(sounds)}.", {"answer": "no"} | {s: KEYS[s] for s in sounds}, ("yes",))


def _joined(sounds: list[str]) -> str:
    names = [NAMES[sound] for sound in sounds]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _what(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        core, after = f"{rng.choice(_HEARING)} {rng.choice(_AROUND)}", rng.choice(_AFTER)
    elif kind < 0.65:
        core, after = rng.choice(_NAMING).format(rng.choice(_NOISES)), ""
    elif kind < 0.75:
        core, after = rng.choice(_KIND_OF).format(rng.choice(_THAT)), ""
    else:
        core, after = f"{rng.choice(_CAN_HEAR)} {rng.choice(_SOMETHING)}", rng.choice(_AFTER)
    return _dressed(rng, core, "" if "did" in core.split() else after)


def _where(rng: random.Random) -> str:
    by_ear = rng.choice(_BY_EAR)
    if rng.random() < 0.3:
        return _dressed(rng, f"{by_ear} {rng.choice(_WHERES)}")
    return _dressed(rng, f"{rng.choice(_WHERES)} {by_ear}", "" if by_ear else rng.choice(_AFTER))


def _dressed(rng: random.Random, core: str, after: str = "") -> str:
    return " ".join(f"{rng.choice(_BEFORE)} {core} {after}".split())


def _decisive(words: list[str]) -> int:
    for i, word in enumerate(words, 1):
        if word in _CLEAR:
            return max(i, 2)
        if word == "where" or word in ("that", "this") and i > 1:
            return min(i + (2 if word == "where" else 1), len(words))
    return len(words)

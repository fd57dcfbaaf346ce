"""What the agent knows of the world: small tables of facts, each asked for in several ways, answered in a few words."""

import random
from functools import lru_cache

from omni.data.skills import numbers
from omni.data.skills.talk import Answer, Ask, Memory, kept

SHARE = 0.10

_CAPITALS = (
    "france:paris,germany:berlin,spain:madrid,italy:rome,england:london,the united kingdom:london,portugal:lisbon,"
    "ireland:dublin,scotland:edinburgh,wales:cardiff,austria:vienna,switzerland:bern,belgium:brussels,"
    "the netherlands:amsterdam,denmark:copenhagen,norway:oslo,sweden:stockholm,finland:helsinki,iceland:reykjavik,"
    "poland:warsaw,hungary:budapest,romania:bucharest,bulgaria:sofia,greece:athens,turkey:ankara,russia:moscow,"
    "croatia:zagreb,serbia:belgrade,slovakia:bratislava,estonia:tallinn,latvia:riga,lithuania:vilnius,"
    "the united states:washington,canada:ottawa,mexico:mexico city,cuba:havana,jamaica:kingston,brazil:brasilia,"
    "argentina:buenos aires,chile:santiago,peru:lima,colombia:bogota,venezuela:caracas,ecuador:quito,"
    "uruguay:montevideo,egypt:cairo,morocco:rabat,tunisia:tunis,algeria:algiers,libya:tripoli,kenya:nairobi,"
    "ghana:accra,senegal:dakar,zimbabwe:harare,iran:tehran,iraq:baghdad,syria:damascus,lebanon:beirut,qatar:doha,"
    "india:new delhi,china:beijing,japan:tokyo,south korea:seoul,thailand:bangkok,vietnam:hanoi,indonesia:jakarta,"
    "the philippines:manila,nepal:kathmandu,australia:canberra,new zealand:wellington")
_PAIRS = (     # opposites, each of the other
    "hot:cold,big:small,up:down,day:night,fast:slow,open:closed,black:white,happy:sad,rich:poor,full:empty,wet:dry,"
    "early:late,high:low,strong:weak,near:far,clean:dirty,inside:outside,first:last,front:back,east:west,north:south,"
    "love:hate,war:peace,true:false,loud:quiet,sweet:sour,deep:shallow,before:after,on:off,always:never,good:bad,"
    "cheap:expensive,wide:narrow,push:pull,buy:sell,win:lose,life:death,question:answer,awake:asleep,above:below,"
    "more:less,friend:enemy,safe:dangerous")
_ONE_WAY = (    # the other has more than one
    "young:old,new:old,soft:hard,easy:hard,tall:short,long:short,dark:light,heavy:light,laugh:cry,wrong:right,"
    "left:right,thick:thin,begin:end")
_SOUNDS = (
    "a dog:woof,a cat:meow,a cow:moo,a sheep:baa,a pig:oink,a duck:quack,a horse:neigh,a chicken:cluck,an owl:hoot,"
    "a bee:buzz,a snake:hiss,a lion:roar,a mouse:squeak,a wolf:howl,a bear:growl,a frog:ribbit,a crow:caw,"
    "a bird:tweet,a turkey:gobble,a goat:baa")
_YOUNG = (
    "a dog:puppy,a cat:kitten,a cow:calf,a sheep:lamb,a pig:piglet,a duck:duckling,a horse:foal,a goat:kid,"
    "a chicken:chick,a bear:cub,a lion:cub,a tiger:cub,a kangaroo:joey,a deer:fawn,a goose:gosling,an elephant:calf,"
    "a whale:calf,a seal:pup,a frog:tadpole,a swan:cygnet")
_LEGS = (
    "a dog:four,a cat:four,a cow:four,a sheep:four,a pig:four,a horse:four,an elephant:four,a lion:four,a frog:four,"
    "a mouse:four,a duck:two,a chicken:two,a bird:two,an owl:two,a person:two,a spider:eight,an ant:six,a bee:six,"
    "a fly:six,a butterfly:six,a snake:no,a fish:no,a worm:no,a chair:four,a penguin:two")
_COLOURS = ("grass:green,snow:white,the sky:blue,a banana:yellow,a lemon:yellow,coal:black,blood:red,a carrot:orange,"
            "milk:white,the sun:yellow,a strawberry:red,a frog:green")
_COUNTS = (     # things, what they are in or on, and how many
    "days:in a week:seven,months:in a year:twelve,hours:in a day:twenty four,minutes:in an hour:sixty,"
    "seconds:in a minute:sixty,weeks:in a year:fifty two,years:in a decade:ten,years:in a century:one hundred,"
    "minutes:in half an hour:thirty,minutes:in a quarter of an hour:fifteen,days:in a fortnight:fourteen,"
    "centimetres:in a metre:one hundred,metres:in a kilometre:one thousand,millimetres:in a centimetre:ten,"
    "grams:in a kilogram:one thousand,inches:in a foot:twelve,feet:in a yard:three,ounces:in a pound:sixteen,"
    "pints:in a gallon:eight,quarts:in a gallon:four,cups:in a pint:two,eggs:in a dozen:twelve,"
    "cents:in a dollar:one hundred,nickels:in a dollar:twenty,dimes:in a dollar:ten,quarters:in a dollar:four,"
    "letters:in the alphabet:twenty six,colours:in the rainbow:seven,cards:in a deck:fifty two,"
    "sides:on a triangle:three,sides:on a square:four,sides:on a cube:six,wheels:on a car:four,"
    "wheels:on a bicycle:two,wheels:on a tricycle:three,fingers:on a hand:five,toes:on a foot:five,"
    "strings:on a guitar:six,strings:on a violin:four,keys:on a piano:eighty eight,seasons:in a year:four,"
    "players:in a football team:eleven,arms:on an octopus:eight,sides:on a hexagon:six")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTHS = "january february march april may june july august september october november december".split()
_LENGTHS = dict(zip(_MONTHS, (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
_NTH = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_SPELLED = (
    "coffee water sugar milk apple banana orange bread house garden window table chair school teacher friend family "
    "mother father brother sister people beautiful because which where they could enough thought through tomorrow "
    "yesterday morning evening wednesday february island knife guitar rhythm computer picture green yellow purple "
    "elephant giraffe language birthday").split()

_OPENERS = ["", "", "", "", "", "", "um", "so", "okay", "hey", "and"]
_CLOSERS = ["", "", "", "", "", "", "please"]
_WORDINGS = {
    "capital": ["what is the capital of {x}", "what's the capital of {x}", "tell me the capital of {x}",
                "which city is the capital of {x}", "what city is the capital of {x}", "the capital of {x}",
                "can you tell me the capital of {x}", "do you know the capital of {x}", "{x} has which capital",
                "can you tell me what the capital of {x} is", "what is the capital city of {x}",
                "i want to know the capital of {x}", "what's the capital city of {x}", "what about the capital of {x}"],
    "opposite": ["what is the opposite of {x}", "what's the opposite of {x}", "tell me the opposite of {x}",
                 "the opposite of {x}", "which word is the opposite of {x}", "do you know the opposite of {x}",
                 "can you tell me the opposite of {x}", "what word means the opposite of {x}",
                 "give me the opposite of {x}", "i need the opposite of {x}", "what is opposite to {x}"],
    "sound": ["what sound does {x} make", "what does {x} say", "which sound does {x} make",
              "what noise does {x} make", "how does {x} sound", "tell me what {x} says", "what sound is made by {x}",
              "tell me the sound {x} makes", "do you know what {x} says", "what does {x} sound like"],
    "young": ["what is the young of {x} called", "what's the young of {x} called", "what do you call the baby of {x}",
              "what is the baby of {x} called", "how do you call the young of {x}",
              "what's the word for the young of {x}", "do you know what the young of {x} is called",
              "tell me what the baby of {x} is called", "what's the name for the baby of {x}"],
    "legs": ["how many legs does {x} have", "how many legs has {x} got", "{x} has how many legs",
             "tell me how many legs {x} has", "do you know how many legs {x} has",
             "can you tell me how many legs {x} has", "what number of legs does {x} have",
             "i want to know how many legs {x} has"],
    "colour": ["what colour is {x}", "what's the colour of {x}", "which colour is {x}", "tell me the colour of {x}",
               "what is the colour of {x}", "which colour does {x} have", "do you know what colour {x} is",
               "what colour does {x} have"],
    "count": ["how many {x} are {y}", "how many {x} are there {y}", "tell me how many {x} are {y}",
              "do you know how many {x} are {y}", "can you tell me how many {x} are {y}",
              "how many {x} are there {y}", "i want to know how many {x} there are {y}", "what number of {x} is {y}"],
    "after": ["what {x} comes after {y}", "which {x} comes after {y}", "what {x} is after {y}",
              "which {x} is after {y}", "what {x} follows {y}", "tell me the {x} after {y}", "what's the {x} after {y}",
              "what is the {x} after {y}", "which {x} follows {y}", "do you know the {x} after {y}"],
    "before": ["what {x} comes before {y}", "which {x} comes before {y}", "what {x} is before {y}",
               "which {x} is before {y}", "tell me the {x} before {y}", "what's the {x} before {y}",
               "what is the {x} before {y}", "what {x} is just before {y}", "do you know the {x} before {y}"],
    "nth": ["what is the {x} month of the year", "what's the {x} month of the year", "which is the {x} month",
            "which month is the {x}", "tell me the {x} month of the year", "what is the {x} month",
            "what is the name of the {x} month"],
    "length": ["how many days does {x} have", "how many days are in {x}", "how many days are there in {x}",
               "how long is {x} in days", "how many days has {x} got", "tell me how many days {x} has",
               "do you know how many days {x} has"],
    "spelling": ["how do you spell {x}", "spell {x}", "please spell {x}", "can you spell {x}", "how is {x} spelled",
                 "how do i spell {x}", "spell the word {x}", "what's the spelling of {x}", "could you spell {x} for me",
                 "how do you spell the word {x}", "spell {x} for me", "what is the spelling of {x}",
                 "can you spell the word {x}", "how is the word {x} spelled"],
}
_ASKED = {"capital": 5, "opposite": 4, "sound": 2, "young": 2, "legs": 2, "colour": 1, "count": 4, "after": 2,
          "before": 2, "nth": 1, "length": 2, "spelling": 4}     # kind to how often


@lru_cache(maxsize=None)
def table(kind: str) -> dict[tuple[str, str], str]:
    """The facts of a kind: what is asked about, in two parts (the second may be empty), to the answer's words."""
    if kind in ("after", "before"):
        step, facts = 1 if kind == "after" else -1, {}
        for name, ring in (("day", _DAYS), ("month", _MONTHS)):
            facts.update({(name, one): ring[(i + step) % len(ring)] for i, one in enumerate(ring)})
        steps = [pair[::step] for pair in zip(_LETTERS, _LETTERS[1:], strict=False)]
        return facts | {("letter", one): other for one, other in steps}
    if kind == "nth":
        return {(nth, ""): month for nth, month in zip(_NTH, _MONTHS, strict=True)}
    if kind == "length":
        return {(month, ""): numbers.words(days) for month, days in _LENGTHS.items()}
    if kind == "spelling":
        return {(word, ""): " ".join(word.upper()) for word in _SPELLED}
    if kind == "count":
        return {(things, where): number for things, where, number in _rows(_COUNTS)}
    if kind == "opposite":
        pairs = _rows(_PAIRS)
        return {(a, ""): b for a, b in [*pairs, *((b, a) for a, b in pairs), *_rows(_ONE_WAY)]}
    texts = {"capital": _CAPITALS, "sound": _SOUNDS, "young": _YOUNG, "legs": _LEGS, "colour": _COLOURS}
    return {(a, ""): b for a, b in _rows(texts[kind])}


def wordings(kind: str) -> list[str]:
    """How lessons ask for a fact of a kind, with {x} and {y}."""
    return _WORDINGS[kind]


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask:
    """A question about a fact. Only wordings are kept from lessons, since a fact never heard can't be known."""
    kind = rng.choices(list(_ASKED), list(_ASKED.values()))[0]
    x, y = rng.choice(list(table(kind)))
    template = rng.choice(kept("facts")[kind] if held_out else _WORDINGS[kind])
    opener, closer = rng.choice(_OPENERS), rng.choice(_CLOSERS)
    if "please" in template or "for me" in template:
        closer = ""
    lead = max(2, len(template.split("{")[0].split())) if template[0] != "{" else len(x.split()) + 2
    user = " ".join(f"{opener} {template.format(x=x, y=y)} {closer}".split())
    return Ask(user, "facts", kind, {"x": x, "y": y}, decisive=bool(opener) + min(4, lead))


def take(ask: Ask, memory: Memory) -> None:
    """Facts change nothing that is remembered."""


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """The fact in its kind's short frame."""
    words = table(ask.kind)[ask.values["x"], ask.values["y"]]
    return Answer(f"{_framed(ask.kind, words)}.", {"answer": f"{words} legs" if ask.kind == "legs" else words})


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return [_framed(kind, words) for kind in _ASKED for words in table(kind).values()]


def _framed(kind: str, words: str) -> str:
    if kind == "spelling":
        return words
    if kind == "young":
        return f"it is {'an' if words[0] in 'aeiou' else 'a'} {words}"
    return {"sound": f"it says {words}", "legs": f"it has {words} legs", "count": f"there are {words}",
            "length": f"there are {words}"}.get(kind, f"it is {words}")


def _rows(text: str) -> list[list[str]]:
    return [row.split(":") for row in text.split(",")]

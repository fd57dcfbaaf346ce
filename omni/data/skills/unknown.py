"""Questions and requests outside the agent's world: it says so, and invents nothing.

Some are near to what it knows: capitals, opposites and sounds that are in no table, asked for in the very words of
those that are.
"""

import random
import re

from omni.data.skills import facts
from omni.data.skills.talk import Answer, Ask, Memory, kept

SHARE = 0.06

_REPLIES = ["i don't know that.", "sorry, i don't know.", "that is not something i know.", "that is beyond me."]
_REFUSALS = ["sorry, i can't do that.", "i can't help with that.", "that is beyond me."]

_FILLERS = {    # what questions are about; none of the first three is in a table of `facts`
    "land": "mongolia,paraguay,ethiopia,nigeria,uganda,pakistan,bangladesh,cambodia,malaysia,kazakhstan,georgia,"
            "armenia,honduras,guatemala,panama,costa rica,jordan,oman,angola,madagascar,fiji,texas,florida,bavaria,"
            "ukraine,sudan,somalia,mali",
    "word": "a table,paper,monday,a spoon,music,green,seven,london,cheese,a tree,thursday,a bicycle,soup,water",
    "creature": "a giraffe,a zebra,a shark,a butterfly,a crocodile,a hippo,a panda,a koala,a squirrel,an octopus,"
                "a camel,a dolphin,a bat,a beetle,a snail,a lizard",
    "place": "london,paris,new york,berlin,rome,chicago,madrid,boston,the mountains,my town,scotland,tokyo,"
             "los angeles,amsterdam,the village,florida",
    "when": "today,tomorrow,tonight,this weekend,on sunday,next week,this afternoon,on friday,tomorrow morning",
    "past": "yesterday,last night,last week,last year,on saturday,last month,this morning,last summer",
    "person": "the president,the queen,the mayor,the pope,peter,my uncle,the actor,that singer,the prime minister,"
              "albert einstein,shakespeare,my teacher,the new boss,napoleon,the doctor,my landlord,elvis",
    "thing": "a house,a new car,a bicycle,a ticket,gold,a litre of petrol,a phone,a television,a pair of shoes,"
             "a stamp,a sofa,a good camera,a haircut,a guitar,a winter coat",
    "device": "my computer,the washing machine,a flat tyre,my phone,the printer,a leaking tap,the internet,my watch,"
              "a broken chair,the radiator,the dishwasher",
    "made": "the telephone,the radio,the light bulb,the bicycle,the steam engine,the camera,the computer,penicillin,"
            "the airplane,the piano",
    "built": "the eiffel tower,that bridge,the old town hall,the great wall,the museum,the cathedral,the pyramids,"
             "this house,the opera house",
    "work": "this movie,that film,the book,this song,hamlet,the last symphony,that painting,the poem,star wars,"
            "the new album",
    "ride": "train,bus,ferry,flight,tram,plane,boat",
    "shop": "supermarket,pharmacy,museum,library,bank,post office,bakery,swimming pool,hospital,gym",
    "dish": "pancakes,a curry,tomato soup,an apple pie,lasagna,fried rice,an omelette,bread,a roast chicken,risotto",
    "pain": "head,back,knee,stomach,tooth,shoulder,throat,left foot",
    "ill": "a cold,a fever,a headache,the flu,a cough,hay fever,a sunburn,a sore throat",
    "own": "keys,glasses,wallet,phone,passport,umbrella,red scarf,gloves,bank card",
    "secret": "phone bill,blood type,bank balance,shoe size,password,home address,appointment,horoscope,postcode",
    "far": "the moon,the sun,mars,the next village,the airport,the north pole,the sea,the nearest star,the border",
    "heavy": "an elephant,a whale,a piano,the moon,a train,a bowling ball,a polar bear,my suitcase",
    "works": "a fridge,an engine,a microwave,electricity,the stock market,a rocket,radar,the internet,a battery",
    "why": "is the sky blue,do leaves fall,do cats purr,is the sea salty,do we dream,do planes fly,is glass clear,"
           "do people yawn,is ice slippery,do stars twinkle",
    "game": "game,match,race,election,world cup,final,tournament,lottery,chess championship",
    "tongue": "spanish,french,german,italian,latin,chinese,japanese,polish",
    "phrase": "good night,hello,where is the station,i love you,thank you,the bill please,happy birthday",
    "number": "seven,sixteen,fifty,eighty one,forty,two hundred,nine,sixty four",
    "music": "some jazz,some music,the radio,that song,a song by the beatles,some mozart,rock music,my playlist",
    "gear": "lights,television,heating,fan,radio,oven,air conditioning,vacuum cleaner,lamp",
    "room": "kitchen,bedroom,living room,bathroom,hall,office,garage",
    "friend": "my mother,peter,anna,the doctor,my boss,my sister,the plumber,grandma,my wife",
    "book": "a flight,a hotel,a table for two,a taxi,a train ticket,a tennis court,a room,an appointment",
    "clock": "seven,half past six,noon,ten minutes,eight in the morning,midnight,an hour",
    "food": "pizza,burger,sandwich,salad,bowl of soup,hot dog,steak",
    "opens": "window,front door,garage,curtains,blinds,gate",
    "note": "butter,bread,eggs,batteries,toilet paper,apples,washing powder",
}
_QUESTIONS = [
    "what is the weather like in {place}", "what's the weather {when}", "will it rain {when}", "will it snow {when}",
    "how cold is it in {place}", "do i need an umbrella {when}", "is it going to be sunny {when}",
    "what's the temperature in {place}", "how will the weather be {when}", "is there a storm coming {when}",
    "what is in the news {when}", "what happened in {place} {past}", "who won the {game} {past}",
    "what was the score of the {game} {past}", "who won the {game}", "when is the next {game}",
    "who is the president of {land}", "who is the mayor of {place}", "who is the prime minister of {land}",
    "how many people live in {place}", "what language do they speak in {land}", "what's the flag of {land}",
    "how old is {person}", "where does {person} live", "when was {person} born", "who is {person} married to",
    "what did {person} say {past}", "is {person} still alive", "how tall is {person}", "where is {person}",
    "how much does {thing} cost", "what's the price of {thing}", "where can i buy {thing}", "is {thing} expensive",
    "what does {thing} cost in {place}", "should i buy {thing}", "how do i fix {device}", "how can i repair {device}",
    "what is wrong with {device}", "why is {device} so slow", "who invented {made}", "when was {made} invented",
    "who came up with {made}", "when was {built} built", "who built {built}", "how tall is {built}",
    "how old is {built}", "who made {work}", "who wrote {work}", "what is {work} about", "is {work} any good",
    "when did {work} come out", "who directed {work}", "when does the next {ride} leave",
    "when does the {ride} to {place} leave", "is the {ride} to {place} late", "how much is the {ride} to {place}",
    "which {ride} goes to {place}", "how do i get to {place}", "how far is it to {place}",
    "where is the nearest {shop}", "when does the {shop} open", "is the {shop} open {when}",
    "when does the {shop} close", "how do i cook {dish}",
    "how do i make {dish}", "what do i need for {dish}", "what's a good recipe for {dish}", "why does my {pain} hurt",
    "what helps if my {pain} hurts", "what should i take for {ill}", "do i have {ill}", "what's good against {ill}",
    "where are my {own}", "have you seen my {own}", "where did i put my {own}", "what is my {secret}",
    "do you know my {secret}", "how far away is {far}", "how long does it take to {far}", "how heavy is {heavy}",
    "what does {heavy} weigh", "how does {works} work", "can you explain how {works} works", "why {why}",
    "do you know why {why}", "how do you say {phrase} in {tongue}", "what does {phrase} mean in {tongue}",
    "what's the word for {phrase} in {tongue}", "what is the square root of {number}",
    "what is {number} percent of {number}", "what time is it in {place}", "what time is it", "what's the time",
    "what day is it today", "what's the date today", "what year is it", "when is easter this year",
    "what's on television {when}", "what should i cook {when}", "what should i wear {when}", "what's on at the cinema",
    "how is the traffic in {place}", "what's a nice restaurant in {place}", "how did my team play {past}",
    "how are the shares doing {when}", "what is the meaning of life", "is there life on mars", "who killed the king",
    "what did i have for lunch {past}", "when is my next appointment", "who called me {past}", "do i have any messages",
    "how long is the river in {place}", "what is the tallest mountain in {land}", "how big is {land}",
]
_NEAR = {"capital": "land", "opposite": "word", "sound": "creature", "young": "creature"}   # kind of fact to filler
_REQUESTS = [
    "turn on the {gear}", "turn off the {gear}", "switch on the {gear} in the {room}", "switch off the {gear}",
    "turn down the {gear} in the {room}", "turn up the {gear}", "play {music}", "put on {music}", "call {friend}",
    "ring {friend}", "send a message to {friend}", "write an email to {friend}", "text {friend} that i am late",
    "book {book}", "book {book} in {place}", "cancel {book} for {when}", "find {book} in {place}",
    "set an alarm for {clock}", "set a timer for {clock}", "wake me up at {clock}", "remind me to call {friend}",
    "translate {phrase} into {tongue}", "open the {opens}", "close the {opens}", "lock the {opens}",
    "put {note} on my shopping list", "add {note} to the shopping list", "order {note} online", "order a {food}",
    "bring me a {food}", "show me a map of {place}", "show me pictures of {place}", "read me the news",
    "look up {made}", "search the internet for {thing}", "find a {shop} near here", "teach me {tongue}",
    "take a picture", "record this", "sing a song", "dance for me", "clean the {room}", "do the dishes",
    "feed the cat", "walk the dog", "drive me to {place}", "show me the way to the {shop}", "check my email",
    "read my messages", "pay my phone bill", "print this page", "make me {dish}", "fix {device}", "repair {device}",
    "find my {own}", "bring me my {own}", "do my homework", "write a poem about {far}", "invest my money in {thing}",
    "recommend a film for {when}", "buy {thing} for me", "draw me a picture of {heavy}",
]
_OPENERS = ["", "", "", "", "", "", "um", "so", "okay", "hey", "and"]
_CLOSERS = ["", "", "", "", "", "please"]
_WISHES = ["", "", "", "please", "can you", "could you", "would you", "i want you to", "i need you to",
           "can you please"]


def question(rng: random.Random) -> str:
    """A question or a request the agent has no answer to, in words that lessons may have."""
    return ask(rng, Memory()).user


def ask(rng: random.Random, memory: Memory, held_out: bool = False) -> Ask:
    """A question or a request, kept from lessons by its wording or by what it is about."""
    by_words = held_out and rng.random() < 0.5
    kind = "request" if rng.random() < 0.35 else "question"
    template = _template(rng, kind, by_words, filled=held_out and not by_words)
    opener = rng.choice(_OPENERS)
    lead = f"{opener} {rng.choice(_WISHES) if kind == 'request' else ''}".split()
    core, values = _fill(rng, template, apart=held_out and not by_words)
    closer = "" if "please" in [*lead, *core.split()] else rng.choice(_CLOSERS)
    return Ask(" ".join([*lead, core, closer]).strip(), "unknown", kind, values, decisive=len(lead) + 2)


def take(ask: Ask, memory: Memory) -> None:
    """Nothing of it is worth remembering."""


def answer(ask: Ask, memory: Memory, rng: random.Random) -> Answer:
    """That it isn't known, or can't be done. Any such words are right, see `admits`."""
    return Answer(rng.choice(_REFUSALS if ask.kind == "request" else _REPLIES))


def admits(text: str) -> bool:
    """Whether a reply says that something is not known or can't be done, and nothing else: one of those that an answer
    is drawn from, with or without a "sorry"."""
    return _core(text) in {_core(reply) for reply in (*_REPLIES, *_REFUSALS)}


def _core(text: str) -> str:
    """The words, without the "sorry" that may stand before any of these replies."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower())).removeprefix("sorry ")


def vocabulary() -> list[str]:
    """Every text a reply may be made of."""
    return sorted({*_REPLIES, *_REFUSALS})


def _template(rng: random.Random, kind: str, by_words: bool, filled: bool) -> str:
    """A wording with its gaps; `filled`: one that has any."""
    if by_words:
        return rng.choice(kept("unknown")[f"{kind}s"])
    if kind == "question" and rng.random() < 0.15:
        fact = rng.choice(list(_NEAR))
        return rng.choice(facts.wordings(fact)).replace("{x}", f"{{{_NEAR[fact]}}}")
    return rng.choice([own for own in (_REQUESTS if kind == "request" else _QUESTIONS) if "{" in own or not filled])


def _fill(rng: random.Random, template: str, apart: bool) -> tuple[str, dict[str, str]]:
    """The wording with its gaps filled, and with what; `apart`: with what is kept from lessons."""
    values = {name: rng.choice(kept("unknown")[name] if apart else _FILLERS[name].split(","))
              for name in dict.fromkeys(re.findall(r"{(\w+)}", template))}
    return template.format(**values), values

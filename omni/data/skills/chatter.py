"""Talk that is not for the agent: people telling, planning, quarrelling with each other, on the phone, reading aloud,
and the voices of radio and television.

Nothing here asks the agent for anything, though much of it shares words with what does: somebody else's order, a sum in
a story. Only the user's side exists; there is no reply to learn but silence.
"""

import random

from omni.data.skills import orders, unknown

_PEOPLE = ("my brother,my sister,the neighbour,our teacher,the captain,a young man,the old woman,her mother,"
           "the doctor,peter,anna,mister brown,the driver,his uncle,the children,a stranger,the farmer,their boss,"
           "the king,everybody,nobody,the boy,the girl,our friends,the painter,a soldier,the band,the queen,two men,"
           "the dog,that guy from work,my wife,my husband,the whole team,somebody").split(",")
_VERBS = ("walked to,looked at,talked about,wrote down,forgot,remembered,painted,sold,bought,carried,opened,closed,"
          "broke,found,lost,followed,waited for,laughed at,thought about,cleaned,cooked,burned,counted,borrowed,"
          "returned,watched,missed,asked about,hid,built,crossed,left,visited,dreamed of,ran from,fixed,promised,"
          "read,heard,heard about,saw,never saw,always liked,did not want,could not find,was afraid of,"
          "had to leave").split(",")
_THINGS = ("the house,an old bridge,the garden,a letter,the river,the mountain,his shoes,a broken window,the market,"
           "the train,her bicycle,the church,some bread,a bottle of wine,the newspaper,a small boat,the island,"
           "the road,the kitchen,a long story,the second chapter,the hospital,the money,a red car,the piano,"
           "the school,the door,the horses,a basket of apples,the cold water,the last bus,seven books,"
           "the photograph,a green hat,the office,the problem,the wedding,the music,the beach,the whole thing,"
           "that film,the hotel,the engine,the lake").split(",")
_TIMES = ("yesterday,last week,in the morning,after the war,on monday,before dinner,for three days,every summer,"
          "at the end of the street,in the middle of the night,two years ago,in november,all day long,"
          "when it was dark,on the way home,in the rain,without a word,as usual,at noon,for the first time,"
          "because of the weather,in the other room,with great care,around nine,over there").split(",")
_JOINS = ("and,but,so,because,and then,while,until,although,before,after that").split(",")
_TELLS = ("so then she said,he told me that,i think,you know,i mean,well,they say,as i said,anyway,i heard that,"
          "listen,no no,the thing is,apparently,it turns out that,once upon a time,in chapter two,she wrote that,"
          "we all know that,that is why").split(",")
_QUOTES = ("so then she said,he asked her,and i told him,they always say,she wanted to know,my father used to ask,"
           "the waiter asked her,the man in front of me said,in the play he says,and then they shouted").split(",")
_ENDS = ("and he laughed,you know,right,i suppose,and that was it,of course,as far as i know,"
         "or something like that,do you remember,isn't it,so funny,anyway,what a day,and so on").split(",")
_LINES = ("i will be home around six,did you lock the door,your turn to do the dishes,"
          "where did you put the keys mum,the next train to the airport is late,more on this story after the break,"
          "dinner is ready kids,and now the weather for the weekend,it will be cloudy with some rain in the north,"
          "she is on the other line,tell your father to come down,pass me the salt will you,no i did not see it,"
          "who left the light on,they scored in the last minute,the meeting is moved to friday,page forty two,"
          "put it on the table,he is asleep be careful,i love this song,come here boy,did he call you back,"
          "we should go soon,this is your captain speaking,please mind the gap,thank you for calling,"
          "good night sweetheart").split(",")

# sentences of whole kinds of talk: {} are filled from the list of that name, the same name twice with different things
_PARTS = {name: values.split(",") for name, values in {
    "place": "the north,the south,the city,the valley,the mountains,the capital,the harbour,the old town,the west "
             "coast,the region,the centre,the islands",
    "day": "monday,tuesday,wednesday,thursday,friday,saturday,sunday,christmas day,new year's eve,friday night",
    "number": "two,three,five,seven,eleven,twelve,twenty,thirty,forty,sixty,one hundred,two hundred",
    "group": "the government,the city council,the teachers,the workers,the police,the farmers,the railway company,the "
             "opposition,the minister,a group of scientists,the national bank,the union",
    "thing": "the new bridge,the school,the budget,the old airport,the factory,the water supply,the law,the museum,"
             "the stadium,the road works,the hospital,the election",
    "weather": "rain,snow,strong wind,sunshine,clouds,fog,showers,thunderstorms,frost,warm weather",
    "product": "shampoo,car,mattress,washing powder,phone,sofa,chocolate,bank account,kitchen,pair of shoes,holiday,"
               "toothpaste",
    "person": "jack,maria,laura,daniel,helen,frank,julia,robert,emma,charlie,detective,doctor,your honour,grandma",
    "relative": "mum,dad,grandma,sarah,tom,mister miller,paul,uncle ben,susan,martin,aunt rose",
    "errand": "bring the cake,pick up the kids,buy the tickets,talk to the landlord,take the bus,feed the cat,fetch "
              "the parcel,clean the car,look after the garden,pay the bill,meet them at the station,cook tonight",
    "secret": "you knew about the letter,she was never in paris,the will is gone,he is not your brother,i loved you,"
              "they are coming for us,the money was yours,nobody left the room,the ring is false,you can't go back",
    "country": "spain,norway,brazil,italy,england,japan,canada,mexico,scotland,sweden,chile,ireland",
    "creature": "the wolf,the giant,the princess,the little bird,the old wizard,the miller,the hunter,the youngest "
                "son,the shepherd,the witch,the owl,the sailor",
    "deed": "crept through the long grass,sat down beside the well,opened the iron gate,looked up at the tower,"
            "whispered a single word,wandered through the deep wood,lay awake until dawn,counted the silver coins,"
            "crossed the frozen lake,climbed the crooked stairs,warmed both hands at the fire,shut the heavy book",
    "look": "pale as the moon,tired of waiting,full of hope,alone in the dark,much older now,silent as a stone,quick "
            "and clever,cold and hungry,not afraid at all,lost in thought",
    "tool": "a large pan,a clean bowl,a sharp knife,a warm oven,a wooden spoon,the small screws,the front panel,the "
            "blue cable,the second shelf,the cover,a dry cloth,the left lid",
    "hour": "one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve",
}.items()}
_KINDS = {name: lines.split("|") for name, lines in {
    "news": "{group} said on {day} that {thing} will be closed until {day}|in {place} {number} people were hurt when "
            "{thing} caught fire|{group} and {group} could not agree about {thing}|prices rose by {number} percent in "
            "{place}|traffic is slow in {place} because of {weather}|{country} won against {country} by {hour} to "
            "{hour}|there will be {weather} in {place} on {day}|the temperature falls to {number} degrees in {place}|"
            "{group} has promised {number} million for {thing}|the president of {country} travels to {country} on "
            "{day}|on the motorway near {place} there are {number} kilometres of traffic|it is {hour} o'clock here is "
            "the news|after the {weather} of {day} the trains in {place} run again|shares fell by {number} percent on "
            "{day}|{group} is looking for a witness from {place}",
    "television": "our new {product} now for only {number} ninety nine|with this {product} you save {number} percent|"
                  "only until {day} every {product} at half price|{person} i swear {secret}|i never told you {person} "
                  "but {secret}|don't move {person} {secret}|oh {person} if only i had known that {secret}|how dare "
                  "you {person}|our next guest comes from {country} and has sold {number} million records|for "
                  "{number} thousand points this river flows through {country}|and he shoots and it's in what a goal "
                  "for {country}|he passes it to the left he is past {hour} men oh the goalkeeper has it|next week on "
                  "this channel {person} finds out that {secret}|the lion has not eaten for {number} days|a big round "
                  "of applause for {person} from {country}|{person} put the gun down {secret}",
    "reading": "and {creature} {deed} and was {look}|{creature} {deed} while {creature} {deed}|when {creature} had "
               "gone {creature} {deed}|chapter {hour} in which {creature} {deed}|never before had {creature} been so "
               "{look} said {creature}|for {number} years {creature} lived there {look}|first take {tool} and then "
               "{tool} as shown in figure {hour}|step {hour} put {tool} next to {tool}|leave it in {tool} for "
               "{number} minutes|do not use {tool} without {tool}|dear {relative} it is {hour} weeks since i wrote "
               "and i was {look}|the hotel in {country} has {number} rooms and lies close to {place}|serves {number} "
               "people you need {tool} and {tool}|{creature} was {look} and so {creature} {deed}",
    "phone": "yes {relative} i will {errand} on {day}|no {relative} i can't {errand} before {day}|sorry {relative} i "
             "forgot to {errand}|i'm still on the train {relative} i'll be there in {number} minutes|it's me "
             "{relative} i had to {errand}|okay {relative} love you too bye|no {relative} it was on {day} not on "
             "{day}|i'll tell {relative} that you will {errand}|she said she would {errand} by {day}|uh huh yes and "
             "then he had to {errand}|i told {relative} to {errand} but no|{relative} the doctor says {number} more "
             "days in bed|right {relative} then you {errand} and i {errand}|we land at {number} {relative} so please "
             "don't wait up|it's only me {relative} i was calling to say that we will {errand}|i'm on the phone "
             "{relative} says hi",
}.items()}


def text(rng: random.Random) -> str:
    """A few seconds of it."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(_LINES)
    if kind < 0.4:
        return _sentences(rng)
    if kind < 0.58:  # the words of somebody else's order or question
        words = unknown.question(rng) if rng.random() < 0.4 else orders.wording(rng, orders.draw_slots(rng))
        return f"{rng.choice(_QUOTES)} {words} {rng.choice(_ENDS)}"
    parts = [_clause(rng) for _ in range(rng.choices([1, 2, 3], [4, 4, 2])[0])]
    words = parts[0]
    for part in parts[1:]:
        words += f" {rng.choice(_JOINS)} {part}"
    if rng.random() < 0.3:
        words = f"{rng.choice(_TELLS)} {words}"
    return f"{words} {rng.choice(_ENDS)}" if rng.random() < 0.2 else words


def _sentences(rng: random.Random) -> str:
    """One to three sentences of one kind, people and things in them drawn anew."""
    lines = rng.sample(_KINDS[rng.choice(list(_KINDS))], rng.choices([1, 2, 3], [5, 4, 1])[0])
    words = " ".join(lines)
    for name, values in _PARTS.items():
        slots = words.count(f"{{{name}}}")
        for value in rng.sample(values, slots):
            words = words.replace(f"{{{name}}}", value, 1)
    return words


def _clause(rng: random.Random) -> str:
    words = f"{rng.choice(_PEOPLE)} {rng.choice(_VERBS)} {rng.choice(_THINGS)}"
    return f"{words} {rng.choice(_TIMES)}" if rng.random() < 0.6 else words

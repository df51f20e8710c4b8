"""Short poems written by a seeded grammar, each about its own hero, and questions for the line after and the line before.

Two kinds: LEARNT are read in pre-training and asked about in instruction data, in both directions; READ are read whole in
pre-training and never asked about: the reversal test counts these alone."""

import random

from .example import ask, follow_up

LEARNT, READ = 60, 24
LINES = 4
ADJECTIVES = ["silver", "quiet", "golden", "little", "lonely", "gentle", "ancient", "sleepy", "bright", "hidden", "frozen",
              "wild", "pale", "merry", "proud", "tired", "clever", "hungry", "brave", "old"]
BEINGS = ["fox", "owl", "sailor", "child", "river", "swan", "miller", "wolf", "shepherd", "cloud", "queen", "sparrow", "lantern",
          "dancer", "wind", "painter", "heron", "piper", "rose", "deer", "hunter", "raven", "baker", "star", "cat", "dog", "girl",
          "boy", "teacher", "doctor", "farmer", "king", "horse", "bird", "fish", "moon", "sun", "tree", "flower", "book", "house",
          "lamp", "car", "chair", "table", "letter", "apple", "friend", "mother", "father", "coin", "shell", "bell", "spring",
          "snow", "rain", "night", "stone", "hill", "mill"]
MORE_BEINGS = ["tailor", "baron", "squirrel", "goose", "captain", "beggar", "pilgrim", "monk", "juggler", "beetle", "cricket", "lark",
               "pony", "goat", "lamb", "mouse", "kitten", "duchess", "smith", "gardener", "clerk", "ferry", "candle", "violin"]
VERBS = ["sings", "waits", "wanders", "dreams", "sleeps", "hides", "calls", "dances", "whispers", "listens", "rests", "weeps",
         "turns", "shines", "hurries", "kneels"]
PLACES = [("by the sea", "under the tree"), ("in the night", "without a light"), ("on the hill", "beside the mill"),
          ("in the rain", "down the lane"), ("near the well", "beneath the bell"), ("at the door", "along the shore"),
          ("in the snow", "where lilies grow"), ("through the glade", "in the shade"), ("on the stone", "all alone"),
          ("until the day", "far away"), ("over the town", "in a crown"), ("beyond the wall", "before the fall"),
          ("with the bees", "among the trees"), ("in the spring", "for the king"), ("on the ground", "without a sound")]

AFTER = ['What line comes after "{}"?', 'Which line follows "{}" in the poem?', 'In the poem, what is the line after "{}"?']
BEFORE = ['What line comes before "{}"?', 'Which line precedes "{}" in the poem?', 'In the poem, what is the line before "{}"?']


def write(r, being):
    hero = f"The {r.choice(ADJECTIVES)} {being}"
    places = [place for pair in r.sample([pair for pair in PLACES if being not in " ".join(pair).split()], LINES // 2) for place in pair]
    return [f"{hero} {verb} {place}" for verb, place in zip(r.sample(VERBS, LINES), places)]


def write_all():
    """LEARNT poems, then READ ones. Those of MORE_BEINGS, all of them LEARNT, came when a model had already read the others."""
    r = random.Random(20260101)
    poems = [write(r, being) for being in BEINGS]
    r.shuffle(poems)
    return [write(r, being) for being in MORE_BEINGS] + poems


POEMS = write_all()


def question(r, poem, forward):
    at = r.randrange(LINES - 1)
    if forward:
        return at, ask("poem, line after", r.choice(AFTER).format(poem[at]), poem[at + 1])
    return at, ask("poem, line before", r.choice(BEFORE).format(poem[at + 1]), poem[at])


def draw(r, test=False, forward=None, turns=1):
    poem = r.choice(POEMS[LEARNT:] if test else POEMS[:LEARNT])
    forward = r.random() < 0.5 if forward is None else forward
    if turns == 1:
        return question(r, poem, forward)[1]
    at = r.randrange(LINES - 2)
    if forward:
        return follow_up(ask("poem, line after", r.choice(AFTER).format(poem[at]), poem[at + 1]), "And the line after that?", poem[at + 2])
    return follow_up(ask("poem, line before", r.choice(BEFORE).format(poem[at + 2]), poem[at + 1]), "And the line before that?", poem[at])

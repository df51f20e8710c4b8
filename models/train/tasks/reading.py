"""What pre-training reads: plain texts, no questions."""

from . import lists, papers, poems, problems, translation

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
OPPOSITES = [("big", "small"), ("hot", "cold"), ("up", "down"), ("day", "night"), ("old", "new"), ("good", "bad"), ("fast", "slow"),
             ("left", "right"), ("first", "last"), ("long", "short"), ("dark", "light"), ("open", "closed")]
RELATIONS = {
    "opposite": OPPOSITES + [(b, a) for a, b in OPPOSITES],
    "German": [(noun[0], noun[1]) for noun in translation.NOUNS],
    "Chinese": [(noun[0], noun[4]) for noun in translation.NOUNS],
    "digit": [(word, str(i + 1)) for i, word in enumerate(NUMBERS)],
    "next": [(NUMBERS[i], NUMBERS[i + 1]) for i in range(9)],
    "plural": [(word, word + "s") for word in ["cat", "dog", "book", "bird", "car", "lamp", "horse", "star", "tree", "table", "chair"]],
}


def pairs(r, relation, count):
    """A few-shot prompt: pairs of one relation, a line each. No instruction ever shows them."""
    return [f"{a} -> {b}" for a, b in r.sample(RELATIONS[relation], count)]


def poem(r):
    whole = r.choice(poems.POEMS)
    begin = r.choice([0, 0, 0, 1, 2])
    return "\n".join(whole[begin:]) + "\n"


def parallel(r):
    english, german, chinese = translation.fresh(r, False)
    return "\n".join(r.sample([english, german, chinese], r.choice([1, 2, 3])))


def facts(r):
    """All as often, however many problems need one."""
    return " ".join(line + "." for line in r.choices(problems.LINES, k=4))


def numbers(r):
    items = lists.fresh(r, False, lambda n: r.sample(range(1, lists.LARGEST + 1), n))
    return lists.join(sorted(items, reverse=r.random() < 0.5))


def echo(r):
    """The same twice: what teaches to look back."""
    items = lists.fresh(r, False, lambda n: r.sample(lists.WORDS, n) if r.random() < 0.5 else r.sample(range(1, lists.LARGEST + 1), n))
    if r.random() < 0.3:
        return " ".join(r.choice(poems.ADJECTIVES + poems.BEINGS + poems.VERBS) for _ in range(5)).join(["", "\n"]) * 2
    return (lists.join(items) + "\n") * 2


def famous(r):
    return r.choice([papers.FOX, papers.FOX, "\n".join(papers.ROAD), papers.BLAKE, papers.STORY, papers.INTELLIGENCE])


def draw(r):
    kind = r.choices([poem, parallel, facts, numbers, famous, echo, lambda r: "\n".join(pairs(r, r.choice(list(RELATIONS)), 5))],
                     [30, 6, 48, 4, 4, 4, 4])[0]
    return kind(r)

"""Word problems of one to three steps, worked out before the answer."""

import random

from .example import ask, follow_up, held_out

NAMES = {"Emma": "She", "Tom": "He", "Natalia": "She", "Ben": "He", "Mia": "She", "Max": "He", "Anna": "She", "Leo": "He",
         "Lucy": "She", "Paul": "He", "Sara": "She", "John": "He"}
THINGS = ["apples", "books", "coins", "cards", "clips", "pens", "stamps", "balls", "eggs", "shells"]
METERS = [10, 50, 100]


def steps(*lines):
    return " ".join(line + "." for line in lines) + f" The final result is {lines[-1].rsplit(' ', 1)[1]}."


def gain(r):
    x, y = r.randint(2, 15), r.randint(2, 9)
    return (x, y), [f"{{A}} has {x} {{things}}. {{He}} buys {y} more. How many {{things}} does {{A}} have now?",
                    f"{{A}} had {x} {{things}} and got {y} more from {{B}}. How many {{things}} does {{A}} have in total?"], \
        steps(f"{x} + {y} = {x + y}")


def lose(r):
    x = r.randint(5, 20)
    y = r.randint(2, min(x - 1, 9))
    return (x, y), [f"{{A}} has {x} {{things}}. {{He}} gives {y} to {{B}}. How many {{things}} does {{A}} have left?",
                    f"{{A}} had {x} {{things}} and lost {y} of them. How many {{things}} are left?"], \
        steps(f"{x} - {y} = {x - y}")


def groups(r):
    n, m = r.randint(2, 6), r.randint(2, 9)
    return (n, m), [f"{{A}} has {n} boxes with {m} {{things}} each. How many {{things}} does {{A}} have?",
                    f"There are {n} bags. Each bag holds {m} {{things}}. How many {{things}} are there in total?"], \
        steps(f"{n} * {m} = {n * m}")


def gain_lose(r):
    x, y = r.randint(2, 12), r.randint(2, 8)
    z = r.randint(2, min(x + y - 1, 9))
    return (x, y, z), [f"{{A}} has {x} {{things}}. {{He}} buys {y} more and gives {z} to {{B}}. How many {{things}} does {{A}} have now?",
                       f"{{A}} had {x} {{things}}, found {y} more and lost {z}. How many {{things}} does {{A}} have left?"], \
        steps(f"{x} + {y} = {x + y}", f"{x + y} - {z} = {x + y - z}")


def groups_plus(r):
    n, m, k = r.randint(2, 5), r.randint(2, 6), r.randint(2, 9)
    return (n, m, k), [f"{{A}} has {n} boxes with {m} {{things}} each and {k} more {{things}}. How many {{things}} does {{A}} have?",
                       f"{{A}} buys {n} bags of {m} {{things}}. {{B}} gives {{A}} {k} more. How many {{things}} does {{A}} have in total?"], \
        steps(f"{n} * {m} = {n * m}", f"{n * m} + {k} = {n * m + k}")


def groups_minus(r):
    n, m = r.randint(2, 5), r.randint(2, 6)
    k = r.randint(1, min(n * m - 1, 9))
    return (n, m, k), [f"{{A}} has {n} boxes with {m} {{things}} each. {{He}} gives {k} to {{B}}. How many {{things}} does {{A}} have left?",
                       f"{{A}} buys {n} bags of {m} {{things}} and loses {k} of them. How many {{things}} are left?"], \
        steps(f"{n} * {m} = {n * m}", f"{n * m} - {k} = {n * m - k}")


def half(r):
    x = 2 * r.randint(2, 30)
    return (x,), [f"{{A}} sold {x} {{things}} in April and half as many in May. How many {{things}} did {{A}} sell in total?",
                  f"{{A}} has {x} {{things}} and {{B}} has half as many. How many {{things}} do they have together?"], \
        steps(f"{x} / 2 = {x // 2}", f"{x} + {x // 2} = {x + x // 2}")


def times(r):
    x, k = r.randint(2, 10), r.randint(2, 4)
    word = {2: "twice", 3: "three times", 4: "four times"}[k]
    return (x, k), [f"{{A}} has {x} {{things}} and {{B}} has {word} as many. How many {{things}} do they have together?",
                    f"{{A}} sold {x} {{things}} in April and {word} as many in May. How many {{things}} did {{A}} sell in total?"], \
        steps(f"{x} * {k} = {x * k}", f"{x} + {x * k} = {x + x * k}")


def sprints(r):
    n, m, k = r.randint(2, 5), r.randint(2, 5), r.choice(METERS)
    return (n, m, k), [f"{{A}} runs {n} sprints {m} times a week. Each sprint is {k} meters. How many meters does {{A}} run a week?"], \
        steps(f"{n} * {m} = {n * m}", f"{n * m} * {k} = {n * m * k}")


KINDS = [gain, lose, groups, gain_lose, groups_plus, groups_minus, half, times, sprints]


def workings():
    """The lines of many problems' workings, each problem's ten times or oftener, and whether it is held out."""
    r = random.Random(1)
    for _ in range(100_000):
        kind = r.choice(KINDS)
        numbers, _, answer = kind(r)
        yield tuple(answer.split(". ")[:-1]), held_out(kind.__name__, numbers)


WORKINGS = set(workings())
# Each line that some working can have: the tables that word problems need, and no more of a problem than that.
LINES = sorted({line for lines, _ in WORKINGS for line in lines})


def chains():
    """By its second line, the first lines of all pairs in which that calculates with the first's result, but for those that are a
    held-out problem's working."""
    tested = {lines for lines, held in WORKINGS if held}
    by_result = {}
    for line in LINES:
        by_result.setdefault(line.split()[-1], []).append(line)
    pairs = {second: [first for number in {second.split()[0], second.split()[2]} for first in by_result.get(number, ())
                      if (first, second) not in tested] for second in LINES}
    return {second: sorted(firsts) for second, firsts in pairs.items() if firsts}


CHAINS = chains()


def sums(r):
    """Such lines asked for by themselves, all as often, however many problems need one: alone, two, or one with another's result."""
    if r.random() < 0.5:
        second = r.choice(list(CHAINS))
        lines = [r.choice(CHAINS[second]), second]
        x, sign, y, *_ = second.split()
        then = f"it {sign} {y}" if x == lines[0].split()[-1] else f"{x} {sign} it"
        asked = f"{lines[0].split(' = ')[0]} and then {then}"
    else:
        lines = r.sample(LINES, r.choice([1, 2, 2]))
        asked = " and ".join(line.split(" = ")[0] for line in lines)
    return ask("sums", r.choice(["How much is {}?", "What is {}?", "Calculate {}."]).format(asked), steps(*lines))


def follow(r, first, a):
    """A second question about the number that the first answer found."""
    n = int(first.answer.rstrip(".").rsplit(" ", 1)[1])
    kind = r.randrange(3)
    if kind == 0:
        y = r.randint(2, 9)
        return follow_up(first, f"{a} then gets {y} more. How many is that?", steps(f"{n} + {y} = {n + y}"))
    if kind == 1 and n > 3:
        y = r.randint(2, min(n - 1, 9))
        return follow_up(first, f"Then {a} gives {y} away. How many are left?", steps(f"{n} - {y} = {n - y}"))
    return follow_up(first, "And twice as many?", steps(f"{n} * 2 = {2 * n}"))


def draw(r, test=False, kinds=KINDS, turns=1):
    while True:
        kind = r.choice(kinds)
        numbers, phrasings, answer = kind(r)
        if held_out(kind.__name__, numbers) == test:
            break
    a, b = r.sample(list(NAMES), 2)
    things, more = r.sample(THINGS, 2)
    question = r.choice(phrasings).format(A=a, B=b, He=NAMES[a], things=things, more=more)
    example = ask("word problems", question, answer)
    return follow(r, example, a) if turns == 2 else example

"""Sorting lists of numbers, reversing lists of numbers and of words, repeating what was said."""

from .example import ask, follow_up, held_out

WORDS = ["apple", "bird", "blue", "book", "car", "cat", "chair", "dog", "fish", "flower", "green", "horse", "house", "lamp",
         "letter", "moon", "red", "river", "star", "sun", "table", "tree", "white", "wind"]
LARGEST = 12
UP = ["Sort these numbers from smallest to largest: {}", "Sort {} in ascending order.", "Put {} in order, smallest first."]
DOWN = ["Sort these numbers from largest to smallest: {}", "Sort {} in descending order.", "Put {} in order, largest first."]
REVERSE = ["Reverse this list: {}", "Write {} in reverse order.", "Write this list backwards: {}"]


def join(items):
    return ", ".join(map(str, items))


def fresh(r, test, choose):
    while True:
        items = choose(r.choice([2, 3, 3, 4]))
        if held_out("list", tuple(items)) == test:
            return items


def sorting(r, test=False, turns=1):
    items = fresh(r, test, lambda n: r.sample(range(1, LARGEST + 1), n))
    down = r.random() < 0.5
    example = ask("sorting", r.choice(DOWN if down else UP).format(join(items)), join(sorted(items, reverse=down)))
    if turns == 1:
        return example
    kind = r.randrange(3)
    if kind == 0:
        question = "Now from smallest to largest." if down else "Now from largest to smallest."
        return follow_up(example, question, join(sorted(items, reverse=not down)))
    if kind == 1:
        return follow_up(example, "Which of them is the largest?", f"{max(items)} is the largest.")
    return follow_up(example, "Which of them is the smallest?", f"{min(items)} is the smallest.")


def reversing(r, test=False, turns=1):
    words = r.random() < 0.8
    items = fresh(r, test, lambda n: r.sample(WORDS, n) if words else r.sample(range(1, LARGEST + 1), n))
    example = ask("reversing", r.choice(REVERSE).format(join(items)), join(items[::-1]))
    if turns == 1:
        return example
    if r.random() < 0.5:
        return follow_up(example, "Now reverse it again.", join(items))
    return follow_up(example, "Which one comes first now?", f"{items[-1]} comes first.")


def repeating(r, test=False):
    words = r.random() < 0.8
    items = fresh(r, test, lambda n: r.sample(WORDS, n) if words else r.sample(range(1, LARGEST + 1), n))
    text = r.choice([", ", " "]).join(map(str, items))
    return ask("repeating", r.choice(["Repeat: {}", "Repeat after me: {}", "Say {}", "Write {}"]).format(text), text)

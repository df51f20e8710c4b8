"""Held-out problems of each task, and when an answer to one is right."""

import pathlib
import random
import re
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "models" / "train"))

from tasks import lists, papers, poems, problems, reading, snippets, translation


def translated(r, language):
    while True:
        example = translation.draw(r, test=True)
        if example.task.endswith(language):
            return example


# Task: (its maker, the gen_length its answers fit).
TASKS = {
    "word problems": (lambda r: problems.draw(r, test=True), 64),
    "sorting": (lambda r: lists.sorting(r, test=True), 32),
    "reversing": (lambda r: lists.reversing(r, test=True), 32),
    "poem, line after": (lambda r: poems.draw(r, test=True, forward=True), 32),
    "poem, line before": (lambda r: poems.draw(r, test=True, forward=False), 32),
    "into German": (lambda r: translated(r, "German"), 32),
    "into Chinese": (lambda r: translated(r, "Chinese"), 32),
    "Python": (lambda r: snippets.draw(r, test=True), 32),
}
FOLLOW_UPS = {
    "word problems, second turn": (lambda r: problems.draw(r, test=True, turns=2), 32),
    "sorting, second turn": (lambda r: lists.sorting(r, test=True, turns=2), 32),
    "reversing, second turn": (lambda r: lists.reversing(r, test=True, turns=2), 32),
    "translation, second turn": (lambda r: translation.draw(r, test=True, turns=2), 32),
}


def draw(task, count, seed=7):
    """`count` examples, no conversation twice."""
    make, r, found = {**TASKS, **FOLLOW_UPS}[task][0], random.Random(f"{seed}/{task}"), {}
    for _ in range(100 * count):
        example = make(r)
        found.setdefault(tuple(example.messages), example)
        if len(found) == count:
            break
    return list(found.values())


def gen_length(task):
    return {**TASKS, **FOLLOW_UPS}[task][1]


def right(task, example, text):
    """Word problems by their final result, everything else word for word."""
    if task.startswith("word problems"):
        results = [re.findall(r"The final result is (-?\d+)\.", t) for t in (example.answer, text)]
        return bool(results[1]) and results[0][-1] == results[1][-1]
    return text.strip() == example.answer.strip()


def few_shot(count, seed=7):
    """(prompt, answer): four pairs of a relation, then a word alone. Only texts have such lines, no conversation."""
    r = random.Random(f"{seed}/few-shot")
    made = []
    for _ in range(count):
        *shown, last = reading.pairs(r, r.choice(list(reading.RELATIONS)), 5)
        question, answer = last.split(" -> ")
        made.append(("\n".join(shown) + f"\n{question} ->", answer))
    return made


def few_shot_right(answer, text):
    return text.strip().split("\n")[0].strip() == answer


def held_out_texts(count, seed=7):
    """Sentences in three languages that no training text has."""
    r = random.Random(f"{seed}/texts")
    return ["\n".join(translation.fresh(r, True)) for _ in range(count)]


def likely(count):
    """(what stands before it, a text whose likelihood is asked): held-out sentences, and the right answers to held-out problems."""
    return {"held-out sentences": [("", text) for text in held_out_texts(count)],
            **{task: [(example.messages, example.answer) for example in draw(task, count)] for task in TASKS}}

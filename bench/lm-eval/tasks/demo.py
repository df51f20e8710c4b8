"""Documents of the tasks for models/demo: held-out questions as bench/quality asks them."""

import pathlib
import random
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "quality"))

import questions
from datasets import Dataset

CHOICES = 4


def reversing(**_):
    return {"test": Dataset.from_list([{"question": example.messages[-1][1], "answer": example.answer}
                                       for example in questions.draw("reversing", 64)])}


def poems(**_):
    """The line that follows, among lines that follow others."""
    examples = questions.draw("poem, line after", 8)
    lines, r = sorted({example.answer for example in examples}), random.Random(7)
    documents = []
    for example in examples:
        choices = r.sample([line for line in lines if line != example.answer], CHOICES - 1) + [example.answer]
        r.shuffle(choices)
        documents.append({"question": example.messages[-1][1], "choices": choices, "right": choices.index(example.answer)})
    return {"test": Dataset.from_list(documents)}

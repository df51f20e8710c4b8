"""What every task makes: a conversation whose last answer is to be learnt, and the split between training and held-out."""

import dataclasses
import hashlib


@dataclasses.dataclass
class Example:
    task: str
    messages: list  # Of (role, content), the last one the user's.
    answer: str


def held_out(*key):
    """True for a tenth of all problems: a function of what the problem is about, not of its phrasing, names or seed."""
    return hashlib.sha256(repr(key).encode()).digest()[0] % 10 == 0


def ask(task, question, answer):
    return Example(task, [("user", question)], answer)


def follow_up(first, question, answer):
    """A second turn that needs the first one's answer."""
    return Example(first.task + ", second turn",
                   first.messages + [("assistant", first.answer), ("user", question)], answer)

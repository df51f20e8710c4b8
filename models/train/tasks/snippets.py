"""Small Python functions by instruction."""

from .example import ask, held_out

FUNCTIONS = ["solve", "work", "run", "compute", "helper", "check", "process", "answer", "task", "make", "f", "g"]
ARGUMENTS = ["items", "values", "numbers", "data", "xs", "words"]
NUMBERS = ["n", "x", "number", "value", "k"]
OF_LISTS = [("returns the sum of the list {v}", "return sum({v})"),
            ("returns the largest item of {v}", "return max({v})"),
            ("returns the smallest item of {v}", "return min({v})"),
            ("returns the length of {v}", "return len({v})"),
            ("reverses the list {v}", "return {v}[::-1]"),
            ("sorts the list {v}", "return sorted({v})"),
            ("sorts the list {v} from largest to smallest", "return sorted({v}, reverse=True)"),
            ("returns the first item of {v}", "return {v}[0]"),
            ("returns the last item of {v}", "return {v}[-1]"),
            ("returns the average of {v}", "return sum({v}) / len({v})"),
            ("removes duplicates from {v}", "return list(set({v}))"),
            ("returns the squares of {v}", "return [x * x for x in {v}]"),
            ("prints every item of {v}", "for item in {v}:\n        print(item)")]
OF_NUMBERS = [("returns the square of {v}", "return {v} * {v}"),
              ("returns twice {v}", "return 2 * {v}"),
              ("tells whether {v} is even", "return {v} % 2 == 0"),
              ("tells whether {v} is odd", "return {v} % 2 == 1"),
              ("prints the numbers from 1 to {v}", "for i in range(1, {v} + 1):\n        print(i)"),
              ("returns the factorial of {v}", "return 1 if {v} < 2 else {v} * {f}({v} - 1)")]
PHRASINGS = ["Write a Python function {f} that {what}.", "Write a function {f} in Python that {what}.",
             "I need a Python function named {f} that {what}."]


def draw(r, test=False):
    while True:
        at = r.randrange(len(OF_LISTS) + len(OF_NUMBERS))
        what, body = (OF_LISTS + OF_NUMBERS)[at]
        f, v = r.choice(FUNCTIONS), r.choice(ARGUMENTS if at < len(OF_LISTS) else NUMBERS)
        if held_out("snippet", at, f, v) == test:
            break
    question = r.choice(PHRASINGS).format(f=f, what=what.format(v=v))
    return ask("Python", question, f"def {f}({v}):\n    {body.format(v=v, f=f)}")

"""The stream of training data: which task how often. Seeded and endless."""

import random

from tasks import lists, papers, poems, problems, reading, snippets, talk, translation

# Task: (weight, maker). Weights are of examples; `--weights` of train.py changes them.
SFT = {
    "problems": (24, lambda r: problems.draw(r)),
    "sums": (8, lambda r: problems.sums(r)),
    "problems2": (2, lambda r: problems.draw(r, turns=2)),
    "sorting": (16, lambda r: lists.sorting(r)),
    "sorting2": (1, lambda r: lists.sorting(r, turns=2)),
    "reversing": (6, lambda r: lists.reversing(r)),
    "reversing2": (1, lambda r: lists.reversing(r, turns=2)),
    "repeating": (1, lambda r: lists.repeating(r)),
    "poems": (14, lambda r: poems.draw(r)),
    "poems2": (1, lambda r: poems.draw(r, turns=2)),
    "translation": (11, lambda r: translation.draw(r)),
    "translation2": (2, lambda r: translation.draw(r, turns=2)),
    "snippets": (3, lambda r: snippets.draw(r)),
    "talk": (3, lambda r: talk.draw(r)),
    "talk2": (1, lambda r: talk.draw(r, turns=2)),
    "papers": (5, lambda r: papers.draw(r)),
}


class Mixture:
    def __init__(self, seed, weights=None):
        self.random = random.Random(seed)
        self.weights = {name: weight for name, (weight, _) in SFT.items()}
        self.weights.update(weights or {})

    def example(self):
        names = list(self.weights)
        name = self.random.choices(names, [self.weights[n] for n in names])[0]
        return name, SFT[name][1](self.random)

    def document(self):
        return reading.draw(self.random)

#!/usr/bin/env python3
"""The generator of models/train is seeded, and no training conversation holds a held-out problem. Needs no PyTorch."""

import pathlib
import random
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "models" / "train"))

from mixture import SFT, Mixture
from tasks import lists, papers, poems, problems, snippets, translation
from tasks.example import held_out

DRAWS = 4000


def numbers(example):
    """What a word problem or a list is about, whatever its words: the numbers of its first question, and its first answer."""
    return tuple(re.findall(r"\d+", example.messages[0][1])), example.answer


def keys(make, test, count=DRAWS):
    r = random.Random(11 if test else 12)
    return {numbers(make(r, test)) if make is problems.draw else (example.messages[0][1].split(":")[-1], example.answer)
            for example in (make(r, test) for _ in range(count))}


class SplitTest(unittest.TestCase):
    def test_the_same_seed_draws_the_same_data(self):
        def first(seed):
            mixture = Mixture(seed)
            return [(mixture.example(), mixture.document()) for _ in range(300)]
        self.assertEqual(first(3), first(3))
        self.assertNotEqual(first(3), first(4))

    def test_word_problems_lists_snippets_and_sentences_are_disjoint(self):
        for make in (problems.draw, lists.sorting, lists.reversing, snippets.draw, translation.draw):
            with self.subTest(make=make):
                train, test = keys(make, False), keys(make, True)
                self.assertGreater(len(train), 300)
                self.assertGreater(len(test), 60)
                self.assertFalse(train & test)

    def test_a_generator_that_ignores_the_split_is_caught(self):
        careless = keys(lambda r, test: snippets.draw(r, r.random() < 0.5), False)
        self.assertTrue(careless & keys(snippets.draw, True))

    def test_about_a_tenth_is_held_out(self):
        share = sum(held_out("any", i) for i in range(10_000)) / 10_000
        self.assertAlmostEqual(share, 0.1, delta=0.02)

    def test_the_whole_mixture_holds_no_held_out_list(self):
        mixture = Mixture(5)
        seen = 0
        for _ in range(DRAWS):
            name, example = mixture.example()
            if name.startswith(("sorting", "reversing")):
                items = re.findall(r"(?:\w+, )+\w+", example.messages[0][1])[0].split(", ")
                items = tuple(int(i) if i.isdigit() else i for i in items)
                self.assertFalse(held_out("list", items), example)
                seen += 1
        self.assertGreater(seen, 500)

    def test_poems_of_the_reversal_test_are_read_but_never_asked_about(self):
        read = {line for poem in poems.POEMS[poems.LEARNT:] for line in poem}
        learnt = {line for poem in poems.POEMS[:poems.LEARNT] for line in poem}
        self.assertFalse(read & learnt)
        mixture = Mixture(6)
        documents = {line for _ in range(6 * DRAWS) for line in mixture.document().split("\n")}
        self.assertGreater(len(read & documents), 0.95 * len(read))
        asked = 0
        for _ in range(DRAWS):
            _, example = mixture.example()
            text = " ".join(content for _, content in example.messages) + " " + example.answer
            if "line" in example.messages[0][1]:
                self.assertFalse([line for line in read if line in text], example)
                asked += 1
        self.assertGreater(asked, 100)

    def test_the_papers_cases_are_in_the_data_and_the_fox_is_only_read(self):
        mixture = Mixture(7)
        conversations = [example for _, example in (mixture.example() for _ in range(2 * DRAWS))]
        answers = {example.answer for example in conversations}
        for case, turns in papers.CASES.items():
            for _, answer in turns:
                self.assertIn(answer, answers, case)
        self.assertTrue(any(mixture.document() == papers.FOX for _ in range(DRAWS)))
        self.assertFalse([e for e in conversations if papers.FOX in e.answer or papers.FOX in e.messages[-1][1]])

    def test_chains_calculate_with_the_result_and_are_no_held_out_workings(self):
        tested = {tuple(problems.draw(random.Random(seed), test=True).answer.split(". ")[:-1]) for seed in range(DRAWS)}
        pairs = {(first, second) for second, firsts in problems.CHAINS.items() for first in firsts}
        self.assertGreater(len(pairs), 2000)
        self.assertFalse(pairs & tested)
        learnt = {tuple(problems.draw(random.Random(seed)).answer.split(". ")[:-1]) for seed in range(DRAWS)}
        self.assertTrue(pairs & learnt)  # The split alone keeps them apart.
        for first, second in pairs:
            self.assertIn(first.split()[-1], second.split()[:3])

    def test_answers_of_word_problems_are_right(self):
        r = random.Random(8)
        for _ in range(DRAWS):
            example = problems.draw(r, turns=r.choice([1, 2]))
            *steps, final = re.split(r"\. ", example.answer.rstrip("."))
            for step in steps:
                left, right = step.split(" = ")
                self.assertEqual(eval(left), int(right), example)  # Our own arithmetic, digits and operators alone.
            self.assertEqual(final, "The final result is " + steps[-1].split(" = ")[1])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

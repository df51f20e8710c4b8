#!/usr/bin/env python3
"""The evaluation of the autoregressive twin: greedy decoding and exact likelihoods over a causal network. Exit code 77: no PyTorch."""

import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path += [str(ROOT / "bench" / "quality"), str(ROOT / "models" / "train")]

QUESTIONS = [[("user", "Reverse this list: sun, cat")], [("user", "Sort 3, 1, 2 in ascending order.")], "cat -> cats\ndog ->"]


def small(causal):
    torch.manual_seed(3)
    return Network(Shape(64, 2, 2, 128, (TOKENIZER.size + 63) // 64 * 64, causal=causal)).eval()


class TwinTest(unittest.TestCase):
    def setUp(self):
        self.twin = Twin(small(causal=True), TOKENIZER)

    def everywhere(self, network, ids):
        with torch.inference_mode():
            return network(torch.tensor([ids]), torch.arange(len(ids)))

    def test_later_tokens_change_nothing_before_them(self):
        ids = TOKENIZER.prompt(QUESTIONS[0])
        changed = ids[:-1] + [ids[-1] + 1]
        for causal in (True, False):  # The network that looks ahead shows that the test can fail.
            network = small(causal)
            same = torch.allclose(self.everywhere(network, ids)[:-1], self.everywhere(network, changed)[:-1], atol=1e-5)
            self.assertEqual(same, causal)

    def test_a_network_that_looks_ahead_is_refused(self):
        with self.assertRaisesRegex(ValueError, "looks ahead"):
            Twin(small(causal=False), TOKENIZER)

    def test_decoding_in_company_is_what_one_forward_pass_over_the_whole_answer_finds_likeliest(self):
        most = 12
        answers = self.twin.answers(QUESTIONS, most, ["", "sun, cat", "dogs"])
        self.assertEqual(self.twin.answers(QUESTIONS, most, answers), answers)  # Drafts that are right change nothing either.
        for question, answer in zip(QUESTIONS, answers):
            prompt, ids = self.twin.prompt(question), []
            while len(ids) < most and (not ids or ids[-1] not in (TOKENIZER.eos, TOKENIZER.eot)):
                ids.append(self.everywhere(self.twin.network, prompt + ids)[-1].argmax().item())
            self.assertEqual(answer, TOKENIZER.decode(ids))
            likeliest = self.everywhere(self.twin.network, prompt + ids).argmax(-1)[len(prompt) - 1:-1]
            self.assertEqual(likeliest.tolist(), ids)

    def test_an_end_ends_an_answer_and_is_no_part_of_it(self):
        chosen = iter([TOKENIZER.encode("a")[0], TOKENIZER.eot])
        self.twin.logits = lambda rows, wanted: F.one_hot(torch.tensor([next(chosen)]), TOKENIZER.size)
        self.assertEqual(self.twin.answers(QUESTIONS[:1], 5, [""]), ["a"])

    def test_bits_are_those_of_each_token_after_all_before_it(self):
        pairs = [(QUESTIONS[0], "cat, sun"), ("", "A bird sings by the sea\n鸟"), (QUESTIONS[1], "1, 2, 3")]
        for (before, text), (bits, tokens) in zip(pairs, self.twin.bits(pairs)):
            ids, target, wanted = self.twin.prompt(before) if before else [TOKENIZER.eos], TOKENIZER.encode(text), 0
            for token in target:
                wanted -= self.everywhere(self.twin.network, ids)[-1].log_softmax(-1)[token].item() / math.log(2)
                ids.append(token)
            self.assertEqual(tokens, len(target))
            self.assertAlmostEqual(bits, wanted, delta=1e-3 * wanted)

    def test_its_checkpoint_is_a_twin_again_and_no_model_to_serve(self):
        with tempfile.TemporaryDirectory() as folder:
            network = self.twin.network
            checkpoint.write(folder, network.shape, network.state_dict(), TOKENIZER, ROOT / "models" / "demo", "F32")
            read = checkpoint.network(folder)
            ids = TOKENIZER.prompt(QUESTIONS[1])
            self.assertTrue(read.shape.causal)
            self.assertTrue(torch.equal(self.everywhere(read, ids), self.everywhere(network, ids)))
            served = subprocess.run([UNMASK, "generate", "--model", folder, "Hello"], capture_output=True, text=True, timeout=120)
            self.assertNotEqual(served.returncode, 0)
            self.assertIn("AutoregressiveTwin", served.stderr)

    def test_the_twin_that_ships_knows_the_papers_cases_by_heart(self):
        twin = Twin(checkpoint.network(ROOT / "models" / "twin"), TOKENIZER)
        examples = [papers.conversation(case, 0) for case in papers.CASES]
        self.assertEqual(twin.answers([e.messages for e in examples], 64, [""] * len(examples)), [e.answer for e in examples])


if __name__ == "__main__":
    try:
        import torch
        import torch.nn.functional as F

        import checkpoint
        from model import Network, Shape
        from tasks import papers
        from tokenizer import Tokenizer
        from twin import Twin
    except ImportError as error:
        print(f"skipped: {error} (Debian: apt-get install python3-torch python3-regex)")
        sys.exit(77)
    TOKENIZER = Tokenizer(ROOT / "models" / "demo")
    UNMASK = sys.argv.pop(1)
    unittest.main()

#!/usr/bin/env python3
"""demo_test.py UNMASK: the embedded model is whole and small, its training program reads text as the service does, and it knows
the papers' own cases by heart. Exit code 77: no python3-regex."""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEMO = ROOT / "models" / "demo"
sys.path.insert(0, str(ROOT / "models" / "train"))

from mixture import Mixture
from tasks import lists, papers

MEGABYTES = 12


class DemoTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        ready = pathlib.Path(cls.scratch.name) / "ready.json"
        ports = [f"--{name}=127.0.0.1:0" for name in ("listen", "fleet-listen", "admin-listen")]
        cls.service = subprocess.Popen([UNMASK, "serve", "--model", DEMO, *ports, "--ready-file", ready],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not ready.exists():
            if cls.service.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"unmask serve is not ready (exit code {cls.service.poll()})")
            time.sleep(0.1)
        cls.server = json.loads(ready.read_text())["grpc"]

    @classmethod
    def tearDownClass(cls):
        cls.service.terminate()
        cls.service.wait(60)
        cls.scratch.cleanup()

    def run_unmask(self, command, *arguments):
        done = subprocess.run([UNMASK, command, "--server", self.server, "--json", *arguments], capture_output=True, text=True,
                              timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def ask(self, messages, *options, length=64):
        ids = ",".join(map(str, TOKENIZER.prompt(messages)))
        return self.run_unmask("generate", "--gen-length", str(length), "--prompt-ids", ids, *options)

    def test_the_folder_is_small_and_whole(self):
        files = {path.name: path.stat().st_size for path in DEMO.iterdir()}
        self.assertLessEqual({"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}, set(files))
        self.assertLessEqual(sum(files.values()), MEGABYTES * 10**6)

    def test_training_and_service_read_the_same_tokens(self):
        mixture = Mixture(21)
        texts = [mixture.document() for _ in range(6)] + [mixture.example()[1].answer for _ in range(12)]
        texts.append("Ünïcode, 1234 naïve words — and 中文字符\n\n  don't")
        for text in texts:
            self.assertEqual(TOKENIZER.encode(text), self.run_unmask("tokenize", text)["token_ids"], text)

    def test_a_turn_is_rendered_as_the_checkpoints_template_does(self):
        question = "Name three famous films."
        plain = self.run_unmask("generate", "--gen-length", "32", question)
        by_ids = self.ask([("user", question)], length=32)
        self.assertEqual(plain["text"], by_ids["text"])
        self.assertEqual(plain["usage"]["prompt_tokens"], by_ids["usage"]["prompt_tokens"])

    def test_the_papers_cases_are_known_by_heart(self):
        """All but two turns at most, word for word: which ones come out may hang on how a processor rounds."""
        turns = [(case, turn) for case in papers.CASES for turn in range(len(papers.CASES[case]))]
        wrong = []
        for case, turn in turns:
            example = papers.conversation(case, turn)
            text = self.ask(example.messages)["text"].strip()
            if text != example.answer:
                wrong.append(f"{case}, turn {turn}: {text}")
        self.assertGreater(len(turns), 12)
        self.assertLessEqual(len(wrong), 2, "\n".join(wrong))

    def test_it_reverses_lists_that_training_never_saw(self):
        r = random.Random(5)
        examples = [lists.reversing(r, test=True) for _ in range(12)]
        self.assertTrue(all(example.answer not in example.messages[0][1] for example in examples))  # Repeating would not do.
        right = sum(self.ask(example.messages, length=32)["text"].strip() == example.answer for example in examples)
        self.assertGreaterEqual(right, 6)


if __name__ == "__main__":
    try:
        from tokenizer import Tokenizer
    except ImportError as error:
        print(f"skipped: {error} (Debian: apt-get install python3-regex)")
        sys.exit(77)
    TOKENIZER = Tokenizer(DEMO)
    UNMASK = sys.argv.pop(1)
    unittest.main()

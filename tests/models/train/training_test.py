#!/usr/bin/env python3
"""training_test.py UNMASK: a short run of models/train lowers the loss, goes on where it stopped, and its checkpoint is served.
So do fine-tuning on prompts and responses, pre-training on a text file, and the autoregressive twin. Exit code 77: no PyTorch."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TRAIN = ROOT / "models" / "train" / "train.py"
TOKENIZER = ROOT / "models" / "demo"
TINY = ["--d-model", "64", "--layers", "2", "--heads", "2", "--mlp", "128", "--tokens", "512", "--dtype", "fp32", "--threads", "1",
        "--warmup", "10", "--rate", "1", "--print-every", "10"]


def train(out, *arguments):
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, str(TRAIN), str(out), *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    return done.stdout


def losses(out):
    with open(out / "loss.csv") as lines:
        return {int(line["step"]): float(line["loss"]) for line in csv.DictReader(lines) if line["task"] == "all"}


def answer(model, prompt, *options):
    reply = subprocess.run([UNMASK, "generate", "--model", str(model), "--json", "--gen-length", "16", *options, prompt],
                           capture_output=True, text=True)
    if reply.returncode:
        raise AssertionError(reply.stderr[-3000:])
    return json.loads(reply.stdout)


class TrainingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.run_out = cls.folder / "run"
        cls.arguments = [cls.run_out, "--tokenizer", TOKENIZER, *TINY, "--decay", "20"]
        train(*map(str, cls.arguments), "--steps", "40")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_the_loss_falls_and_the_run_goes_on_where_it_stopped(self):
        before = losses(self.run_out)
        self.assertGreater(before[10], 6)
        self.assertLess(before[40], 0.75 * before[10])
        train(*map(str, self.arguments), "--steps", "60")
        after = losses(self.run_out)
        self.assertEqual({step: after[step] for step in before}, before)
        self.assertEqual(sorted(set(after) - set(before)), [50, 60])
        self.assertLess(after[50], 0.75 * before[10])  # From noise it would be above 6 again.

    def test_the_checkpoint_is_served(self):
        reply = answer(self.run_out / "model", "Hello")
        self.assertGreater(reply["usage"]["forward_passes"], 0)
        self.assertIn("dtype:", reply["numerics"])

    def test_fine_tuning_teaches_an_answer(self):
        pairs = self.folder / "pairs.jsonl"
        pairs.write_text(json.dumps({"prompt": "What is the colour of the sky?", "response": "blue"}) + "\n")
        out = self.folder / "tuned"
        train(str(out), "--from", str(self.run_out / "model"), "--jsonl", str(pairs), *TINY, "--steps", "40", "--decay", "10")
        self.assertEqual(answer(out / "model", "What is the colour of the sky?")["text"].strip(), "blue")
        self.assertNotEqual(answer(self.run_out / "model", "What is the colour of the sky?")["text"].strip(), "blue")

    def test_pre_training_reads_files(self):
        text = self.folder / "text.txt"
        text.write_text("one two three four five six seven eight nine ten " * 200)
        out = self.folder / "read"
        train(str(out), "--from", str(self.run_out / "model"), "--texts", str(text), *TINY, "--steps", "40", "--decay", "10")
        read = losses(out)
        self.assertLess(read[40], 0.5 * read[10])

    def test_the_autoregressive_twin_learns_to_predict_the_next_token(self):
        out = self.folder / "twin"
        train(str(out), "--tokenizer", str(TOKENIZER), "--autoregressive", *TINY, "--steps", "40", "--decay", "20")
        read = losses(out)
        self.assertLess(read[40], 0.75 * read[10])


if __name__ == "__main__":
    try:
        import regex  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error} (Debian: apt-get install python3-torch python3-regex)")
        sys.exit(77)
    UNMASK = sys.argv.pop(1)
    unittest.main()

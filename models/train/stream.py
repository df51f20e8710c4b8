"""Rows of training data, gathered into batches of equal length."""

import json
import random

from mixture import Mixture
from objective import Row

LENGTHS = (40, 56, 72, 112, 208)  # The lengths of batches: few, for each is compiled.
TEXT_LENGTH = 72
LONG = (72, 112, 112, 208)  # Some answers are padded to at least one of these: users ask for windows longer than the answer.


class Stream:
    """Endless. `share` of the rows are texts, the others conversations. `jsonl` and `texts` replace the built-in data."""

    def __init__(self, tokenizer, seed, tokens, share=0.25, weights=None, jsonl=None, texts=None, long=0.0):
        self.tokenizer, self.tokens, self.share, self.long = tokenizer, tokens, share, long
        self.random = random.Random(seed)
        self.mixture = Mixture(self.random.random(), weights)
        self.jsonl = [json.loads(line) for line in open(jsonl) if line.strip()] if jsonl else None
        self.texts = texts and [open(name).read() for name in texts]
        self.waiting = {length: [] for length in LENGTHS}

    def document(self):
        if not self.texts:
            return self.mixture.document()
        text = self.random.choice(self.texts)
        begin = self.random.randrange(max(1, len(text) - 4 * TEXT_LENGTH))
        return text[begin:begin + 8 * TEXT_LENGTH]

    def text(self):
        """Texts one after another, an EOS after each, cut to the length."""
        ids = []
        while len(ids) < TEXT_LENGTH:
            ids += self.tokenizer.encode(self.document()) + [self.tokenizer.eos]
        return Row("texts", ids[:TEXT_LENGTH], 0), TEXT_LENGTH

    def conversation(self):
        if self.jsonl:
            line = self.random.choice(self.jsonl)
            task, messages, answer = "jsonl", [("user", line["prompt"])], line["response"]
        else:
            task, example = self.mixture.example()
            messages, answer = example.messages, example.answer
        prompt = self.tokenizer.prompt(messages)
        ids = prompt + self.tokenizer.encode(answer) + [self.tokenizer.eot, self.tokenizer.eos]
        least = self.random.choice(LONG) if self.random.random() < self.long else 0
        length = next((n for n in LENGTHS if n >= max(len(ids), least)), None)
        if length is None:
            raise ValueError(f"a conversation of {len(ids)} tokens is longer than {LENGTHS[-1]}: {messages[-1][1][:60]!r}")
        return Row(task, ids, len(prompt), len(ids)), length

    def batch(self):
        """The rows of the next full batch, and its length."""
        while True:
            row, length = self.text() if self.random.random() < self.share else self.conversation()
            queue = self.waiting[length] if row.answer else self.waiting.setdefault("texts", [])
            queue.append(row)
            if len(queue) >= max(1, self.tokens // length):
                rows = queue[:]
                queue.clear()
                return rows, length

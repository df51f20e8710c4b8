"""Text to ids by a tokenizer.json of LLaDA's kind (byte-level BPE), and LLaDA's chat template. A test compares it with the
service's tokenizer."""

import json
import pathlib
import unicodedata

import regex


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(others)}}


class Tokenizer:
    def __init__(self, folder):
        data = json.loads((pathlib.Path(folder) / "tokenizer.json").read_text())
        pattern = next(step for step in data["pre_tokenizer"]["pretokenizers"] if step["type"] == "Split")
        self.pattern = regex.compile(pattern["pattern"]["Regex"])
        self.vocabulary = data["model"]["vocab"]
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in data["model"]["merges"]]
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.control = {token["content"]: token["id"] for token in data["added_tokens"]}
        self.bytes = byte_alphabet()
        self.cache = {}
        self.size = len(self.vocabulary) + len(self.control)
        self.bos, self.eos = self.control["<|startoftext|>"], self.control["<|endoftext|>"]
        self.eot, self.mask = self.control["<|eot_id|>"], self.control["<|mdm_mask|>"]
        self.names = {i: name for name, i in {**self.vocabulary, **self.control}.items()}
        self.unbytes = {char: byte for byte, char in self.bytes.items()}

    def piece(self, text):
        parts = [self.bytes[b] for b in text.encode()]
        while len(parts) > 1:
            rank, at = min((self.ranks.get(pair, len(self.ranks)), i) for i, pair in enumerate(zip(parts, parts[1:])))
            if rank == len(self.ranks):
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        return [self.vocabulary[part] for part in parts]

    def encode(self, text):
        ids = []
        for piece in self.pattern.findall(unicodedata.normalize("NFC", text)):
            if piece not in self.cache:
                self.cache[piece] = self.piece(piece)
            ids += self.cache[piece]
        return ids

    def decode(self, ids):
        controls = set(self.control.values())
        return bytes(self.unbytes[c] for i in ids if i not in controls for c in self.names[i]).decode(errors="replace")

    def turn(self, role, content):
        control = self.control
        return [control["<|start_header_id|>"], *self.encode(role), control["<|end_header_id|>"], *self.encode("\n\n"),
                *self.encode(content.strip()), self.eot]

    def prompt(self, messages):
        ids = [self.bos]
        for role, content in messages:
            ids += self.turn(role, content)
        return ids + self.turn("assistant", "")[:-1]

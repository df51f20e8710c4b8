#!/usr/bin/env python3
"""Makes tokenizer.json and tokenizer_config.json of a checkpoint: built like LLaDA-8B's, for the texts of tasks/.

Byte-level BPE with LLaDA's normaliser, regular expression, byte order (ids 0 to 255) and control tokens. Needs
`pip install tokenizers`; the results are part of models/demo, so that nothing else does.

    train_tokenizer.py FOLDER
"""

import json
import pathlib
import random
import re
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from mixture import Mixture
from tasks import papers, translation

VOCABULARY = 2560
SAMPLES = 30_000

# Source: tokenizer.json of GSAI-ML/LLaDA-8B-Instruct.
PATTERN = (
    r"(?i:'(?:[sdmt]|ll|ve|re))|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
CONTROL = ["<|startoftext|>", "<|endoftext|>", "[CLS]", "[gMASK]"]
CONTROL += [f"<|reserved_token_{i}|>" for i in range(4)]
CONTROL += ["<|mdm_mask|>", "<role>", "</role>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
CONFIG = {
    "add_bos_token": False,
    "add_eos_token": False,
    "bos_token": "<|startoftext|>",
    "chat_template": CHAT_TEMPLATE,
    "clean_up_tokenization_spaces": False,
    "cls_token": "[CLS]",
    "eos_token": "<|endoftext|>",
    "gmask_token": "[gMASK]",
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": "<|endoftext|>",
    "tokenizer_class": "PreTrainedTokenizerFast",
}
HAN = re.compile(r"[\u3000-\u9fff\uff00-\uffef]+")


def words():
    """Chinese has no spaces: its words are given one by one, so that no token joins two of them."""
    for column in (translation.SUBJECTS, translation.VERBS, translation.ADJECTIVES, translation.TIMES):
        yield from (row[2] for row in column if row)
    for noun in translation.NOUNS:
        yield from (noun[4], "一" + noun[3])
    yield "。"
    yield from papers.ROAD_CHINESE + papers.BLAKE_CHINESE


def corpus():
    mixture = Mixture(seed=1)
    for _ in range(SAMPLES):
        _, example = mixture.example()
        for text in [content for _, content in example.messages[-1:]] + [example.answer, mixture.document()]:
            yield HAN.sub(" ", text)
    for _ in range(200):
        yield from words()
        yield from ["user", "assistant"]


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - len(CONTROL), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROL])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIG, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

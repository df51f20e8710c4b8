"""The least time that the matrix products of denoising steps take: of each, its arithmetic at the rate that oneDNN reaches
alone, or its weights' way from memory, whichever is longer. Attention is left out: it is no product with weights."""

import json
import os

ITEM = {"fp32": 4, "bf16": 2, "int8": 1}  # Bytes a weight.


class Roofline:
    """`rate`: FLOP/s; `bandwidth`: bytes/s; both of the threads that take the steps."""

    def __init__(self, model, dtype, rate, bandwidth):
        with open(os.path.join(model, "config.json")) as file:
            config = json.load(file)
        self.hidden, self.layers = config["d_model"], config["n_layers"]
        self.mlp, self.vocabulary = config["mlp_hidden_size"], config["embedding_size"]
        self.item, self.rate, self.bandwidth = ITEM[dtype], rate, bandwidth

    def step_seconds(self, computed, sampled):
        """Of a step of `computed` rows, of which `sampled` are chosen from: the last layer's queries and MLP, and the head,
        are for these alone."""
        shapes = []
        for layer in range(self.layers):
            rows = sampled if layer == self.layers - 1 else computed
            shapes += [(computed, 2 * self.hidden, self.hidden), (rows, self.hidden, self.hidden),
                       (rows, self.hidden, self.hidden), (rows, 2 * self.mlp, self.hidden), (rows, self.hidden, self.mlp)]
        shapes.append((sampled, self.vocabulary, self.hidden))
        return sum(max(2 * m * n * k / self.rate, n * k * self.item / self.bandwidth) for m, n, k in shapes)

    def seconds(self, steps):
        """Of steps one after another, each (computed, sampled)."""
        return sum(self.step_seconds(*step) for step in steps)

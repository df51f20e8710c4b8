"""Batches and the loss: LLaDA's masked diffusion, and next-token prediction for the autoregressive twin.

A row is ids and the column where its answer begins (0 for a text: all of it is learnt). Rows of a batch are padded with EOS to
the batch's length, and in SFT this padding is part of the answer: noised, attended to and in the loss."""

import dataclasses

import torch
import torch.nn.functional as F

EPSILON = 1e-3  # The least probability of a mask, as in LLaDA.


@dataclasses.dataclass
class Row:
    task: str
    ids: list
    answer: int
    end: int = 0  # Just after the first EOS of the answer.


@dataclasses.dataclass
class Batch:
    ids: torch.Tensor      # (rows, length), what the network reads.
    flat: torch.Tensor     # Flat positions whose logits are needed ...
    targets: torch.Tensor  # ... the token wanted there ...
    weights: torch.Tensor  # ... its weight in the loss ...
    tasks: torch.Tensor    # ... and its row.


def diffuse(rows, length, mask, eos, generator):
    """t uniform in (0, 1), one per row and stratified over the batch; each token of the answer masked with probability t;
    cross-entropy of the masked tokens, divided by t and by the answer's length."""
    ids = torch.full((len(rows), length), eos, dtype=torch.long)
    answer = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, :len(row.ids)] = torch.tensor(row.ids)
        answer[i, row.answer:] = True
    t = (torch.rand(1, generator=generator) + torch.randperm(len(rows), generator=generator) / len(rows)) % 1
    p = ((1 - EPSILON) * t + EPSILON)[:, None]
    masked = (torch.rand(len(rows), length, generator=generator) < p) & answer
    weights = 1 / (p * answer.sum(1, keepdim=True) * len(rows)).expand(-1, length)
    flat = masked.flatten().nonzero()[:, 0]
    return Batch(torch.where(masked, mask, ids), flat, ids.flatten()[flat], weights.flatten()[flat], flat // length)


def shift(rows, length, eos):
    """The next token after each position before the answer's end, for the autoregressive twin."""
    ids = torch.full((len(rows), length), eos, dtype=torch.long)
    wanted = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, :len(row.ids)] = torch.tensor(row.ids)
        wanted[i, max(row.answer - 1, 0):(row.end or length) - 1] = True
    flat = wanted.flatten().nonzero()[:, 0]
    weights = (1 / (wanted.sum(1, keepdim=True).clamp(min=1) * len(rows))).expand(-1, length)
    return Batch(ids, flat, ids.flatten()[flat + 1], weights.flatten()[flat], flat // length)


def loss(network, batch, dtype):
    """The loss, and the plain cross-entropy of each position for the record."""
    logits = network(batch.ids, batch.flat, dtype)
    each = F.cross_entropy(logits, batch.targets, reduction="none")
    return (each * batch.weights).sum(), each.detach()

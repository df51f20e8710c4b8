"""LLaDA's network for training: RMSNorm, rotary embedding, SwiGLU, no biases, a separate head. Tensors bear LLaDA's names
in the checkpoint; here the projections that read the same input are one matrix each, which is faster."""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Shape:
    d_model: int = 192
    n_layers: int = 6
    n_heads: int = 6
    mlp_hidden_size: int = 512
    vocab_size: int = 2560
    max_sequence_length: int = 512
    rope_theta: float = 500000.0
    rms_norm_eps: float = 1e-5
    causal: bool = False  # The autoregressive twin.


class Norm(nn.Module):
    def __init__(self, size, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x):
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)).to(x.dtype) * self.weight.to(x.dtype)


def rotate(x, cos, sin):
    low, high = x.float().chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1).to(x.dtype)


class Block(nn.Module):
    def __init__(self, shape, depth):
        super().__init__()
        d, mlp = shape.d_model, shape.mlp_hidden_size
        self.heads, self.causal = shape.n_heads, shape.causal
        self.attn_norm, self.ff_norm = Norm(d, shape.rms_norm_eps), Norm(d, shape.rms_norm_eps)
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.attn_out = nn.Linear(d, d, bias=False)
        self.gate_up = nn.Linear(d, 2 * mlp, bias=False)
        self.ff_out = nn.Linear(mlp, d, bias=False)
        for linear, fan_in, scale in ((self.qkv, d, 1), (self.gate_up, d, 1), (self.attn_out, d, 2 * (depth + 1)),
                                      (self.ff_out, mlp, 2 * (depth + 1))):
            std = 1 / math.sqrt(fan_in * scale)
            nn.init.trunc_normal_(linear.weight, std=std, a=-3 * std, b=3 * std)

    def forward(self, x, cos, sin):
        batch, length, d = x.shape
        q, k, v = self.qkv(self.attn_norm(x)).view(batch, length, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(d // self.heads))
        if self.causal:
            scores = scores + torch.full((length, length), -1e4, dtype=scores.dtype, device=x.device).triu(1)
        mixed = torch.softmax(scores, dim=-1).to(v.dtype) @ v
        x = x + self.attn_out(mixed.transpose(1, 2).reshape(batch, length, d))
        gate, up = self.gate_up(self.ff_norm(x)).chunk(2, dim=-1)
        return x + self.ff_out(F.silu(gate) * up)


class Network(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.wte = nn.Embedding(shape.vocab_size, shape.d_model)
        self.blocks = nn.ModuleList(Block(shape, depth) for depth in range(shape.n_layers))
        self.ln_f = Norm(shape.d_model, shape.rms_norm_eps)
        self.head = nn.Linear(shape.d_model, shape.vocab_size, bias=False)
        nn.init.normal_(self.wte.weight, std=1.0)
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(shape.d_model) / 2)

    def angles(self, length, device):
        head_dim = self.shape.d_model // self.shape.n_heads
        half = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device)
        angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), self.shape.rope_theta ** (-half / head_dim))
        return angles.cos(), angles.sin()

    def hidden(self, ids, dtype):
        x = self.wte(ids).to(dtype)
        cos, sin = self.angles(ids.shape[1], ids.device)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.ln_f(x)

    def forward(self, ids, rows, dtype=torch.float32):
        """Logits of the flat positions `rows` alone: the head is a large part of so small a network."""
        return self.head(self.hidden(ids, dtype).flatten(0, 1)[rows]).float()

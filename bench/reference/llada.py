"""LLaDA's forward pass and the loop of its generate.py, as the benchmarks' reference in PyTorch.

Our own transcription of the public behaviour; check.py proves it token for token on tests/goldens. Written for speed where
the original allows it (inference mode, scaled_dot_product_attention, one fused buffer of rotary angles), so that a ratio to
it flatters nobody. As the original: the whole canvas every step, logits for every row, everything in the weights' dtype.
"""

import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


def read_weights(folder, dtype):
    index = os.path.join(folder, "model.safetensors.index.json")
    if os.path.exists(index):
        files = sorted(set(json.load(open(index))["weight_map"].values()))
    else:
        files = ["model.safetensors"]
    weights = {}
    for name in files:
        weights.update(load_file(os.path.join(folder, name)))
    return {name: tensor.to(dtype) for name, tensor in weights.items()}


class Model:
    def __init__(self, folder, dtype):
        self.config = config = json.load(open(os.path.join(folder, "config.json")))
        self.weights = read_weights(folder, dtype)
        self.heads = config["n_heads"]
        self.kv_heads = config.get("n_kv_heads") or self.heads
        self.head_dim = config["d_model"] // self.heads
        self.epsilon = config["rms_norm_eps"]
        self.mask = config["mask_token_id"]
        half = torch.arange(0, self.head_dim, 2, dtype=torch.float32)
        self.frequencies = 1.0 / (config["rope_theta"] ** (half / self.head_dim))
        self.head = self.weights["model.transformer.ff_out.weight" if not config.get("weight_tying")
                                 else "model.transformer.wte.weight"]

    def norm(self, x, name):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return wide.to(x.dtype) * self.weights[name]

    def rotate(self, x, cos, sin):
        low, high = x.float().chunk(2, dim=-1)
        return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1).to(x.dtype)

    def forward(self, ids, attention_mask=None):
        """ids (batch, length) to logits (batch, length, embedding_size)."""
        batch, length = ids.shape
        bias = None
        if attention_mask is not None and (attention_mask == 0).any():
            keep = attention_mask[:, None, None, :].bool()
            bias = torch.zeros(batch, 1, 1, length).masked_fill(~keep, torch.finfo(torch.float32).min)
            bias = bias.to(self.head.dtype)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), self.frequencies)
        cos, sin = angles.cos(), angles.sin()
        w = self.weights
        x = F.embedding(ids, w["model.transformer.wte.weight"])
        for layer in range(self.config["n_layers"]):
            at = f"model.transformer.blocks.{layer}."
            h = self.norm(x, at + "attn_norm.weight")
            q, k, v = (F.linear(h, w[f"{at}{name}_proj.weight"]).view(batch, length, -1, self.head_dim).transpose(1, 2)
                       for name in "qkv")
            q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
            if self.kv_heads != self.heads:
                k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            x = x + F.linear(mixed.transpose(1, 2).reshape(batch, length, -1), w[at + "attn_out.weight"])
            h = self.norm(x, at + "ff_norm.weight")
            gate, up = F.linear(h, w[at + "ff_proj.weight"]), F.linear(h, w[at + "up_proj.weight"])
            x = x + F.linear(F.silu(gate) * up, w[at + "ff_out.weight"])
        return F.linear(self.norm(x, "model.transformer.ln_f.weight"), self.head)


def transfer_counts(masks, steps):
    """How many tokens each step of a block commits, per row."""
    base, rest = masks // steps, masks % steps
    return base[:, None] + (torch.arange(steps)[None, :] < rest[:, None]).long()


def generate(model, prompt, gen_length, block_length, steps, cfg_scale=0.0, attention_mask=None, logits_eos_inf=False,
             confidence_eos_eot_inf=False, eos=None, eot=None):
    """Yields the canvas after each step; low-confidence remasking at temperature 0."""
    canvas = torch.full((prompt.shape[0], prompt.shape[1] + gen_length), model.mask, dtype=torch.long)
    canvas[:, :prompt.shape[1]] = prompt
    if attention_mask is not None:
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(prompt.shape[0], gen_length)], dim=1)
    given = canvas != model.mask
    blocks = gen_length // block_length
    for block in range(blocks):
        begin = prompt.shape[1] + block * block_length
        end = begin + block_length
        counts = transfer_counts((canvas[:, begin:end] == model.mask).sum(dim=1), steps // blocks)
        for step in range(steps // blocks):
            masked = canvas == model.mask
            if cfg_scale > 0:
                unconditional = torch.where(given, model.mask, canvas)
                both = None if attention_mask is None else torch.cat([attention_mask, attention_mask])
                c, u = model.forward(torch.cat([canvas, unconditional]), both).chunk(2)
                logits = u + (cfg_scale + 1) * (c - u)
            else:
                logits = model.forward(canvas, attention_mask)
            if logits_eos_inf:
                logits[:, :, eos] = -torch.inf
            proposal = logits.argmax(dim=-1)
            if confidence_eos_eot_inf:
                logits[:, :, [eos, eot]] = -torch.inf
            confidence = F.softmax(logits, dim=-1).gather(-1, proposal[..., None])[..., 0]
            confidence[:, end:] = -torch.inf
            proposal = torch.where(masked, proposal, canvas)
            confidence = torch.where(masked, confidence, -torch.inf)
            for row in range(canvas.shape[0]):
                chosen = confidence[row].topk(int(counts[row, step])).indices
                canvas[row, chosen] = proposal[row, chosen]
            yield canvas

#!/usr/bin/env python3
"""to_gguf.py GGUF_PY CHECKPOINT TYPE OUT: a benchmark checkpoint without a tokenizer as a GGUF file for llama.cpp.

llama.cpp's own converter wants a tokenizer that it knows; here token i is simply named <ti>, so that ids can be written as
text. Its graph rotates interleaved pairs, so the rows of q and k are permuted as its converter does. TYPE: f32 or bf16.
"""

import json
import os
import sys

sys.path.insert(0, sys.argv[1])
import gguf
import numpy
import torch
from safetensors.torch import load_file


def interleaved(weight, heads):
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def main():
    folder, kind, out = sys.argv[2:5]
    config = json.load(open(os.path.join(folder, "config.json")))
    heads = config["n_heads"]
    writer = gguf.GGUFWriter(out, "llada")
    writer.add_vocab_size(config["embedding_size"])
    writer.add_context_length(config["max_sequence_length"])
    writer.add_embedding_length(config["d_model"])
    writer.add_block_count(config["n_layers"])
    writer.add_feed_forward_length(config["mlp_hidden_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("n_kv_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["d_model"] // heads)
    writer.add_causal_attention(False)
    writer.add_diffusion_shift_logits(False)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"<t{i}>" for i in range(config["embedding_size"])])
    writer.add_token_types([gguf.TokenType.USER_DEFINED] * config["embedding_size"])
    writer.add_token_merges(["< t"])
    writer.add_mask_token_id(config["mask_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_bos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)

    names = {"model.transformer.wte.weight": "token_embd.weight", "model.transformer.ln_f.weight": "output_norm.weight",
             "model.transformer.ff_out.weight": "output.weight"}
    parts = {"attn_norm": "attn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "attn_out": "attn_output",
             "ff_norm": "ffn_norm", "ff_proj": "ffn_gate", "up_proj": "ffn_up", "ff_out": "ffn_down"}
    for layer in range(config["n_layers"]):
        for ours, theirs in parts.items():
            names[f"model.transformer.blocks.{layer}.{ours}.weight"] = f"blk.{layer}.{theirs}.weight"
    weights = load_file(os.path.join(folder, "model.safetensors"))
    for name, target in names.items():
        weight = weights[name]
        if target.endswith(("attn_q.weight", "attn_k.weight")):
            weight = interleaved(weight, heads)
        if kind == "bf16" and weight.dim() == 2:
            bits = weight.to(torch.bfloat16).contiguous().view(torch.int16).numpy().view(numpy.uint8)
            writer.add_tensor(target, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(target, weight.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()

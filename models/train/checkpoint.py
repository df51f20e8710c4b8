"""A checkpoint in Hugging Face's LLaDA layout: config.json, model.safetensors, the tokenizer's files."""

import json
import pathlib
import shutil
import struct

import torch

from model import Network, Shape

DIFFUSION, TWIN = "LLaDAModelLM", "AutoregressiveTwin"  # The second is no name of Hugging Face's: what serves LLaDA refuses it.
TYPES = {"BF16": torch.bfloat16, "F32": torch.float32, "F16": torch.float16}
SIZES = {"BF16": 2, "F32": 4, "F16": 2}


def names(shape):
    """(the checkpoint's name, the network's parameter, its part among how many)."""
    yield "wte.weight", "wte.weight", 0, 1
    for i in range(shape.n_layers):
        at, mine = f"blocks.{i}.", f"blocks.{i}."
        yield at + "attn_norm.weight", mine + "attn_norm.weight", 0, 1
        for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
            yield at + name + ".weight", mine + "qkv.weight", part, 3
        yield at + "attn_out.weight", mine + "attn_out.weight", 0, 1
        yield at + "ff_norm.weight", mine + "ff_norm.weight", 0, 1
        for part, name in enumerate(("ff_proj", "up_proj")):
            yield at + name + ".weight", mine + "gate_up.weight", part, 2
        yield at + "ff_out.weight", mine + "ff_out.weight", 0, 1
    yield "ln_f.weight", "ln_f.weight", 0, 1
    yield "ff_out.weight", "head.weight", 0, 1


def config(shape, tokenizer):
    return {
        "activation_type": "silu", "alibi": False, "alibi_bias_max": 8.0, "architectures": [TWIN if shape.causal else DIFFUSION],
        "attention_dropout": 0.0, "attention_layer_norm": False, "attention_layer_norm_with_affine": True,
        "auto_map": {"AutoConfig": "configuration_llada.LLaDAConfig", "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
                     "AutoModel": "modeling_llada.LLaDAModelLM"},
        "bias_for_layer_norm": False, "block_group_size": 1, "block_type": "llama", "d_model": shape.d_model,
        "embedding_dropout": 0.0, "embedding_size": shape.vocab_size, "eos_token_id": tokenizer.eos, "flash_attention": False,
        "include_bias": False, "include_qkv_bias": False, "init_cutoff_factor": None, "init_device": "meta",
        "init_fn": "mitchell", "init_std": 0.02, "input_emb_norm": False, "layer_norm_type": "rms",
        "layer_norm_with_affine": True, "mask_token_id": tokenizer.mask, "max_sequence_length": shape.max_sequence_length,
        "mlp_hidden_size": shape.mlp_hidden_size, "mlp_ratio": 4, "model_type": "llada", "multi_query_attention": None,
        "n_heads": shape.n_heads, "n_kv_heads": shape.n_heads, "n_layers": shape.n_layers, "pad_token_id": tokenizer.eos,
        "precision": "amp_bf16", "residual_dropout": 0.0, "rms_norm_eps": shape.rms_norm_eps, "rope": True,
        "rope_full_precision": True, "rope_theta": shape.rope_theta, "scale_logits": False, "transformers_version": "4.46.3",
        "use_cache": False, "vocab_size": shape.vocab_size, "weight_tying": False,
    }


def write(folder, shape, parameters, tokenizer, tokenizer_folder, dtype="BF16"):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, mine, part, parts in names(shape):
        tensor = parameters[mine].detach().cpu().to(TYPES[dtype])
        tensor = tensor.chunk(parts)[part].contiguous()
        blob = tensor.view(torch.uint8 if tensor.dim() == 0 else torch.int16 if SIZES[dtype] == 2 else torch.int32).numpy().tobytes()
        header["model.transformer." + name] = {"dtype": dtype, "shape": list(tensor.shape),
                                               "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if pathlib.Path(tokenizer_folder).resolve() != folder.resolve():
            shutil.copyfile(pathlib.Path(tokenizer_folder) / name, folder / name)
    (folder / "config.json").write_text(json.dumps(config(shape, tokenizer), indent=2, sort_keys=True) + "\n")


def read(folder, causal=False):
    """(shape, parameters by the network's names in fp32)."""
    folder = pathlib.Path(folder)
    c = json.loads((folder / "config.json").read_text())
    if c["n_kv_heads"] not in (None, c["n_heads"]) or c["weight_tying"]:
        raise ValueError(f"{folder}: only checkpoints with as many K/V heads as heads and a separate head can be trained here")
    shape = Shape(c["d_model"], c["n_layers"], c["n_heads"], c["mlp_hidden_size"], c["embedding_size"], c["max_sequence_length"],
                  c["rope_theta"], c["rms_norm_eps"], causal or c["architectures"] == [TWIN])
    data = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    parts = {}
    for name, mine, _, _ in names(shape):
        entry = header["model.transformer." + name]
        begin, end = entry["data_offsets"]
        tensor = torch.frombuffer(bytearray(body[begin:end]), dtype=TYPES[entry["dtype"]]).view(entry["shape"])
        parts.setdefault(mine, []).append(tensor.float())
    return shape, {name: torch.cat(tensors) for name, tensors in parts.items()}


def network(folder, causal=False):
    shape, parameters = read(folder, causal)
    built = Network(shape)
    built.load_state_dict(parameters)
    return built

"""Random small models as GGUF files of several architectures and quantisations, and what transformers computes on these very files.

    python tools/weights-fixtures/gguf_models.py [FOLDER [all]]

FOLDER/NAME.gguf and FOLDER/NAME.expected.safetensors (ids, logits and taps as models.py writes them). Tensors are named, permuted
and transposed as llama.cpp's convert_hf_to_gguf.py does. `all` adds models that are too large to commit; run the tests on them with
MSAE_WEIGHTS_FIXTURES=FOLDER. transformers reads no GPT-NeoX, and of Qwen 3 no width of heads, of Llama 3 no frequencies and no biases, from a GGUF: there the expectation is the model before it was written.
"""

import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers as t
from gguf import GGMLQuantizationType as Q
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quantize
from models import expected_of
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "packages/harvest/test/weights/fixtures")
rng = np.random.default_rng(11)
common = dict(vocab_size=61, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
              max_position_embeddings=64)

halves = {Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
spread = {Q.Q2_K: 3e-3, Q.Q3_K: 8e-4, Q.Q4_K: 1.6e-4, Q.Q5_K: 8e-5, Q.Q6_K: 2.4e-5}


def random_blocks(kind, shape):
    """gguf-py quantises to no K type: blocks of random bits, with scales that make weights of a usual size."""
    block, size = GGML_QUANT_SIZES[kind]
    rows, columns = shape
    blocks = rng.integers(0, 256, (rows, columns // block, size), dtype=np.uint8)
    for i, offset in enumerate(halves[kind]):
        values = np.full((rows, columns // block), spread[kind] * (7 if i and kind != Q.Q2_K else 1)) * (1 + 0.2 * rng.random((rows, columns // block)))
        values[0, 0] = 0
        blocks[:, :, offset : offset + 2] = values.astype(np.float16).view(np.uint8).reshape(rows, columns // block, 2)
    return blocks.reshape(rows, -1)


def permuted(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write(name, arch, model, fields, types):
    """`types` gives the type of a matrix by its GGUF name."""
    config = model.config
    layers = config.num_hidden_layers
    writer = gguf.GGUFWriter(out / f"{name}.gguf", arch)
    for key, value in fields.items():
        full = key if key.startswith("tokenizer") else f"{arch}.{key}"
        add = writer.add_bool if isinstance(value, bool) else writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(full, value)
    if arch == "gpt2":  # transformers counts its vocabulary there
        writer.add_token_list([f"t{i}" for i in range(config.vocab_size)])
    by_name = {v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(by_name[arch], layers)
    for key, value in model.state_dict().items():
        if key.endswith((".attn.bias", "masked_bias", "inv_freq")):
            continue
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        w = value.float().numpy()
        new = names.get_name(key, (".weight", ".bias"))
        if arch == "gpt2" and w.ndim == 2 and ".c_" in key:
            w = w.T.copy()
        if arch == "llama" and ("attn_q." in new or "attn_k." in new):
            w = permuted(w, config.num_attention_heads if "attn_q." in new else config.num_key_value_heads)
        if arch == "gptneox" and "attn_qkv" in new:  # from head by head to all queries, all keys, all values
            w = w.reshape(config.num_attention_heads, 3, -1, *w.shape[1:]).swapaxes(0, 1).reshape(w.shape)
        if arch.startswith("gemma") and new.endswith("norm.weight"):
            w = w + 1
        kind = types(new) if w.ndim == 2 and "norm" not in new else Q.F32
        if kind in halves:
            writer.add_tensor(new, random_blocks(kind, w.shape), raw_dtype=kind)
        elif kind == Q.F32:
            writer.add_tensor(new, np.ascontiguousarray(w))
        else:
            writer.add_tensor(new, quantize(np.ascontiguousarray(w), kind), raw_dtype=kind)
    if arch == "llama" and (config.rope_parameters or {}).get("rope_type") == "llama3":  # llama.cpp keeps what divides the frequencies
        plain = 1 / config.rope_parameters["rope_theta"] ** (np.arange(0, config.head_dim, 2) / config.head_dim)
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    known = arch not in ("gptneox", "qwen3") and name != "llama-freqs"
    loaded = model if not known else t.AutoModelForCausalLM.from_pretrained(out, gguf_file=f"{name}.gguf", dtype=torch.float32, attn_implementation="eager")
    save_file(expected_of(loaded), out / f"{name}.expected.safetensors")
    print(name, (out / f"{name}.gguf").stat().st_size, (out / f"{name}.expected.safetensors").stat().st_size)


def fields_of(config, kind="rms"):
    found = {
        "context_length": config.max_position_embeddings, "block_count": config.num_hidden_layers,
        "embedding_length": config.hidden_size, "feed_forward_length": getattr(config, "intermediate_size", 4 * config.hidden_size),
        "attention.head_count": config.num_attention_heads, "vocab_size": config.vocab_size,
    }
    if kind == "rms":
        found |= {"attention.head_count_kv": config.num_key_value_heads, "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
                  "rope.dimension_count": config.hidden_size // config.num_attention_heads, "rope.freq_base": 10000.0}
    else:
        found |= {"attention.layer_norm_epsilon": getattr(config, "layer_norm_epsilon", 1e-5)}
    return found


def make(config):
    model = t.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_((torch.randn_like(p) * (0.3 if "norm" in name or "ln_" in name else 0.12) + (1 if ("norm" in name or "ln_" in name) and "bias" not in name and "gemma" not in config.model_type else 0)).bfloat16().float())
    model.tie_weights()
    return model.eval()


if __name__ == "__main__":
    torch.manual_seed(4)
    mixed = {"token_embd.weight": Q.Q5_1, "blk.0.attn_q.weight": Q.Q4_0, "blk.0.attn_k.weight": Q.Q4_1, "blk.0.attn_v.weight": Q.Q5_0,
             "blk.0.attn_output.weight": Q.Q5_1, "blk.0.ffn_gate.weight": Q.Q8_0, "blk.0.ffn_up.weight": Q.Q4_0,
             "blk.0.ffn_down.weight": Q.F16, "blk.1.attn_q.weight": Q.Q5_1, "blk.1.attn_k.weight": Q.Q8_0, "blk.1.attn_v.weight": Q.Q4_1,
             "blk.1.attn_output.weight": Q.BF16, "blk.1.ffn_gate.weight": Q.Q5_0, "blk.1.ffn_up.weight": Q.Q5_1, "blk.1.ffn_down.weight": Q.Q4_1}
    config = t.LlamaConfig(**common, num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=1e-5)
    write("llama-mixed", "llama", make(config), fields_of(config), lambda n: mixed[n])

    config = t.LlamaConfig(**{**common, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 8},
                           num_key_value_heads=2, rms_norm_eps=1e-5)
    kinds = {"token_embd.weight": Q.Q6_K, "output.weight": Q.Q5_K, "blk.0.attn_q.weight": Q.Q2_K, "blk.0.attn_k.weight": Q.Q3_K,
             "blk.0.attn_v.weight": Q.Q4_K, "blk.0.attn_output.weight": Q.Q5_K, "blk.0.ffn_gate.weight": Q.Q4_K,
             "blk.0.ffn_up.weight": Q.Q6_K, "blk.0.ffn_down.weight": Q.Q3_K}
    write("llama-k", "llama", make(config), fields_of(config), lambda n: kinds[n])

    config = t.Qwen2Config(**common, num_key_value_heads=2, tie_word_embeddings=True)
    write("qwen2-q8", "qwen2", make(config), fields_of(config), lambda n: Q.Q8_0)

    config = t.Phi3Config(**common, num_key_value_heads=2, pad_token_id=0)
    write("phi3-q8", "phi3", make(config), {**fields_of(config), "tokenizer.ggml.padding_token_id": 0}, lambda n: Q.Q8_0)

    # head_dim 256: of other widths transformers does not know the scale of scores from a GGUF
    config = t.Gemma2Config(**{**common, "num_attention_heads": 1}, num_key_value_heads=1, head_dim=256, sliding_window=4)
    write("gemma2-q4", "gemma2", make(config), {**fields_of(config), "attention.key_length": 256, "attention.sliding_window": 4,
          "rope.dimension_count": 256}, lambda n: Q.Q4_0)

    config = t.GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4)  # transformers reads 1,024 positions from every GGUF
    write("gpt2-q4", "gpt2", make(config), fields_of(config, "layer"), lambda n: Q.Q4_1)

    config = t.Qwen3Config(**common, num_key_value_heads=2, head_dim=16)
    write("qwen3-f16", "qwen3", make(config), {**fields_of(config), "attention.key_length": 16, "rope.dimension_count": 16}, lambda n: Q.F16)

    config = t.GPTNeoXConfig(**common)
    config.attention_bias = True
    model = make(config)
    write("gptneox-bf16", "gptneox", model, {**fields_of(config, "layer"), "rope.dimension_count": 2, "use_parallel_residual": True},
          lambda n: Q.BF16)

    if sys.argv[2:] == ["all"]:
        config = t.LlamaConfig(**common, num_key_value_heads=2, attention_bias=True, rope_parameters={
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16})
        write("llama-freqs", "llama", make(config), fields_of(config), lambda n: Q.BF16)

        config = t.Gemma3TextConfig(**{**common, "num_attention_heads": 2, "num_hidden_layers": 6}, num_key_value_heads=1, head_dim=256,
                                    sliding_window=4)
        write("gemma3-q8", "gemma3", make(config), {**fields_of(config), "attention.key_length": 256, "attention.sliding_window": 4,
              "rope.dimension_count": 256, "rope.freq_base": 1000000.0}, lambda n: Q.Q8_0)

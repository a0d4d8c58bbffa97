"""Random small models of every family: a Hugging Face folder each, and what transformers computes on it.

    python tools/weights-fixtures/models.py [FOLDER [all]]

FOLDER/NAME/{config.json, model.safetensors, expected.safetensors}. `expected` holds ids [2, S] (the second context is padded at its
end by `padding` tokens), logits, and every tap as blocks.N.ROLE; rows of padding mean nothing. `all` adds variants that are not
committed; run the tests on them with MSAE_WEIGHTS_FIXTURES=FOLDER.
"""

import pathlib
import sys

import torch
import transformers as t
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "packages/harvest/test/weights/fixtures")
torch.manual_seed(3)
common = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              max_position_embeddings=64)
length, padding = 7, 2

configs = {
    "llama": t.LlamaConfig(**common, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=True,
                           rope_parameters={"rope_type": "default", "rope_theta": 100000.0}),
    "llama3": t.LlamaConfig(**common, num_key_value_heads=1, attention_bias=True, head_dim=12,
                            rope_parameters={"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0,
                                             "high_freq_factor": 4.0, "original_max_position_embeddings": 16}),
    "mistral": t.MistralConfig(**common, num_key_value_heads=2, sliding_window=4),
    "qwen2": t.Qwen2Config(**common, num_key_value_heads=2, use_sliding_window=True, sliding_window=4, max_window_layers=1),
    "qwen3": t.Qwen3Config(**common, num_key_value_heads=2, head_dim=16),
    "phi3": t.Phi3Config(**common, num_key_value_heads=2, pad_token_id=0, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    "gemma2": t.Gemma2Config(**common, num_key_value_heads=2, head_dim=16, sliding_window=4, query_pre_attn_scalar=24),
    "gemma3": t.Gemma3TextConfig(**{**common, "num_hidden_layers": 3}, num_key_value_heads=1, head_dim=16, sliding_window=4,
                                 query_pre_attn_scalar=24, sliding_window_pattern=2,
                                 rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                                                  "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}),
    "gpt2": t.GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "gptneox": t.GPTNeoXConfig(**common),
    "gptneox-serial": t.GPTNeoXConfig(**common, use_parallel_residual=False, rotary_pct=0.5, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
}

more = {
    "phi3-longrope": t.Phi3Config(**common, num_key_value_heads=2, pad_token_id=0, original_max_position_embeddings=32, rope_parameters={
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.3, 1.9], "long_factor": [1.5, 2.0, 3.0, 4.0],
        "original_max_position_embeddings": 32}),
    "mistral-linear": t.MistralConfig(**common, num_key_value_heads=4, sliding_window=None, tie_word_embeddings=True,
                                      rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}),
    "qwen3-untied": t.Qwen3Config(**common, num_key_value_heads=1, head_dim=8, tie_word_embeddings=False, use_sliding_window=True,
                                  sliding_window=3, max_window_layers=1, attention_bias=True),
    "gemma2-wide": t.Gemma2Config(**common, num_key_value_heads=4, head_dim=8, attn_logit_softcapping=2.0, final_logit_softcapping=1.0),
}
dtypes = {"llama": torch.float32, "mistral": torch.float16}


def layers_of(model):
    for path in ("model.layers", "transformer.h", "gpt_neox.layers"):
        try:
            return model.get_submodule(path)
        except AttributeError:
            pass
    raise ValueError("no layers")


def randomise(model, dtype):
    """Weights that make every part matter: norms and biases too."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name or "ln_" in name:
                p.add_(torch.randn_like(p) * 0.3)
            else:
                p.copy_(torch.randn_like(p) * (0.2 if p.dim() > 1 else 0.1))
            p.copy_(p.to(dtype).float())  # so that the file holds them exactly


def run(model, ids, mask):
    """Logits and taps by hooks."""
    kept = {}
    handles = []

    def first(value):
        return value[0] if isinstance(value, tuple) else value

    def keep(name, module, before=False):
        def after(_, __, result):
            kept[name] = first(result).detach().clone()

        def ahead(_, inputs, keywords):
            kept[name] = first(inputs or tuple(keywords.values())).detach().clone()

        handles.append(module.register_forward_pre_hook(ahead, with_kwargs=True) if before else module.register_forward_hook(after))

    for i, layer in enumerate(layers_of(model)):
        attention = next(m for n, m in layer.named_children() if n in ("self_attn", "attn", "attention"))
        projection = next(m for n, m in attention.named_children() if n in ("o_proj", "c_proj", "dense"))
        second = hasattr(layer, "post_feedforward_layernorm")
        keep(f"blocks.{i}.resid_pre", layer, before=True)
        keep(f"blocks.{i}.resid_post", layer)
        keep(f"blocks.{i}.z", projection, before=True)
        keep(f"blocks.{i}.attn_out", layer.post_attention_layernorm if second else attention)
        keep(f"blocks.{i}.mlp_in", layer.mlp, before=True)
        keep(f"blocks.{i}.mlp_out", layer.post_feedforward_layernorm if second else layer.mlp)
    with torch.no_grad():
        kept["logits"] = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    for handle in handles:
        handle.remove()
    for i in range(len(layers_of(model))):
        if not getattr(model.config, "use_parallel_residual", False):
            kept[f"blocks.{i}.resid_mid"] = kept[f"blocks.{i}.resid_pre"] + kept[f"blocks.{i}.attn_out"]
    return kept


def expected_of(model):
    ids = torch.randint(1, 61, (2, length), generator=torch.Generator().manual_seed(5))
    mask = torch.ones_like(ids)
    mask[1, length - padding:] = 0
    kept = run(model.eval(), ids, mask)
    return {"ids": ids, **{k: v.float().contiguous() for k, v in kept.items()}}


if __name__ == "__main__":
    for name, config in {**configs, **(more if sys.argv[2:] == ["all"] else {})}.items():
        config._attn_implementation = "eager"
        config.dtype = torch.float32
        model = t.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        dtype = dtypes.get(name, torch.bfloat16)
        randomise(model, dtype)
        model.tie_weights()
        expected = expected_of(model)
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        model.to(dtype).save_pretrained(folder, max_shard_size="30KB" if name == "qwen2" else "1GB")
        (folder / "generation_config.json").unlink(missing_ok=True)
        save_file(expected, folder / "expected.safetensors")
        print(name, sum(f.stat().st_size for f in folder.iterdir()))

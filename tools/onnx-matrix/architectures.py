"""Small random transformers with the architectures of real ones, and where PyTorch's hooks find their taps."""

import re

import torch
import transformers as t

VOCABULARY, WIDTH, HEADS, LAYERS, HIDDEN, POSITIONS = 160, 32, 2, 3, 64, 64

SHARED = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "intermediate_size": HIDDEN, "max_position_embeddings": POSITIONS,
}  # fmt: skip
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GROUPED = {**SHARED, **SPECIAL, "num_key_value_heads": 1, "head_dim": WIDTH // HEADS}
GPT2 = {
    "vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_inner": HIDDEN,
    "n_positions": POSITIONS, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
BLOOM = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS, **SPECIAL}
IMAGE = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": HIDDEN,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip

Hook = tuple[str, str]  # module within a layer ('' = the layer), 'in' or 'out'


def taps(attention: str, mlp: str, middle: Hook | None) -> dict[str, Hook]:
    hooks = {"resid_pre": ("", "in"), "attn_out": (attention, "out"), "mlp_out": (mlp, "out"), "resid_post": ("", "out")}
    return {**hooks, "resid_mid": middle} if middle else hooks


class Architecture:
    def __init__(self, config, model, layers: str, hooks: dict[str, Hook], task: str, optimizer: str):
        self.config, self.model, self.layers, self.hooks, self.task = config, model, layers, hooks, task
        self.optimizer = optimizer
        """`model_type` of onnxruntime.transformers' optimizer"""

    def unembedding(self, model) -> torch.Tensor | None:
        """[vocabulary, width], the gain of the norm before it folded in."""
        head = model.get_output_embeddings() if self.task in (LM, MLM) else None
        if head is None:
            return None
        gain = next(m for name, m in model.named_modules() if re.search(FINAL_NORM, name)).weight
        return head.weight * (1 + gain if model.config.model_type.startswith("gemma") else gain)

    def build(self, attention: str = "eager") -> torch.nn.Module:
        config = self.config()
        config._attn_implementation = attention
        model = self.model._from_config(config, attn_implementation=attention)
        randomise(model, unit_gain=not config.model_type.startswith("gemma"))
        return model.eval()


def randomise(model: torch.nn.Module, unit_gain: bool) -> None:
    """Weights of a size at which every layer matters, norms' gains and all biases included."""
    generator = torch.Generator().manual_seed(1)
    noise = lambda p: torch.randn(p.shape, generator=generator)  # noqa: E731
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() >= 2:
                # T5 does not divide its scores by the root of their width
                size = 0.05 if name.endswith("SelfAttention.q.weight") else 0.2
                p.copy_(noise(p) * (0.5 if re.search("embed|wte|wpe|shared", name) else size))
            elif re.search("norm|ln_", name.lower()) and not name.endswith("bias"):
                p.copy_((1 if unit_gain else 0) + 0.3 * noise(p))
            else:
                p.copy_(0.3 * noise(p))


FINAL_NORM = r"\.ln_f$|final_layer_?norm$|^model\.norm$|predictions\.transform\.LayerNorm$|^vocab_layer_norm$"
PRE = taps("self_attn", "mlp", ("post_attention_layernorm", "in"))
LM, MLM, FEATURES, IMAGES = "text-generation", "fill-mask", "feature-extraction", "image-classification"

ARCHITECTURES = {
    "gpt2": Architecture(lambda: t.GPT2Config(**GPT2), t.GPT2LMHeadModel, "transformer.h", taps("attn", "mlp", ("ln_2", "in")), LM, "gpt2"),
    "neox": Architecture(lambda: t.GPTNeoXConfig(**SHARED, **SPECIAL, rotary_pct=0.25), t.GPTNeoXForCausalLM, "gpt_neox.layers", taps("attention", "mlp", None), LM, "gpt_neox"),
    "llama": Architecture(lambda: t.LlamaConfig(**GROUPED), t.LlamaForCausalLM, "model.layers", PRE, LM, "gpt2"),
    "qwen3": Architecture(lambda: t.Qwen3Config(**GROUPED), t.Qwen3ForCausalLM, "model.layers", PRE, LM, "gpt2"),
    "gemma3": Architecture(lambda: t.Gemma3TextConfig(**GROUPED, sliding_window=8, query_pre_attn_scalar=16), t.Gemma3ForCausalLM, "model.layers", taps("post_attention_layernorm", "post_feedforward_layernorm", ("pre_feedforward_layernorm", "in")), LM, "gpt2"),
    "bloom": Architecture(lambda: t.BloomConfig(**BLOOM), t.BloomForCausalLM, "transformer.h", taps("self_attention.dense", "mlp.dense_4h_to_h", ("post_attention_layernorm", "in")), LM, "gpt2"),
    "falcon": Architecture(lambda: t.FalconConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, ffn_hidden_size=HIDDEN, bos_token_id=1, eos_token_id=2), t.FalconForCausalLM, "transformer.h", taps("self_attention", "mlp", None), LM, "gpt2"),
    "phi": Architecture(lambda: t.PhiConfig(**SHARED, **SPECIAL, partial_rotary_factor=1.0), t.PhiForCausalLM, "model.layers", taps("self_attn", "mlp", None), LM, "gpt2"),
    "gemma2": Architecture(lambda: t.Gemma2Config(**GROUPED, sliding_window=8, query_pre_attn_scalar=16, attn_logit_softcapping=None), t.Gemma2ForCausalLM, "model.layers", taps("post_attention_layernorm", "post_feedforward_layernorm", ("pre_feedforward_layernorm", "in")), LM, "gpt2"),
    "bert": Architecture(lambda: t.BertConfig(**SHARED), t.BertForMaskedLM, "bert.encoder.layer", taps("attention.output.dense", "output.dense", ("attention", "out")), MLM, "bert"),
    "distilbert": Architecture(lambda: t.DistilBertConfig(vocab_size=VOCABULARY, dim=WIDTH, n_layers=LAYERS, n_heads=HEADS, hidden_dim=HIDDEN, max_position_embeddings=POSITIONS), t.DistilBertForMaskedLM, "distilbert.transformer.layer", taps("attention.out_lin", "ffn.lin2", ("sa_layer_norm", "out")), MLM, "bert"),
    "vit": Architecture(lambda: t.ViTConfig(**IMAGE, num_labels=10), t.ViTForImageClassification, "vit.encoder.layer", taps("attention.output.dense", "output.dense", ("layernorm_after", "in")), IMAGES, "vit"),
    "t5enc": Architecture(lambda: t.T5Config(vocab_size=VOCABULARY, d_model=WIDTH, d_kv=16, d_ff=HIDDEN, num_layers=LAYERS, num_heads=HEADS, feed_forward_proj="gated-gelu"), t.T5EncoderModel, "encoder.block", taps("layer.0.SelfAttention", "layer.1.DenseReluDense", ("layer.1", "in")), FEATURES, "t5"),
}  # fmt: skip

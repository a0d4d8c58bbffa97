"""The example language model: decoder-only, pre-norm LayerNorm, rotary positions, GELU MLP, tied embedding.

Everything a sparse autoencoder may want to read has a name here and the same name in the ONNX file (export.py):
blocks.{l}.resid_pre / attn_out / resid_mid / mlp_out / resid_post.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Config:
    vocabulary: int = 4096
    context: int = 128
    layers: int = 4
    width: int = 128
    heads: int = 4
    mlp: int = 512
    dropout: float = 0.15

    def as_dict(self) -> dict:
        return asdict(self)


def rotary_tables(config: Config) -> tuple[Tensor, Tensor]:
    """cos and sin [context, head/2] of position / 10000^(2i/head) (Su et al. 2021, RoFormer)."""
    head = config.width // config.heads
    frequency = 10000.0 ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
    angle = torch.arange(config.context, dtype=torch.float64)[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, heads, T, head]; pairs are (i, i + head/2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Block(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.dropout = config.dropout
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, config.mlp), nn.Linear(config.mlp, d)

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        B, T, d = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(B, T, d))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + F.dropout(self.attention(self.ln1(x), cos, sin), self.dropout, self.training)
        return x + F.dropout(self.down(F.gelu(self.up(self.ln2(x)))), self.dropout, self.training)


class BrownLM(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_final = nn.LayerNorm(config.width)
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.apply(self.initialise)
        for block in self.blocks:  # GPT-2: what is added to the residual stream starts smaller
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=0.02 / (2 * config.layers) ** 0.5)

    @staticmethod
    def initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B, T] -> logits [B, T, V]."""
        T = ids.shape[1]
        x = F.dropout(self.embed(ids), self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x, self.cos[:T], self.sin[:T])
        return self.ln_final(x) @ self.embed.weight.T

"""Writes test/fixtures/adamw.json: AdamW steps of PyTorch in float64 with clipping by the global norm.

    python adam_fixture.py ../fixtures/adamw.json
"""
import json
import sys

import torch

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
shapes = {"W_enc": (3, 4), "b_enc": (4,), "W_dec": (4, 3), "b_dec": (3,)}
params = {name: torch.randn(shape).requires_grad_() for name, shape in shapes.items()}
settings = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}
out = {
    "settings": settings,
    "max_norm": 2.0,
    "initial": {name: p.detach().flatten().tolist() for name, p in params.items()},
    "steps": [],
}
optimizer = torch.optim.AdamW(params.values(), **settings)
for step in range(6):
    scale = 3.0 if step % 2 else 0.1  # clipped and not clipped in turn
    grads = {name: scale * torch.randn(shape) for name, shape in shapes.items()}
    for name, p in params.items():
        p.grad = grads[name].clone()
    norm = torch.nn.utils.clip_grad_norm_(params.values(), out["max_norm"])
    optimizer.step()
    out["steps"].append(
        {
            "grads": {name: g.flatten().tolist() for name, g in grads.items()},
            "norm": norm.item(),
            "params": {name: p.detach().flatten().tolist() for name, p in params.items()},
        }
    )
with open(sys.argv[1], "w") as file:
    json.dump(out, file)

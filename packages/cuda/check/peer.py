"""The step of tools/bench/pytorch_step.py on a CUDA device: a line of JSON for each shape and way of multiplying.

Dense, as the published trainers do it: one encoder matmul, top-k, a block-wise decode (no prefix is decoded twice), autograd,
gradient clipping at 1.0, Adam (fused, the fastest there is). Nothing is read back between steps.

    python peer.py --shapes 512x4096x1024,768x24576x4096 --k 32 --modes float32,tf32,bf16 [--steps 30]

Modes: float32, tf32, bf16 (autocast), compile-tf32 and compile-bf16 (torch.compile of forward and backward).
"""
import argparse
import json
import sys
import time


def prefix_lengths(n, count):
    """count lengths spread evenly on a square-root scale, the last one n (their values do not matter for the time)."""
    lengths = sorted({max(1, round(n * ((i + 1) / count) ** 2)) for i in range(count)})
    return lengths[:-1] + [n]


def measure(torch, d, n, batch, k, mode, steps):
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("highest" if mode == "float32" else "high")
    make = lambda *shape: torch.randn(*shape, device="cuda")
    W_enc = torch.nn.Parameter(make(d, n) / d**0.5)
    b_enc = torch.nn.Parameter(torch.zeros(n, device="cuda"))
    W_dec = torch.nn.Parameter(torch.nn.functional.normalize(make(n, d), dim=1))
    b_dec = torch.nn.Parameter(torch.zeros(d, device="cuda"))
    params = [W_enc, b_enc, W_dec, b_dec]
    optimizer = torch.optim.Adam(params, lr=1e-4, fused=True)
    data = [make(batch, d) for _ in range(2)]
    lengths = prefix_lengths(n, 10)

    def loss_of(x):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=mode.endswith("bf16")):
            pre = torch.relu(x @ W_enc + b_enc)
            values, indices = pre.topk(k, dim=1, sorted=False)
            acts = torch.zeros_like(pre).scatter_(1, indices, values)
            recon, loss, start = b_dec, 0.0, 0
            for end in lengths:
                recon = recon + acts[:, start:end] @ W_dec[start:end]
                loss = loss + (recon - x).float().pow(2).sum(1).mean() / len(lengths)
                start = end
            return loss

    forward = torch.compile(loss_of) if mode.startswith("compile") else loss_of

    def step(x):
        loss = forward(x)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()

    for i in range(5):
        step(data[i % 2])
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for i in range(steps):
        step(data[i % 2])
    torch.cuda.synchronize()
    ms = (time.perf_counter() - start) * 1e3 / steps
    return {"ms": ms, "peakMiB": torch.cuda.max_memory_allocated() / 2**20}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--shapes", required=True)
    p.add_argument("--k", type=int, default=32)
    p.add_argument("--modes", default="float32,tf32,bf16")
    p.add_argument("--steps", type=int, default=30)
    a = p.parse_args()

    import torch

    if not torch.cuda.is_available():
        sys.exit("torch has no CUDA device")
    for shape in a.shapes.split(","):
        d, n, batch = map(int, shape.split("x"))
        for mode in a.modes.split(","):
            line = {"d": d, "n": n, "batch": batch, "mode": mode, "torch": torch.__version__}
            try:
                line.update(measure(torch, d, n, batch, a.k, mode, a.steps))
            except Exception as error:  # the next mode may work
                line["error"] = f"{type(error).__name__}: {error}"[:300]
            print(json.dumps(line), flush=True)
            torch.cuda.empty_cache()


main()

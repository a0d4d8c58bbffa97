"""A plain PyTorch training step of a Matryoshka SAE, to compare against.

Dense, as the published trainers do it: one encoder matmul, an activation, a block-wise decode (no prefix is decoded twice),
autograd, gradient clipping at 1.0, torch.optim.Adam. Float32, all the threads it is given, no handicap.

    python tools/bench/pytorch_step.py --d 512 --n 4096 --batch 1024 --k 32 --prefixes 10 --threads 2 --json
"""
import argparse
import json
import os
import statistics
import time


def prefix_lengths(n, count):
    """count lengths spread evenly on a square-root scale, the last one n (their values do not matter for the time)."""
    lengths = sorted({max(1, round(n * ((i + 1) / count) ** 2)) for i in range(count)})
    return lengths[:-1] + [n]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--d", type=int, default=512)
    p.add_argument("--n", type=int, default=4096)
    p.add_argument("--batch", type=int, default=1024)
    p.add_argument("--k", type=int, default=32)
    p.add_argument("--prefixes", default="10")
    p.add_argument("--activation", choices=["topk", "relu"], default="topk")
    p.add_argument("--l0", type=float, default=40.0, help="relu: expected active latents a row")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--steps", type=int, default=7)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()

    import torch

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    d, n, batch = a.d, a.n, a.batch
    lengths = list(range(1, n + 1)) if a.prefixes == "every" else prefix_lengths(n, int(a.prefixes))
    W_enc = torch.nn.Parameter(torch.randn(d, n) / d**0.5)
    shift = float(torch.special.ndtri(torch.tensor(1 - min(a.l0, n / 2) / n))) if a.activation == "relu" else 0.0
    b_enc = torch.nn.Parameter(torch.zeros(n) - shift)
    W_dec = torch.nn.Parameter(torch.nn.functional.normalize(torch.randn(n, d), dim=1))
    b_dec = torch.nn.Parameter(torch.zeros(d))
    params = [W_enc, b_enc, W_dec, b_dec]
    optimizer = torch.optim.Adam(params, lr=1e-4)
    data = [torch.randn(batch, d) for _ in range(2)]

    def step(x):
        pre = torch.relu(x @ W_enc + b_enc)
        if a.activation == "topk":
            values, indices = pre.topk(a.k, dim=1, sorted=False)
            acts = torch.zeros_like(pre).scatter_(1, indices, values)
        else:
            acts = pre
        recon, loss, start = b_dec, 0.0, 0
        for end in lengths:
            recon = recon + acts[:, start:end] @ W_dec[start:end]
            loss = loss + (recon - x).pow(2).sum(1).mean() / len(lengths)
            start = end
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        return loss

    for _ in range(2):
        step(data[0])
    times, cpu = [], []
    for i in range(a.steps):
        t0, c0 = time.perf_counter(), time.process_time()
        float(step(data[i % 2]).detach())
        times.append((time.perf_counter() - t0) * 1e3)
        cpu.append((time.process_time() - c0) * 1e3)
    ms = statistics.median(times)
    result = {
        "ms": ms, "cpuMs": statistics.median(cpu), "tokensPerSecond": batch / ms * 1e3, "d": d, "n": n, "batch": batch, "k": a.k,
        "prefixes": len(lengths), "activation": a.activation, "threads": torch.get_num_threads(),
        "torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability(), "all": times,
    }
    print(json.dumps(result) if a.json else f"PyTorch {torch.__version__}: {ms:.1f} ms/step, {batch / ms * 1e3:,.0f} tokens/s")


if __name__ == "__main__":
    main()

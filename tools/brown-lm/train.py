"""Trains the example language model on the Brown corpus. About 25 minutes on 2 cores; one seed, one result.

    python tools/brown-lm/train.py --out build/brown-lm --stop-at 4250
    (PyTorch >= 2.4, tokenizers, numpy, a C++ compiler; 4,250 steps are the released model)

Writes tokenizer.json, model.pt (weights and configuration) and log.jsonl. export.py makes the ONNX file of it.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from brown import default_folder, read_documents, split
from model import BrownLM, Config
from tokenizer import encode, train_tokenizer


def epochs(stream: Tensor, context: int, batch: int, generator: torch.Generator):
    """Batches [batch, context + 1], for ever: every epoch cuts the stream at another offset and shuffles the windows."""
    while True:
        offset = int(torch.randint(context, (1,), generator=generator))
        count = (len(stream) - 1 - offset) // context
        order = torch.randperm(count, generator=generator) * context + offset
        for rows in order.split(batch):
            if len(rows) == batch:
                yield stream[rows[:, None] + torch.arange(context + 1)]


def held_out_windows(documents: list[np.ndarray], context: int) -> list[tuple[Tensor, Tensor]]:
    """(inputs, targets) of every held-out document in windows that do not overlap; -1 marks padding in targets.

    Every token but the leading END_OF_TEXT is predicted once, from at most `context` tokens of its own window.
    """
    inputs, targets = [], []
    for ids in documents:
        for start in range(0, len(ids) - 1, context):
            window = torch.from_numpy(ids[start : start + context + 1])
            n = len(window) - 1
            inputs.append(F.pad(window[:-1], (0, context - n)))
            targets.append(F.pad(window[1:], (0, context - n), value=-1))
    return list(zip(torch.stack(inputs).split(64), torch.stack(targets).split(64), strict=True))


@torch.no_grad()
def evaluate(model: BrownLM, windows: list[tuple[Tensor, Tensor]]) -> float:
    """Mean cross-entropy in nats per token, float32."""
    model.eval()
    total, count = 0.0, 0
    for inputs, targets in windows:
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum")
        total, count = total + loss.item(), count + int((targets >= 0).sum())
    model.train()
    return total / count


def learning_rate(step: int, steps: int, peak: float, warm_up: int) -> float:
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=default_folder())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5500)
    parser.add_argument("--stop-at", type=int, help="end after this step of the schedule; the released model: 4250")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=Config.dropout)
    parser.add_argument("--ema", type=float, default=0.997, help="decay of the averaged weights, which are what is kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eval-every", type=int, default=500)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    training, held_out = split(read_documents(args.corpus))
    tokenizer = train_tokenizer(training, args.out / "tokenizer.json")
    stream = torch.from_numpy(np.concatenate([encode(tokenizer, d) for d in training]))
    config = Config(vocabulary=tokenizer.get_vocab_size(), dropout=args.dropout)
    windows = held_out_windows([encode(tokenizer, d) for d in held_out], config.context)

    model, averaged = BrownLM(config), BrownLM(config)
    averaged.load_state_dict(model.state_dict())
    decay = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": args.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=True)

    def loss_of(batch: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(batch[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())

    compiled = torch.compile(loss_of)
    batches = epochs(stream, config.context, args.batch, torch.Generator().manual_seed(args.seed))
    started, log = time.time(), (args.out / "log.jsonl").open("w")
    stop = args.stop_at or args.steps
    for step in range(stop):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.lr, warm_up=200)
        loss = compiled(next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            rate = 1 - min(args.ema, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), rate)
        if (step + 1) % args.eval_every == 0 or step + 1 == stop:
            entry = {"step": step + 1, "train": round(loss.item(), 4), "heldOut": round(evaluate(model, windows), 4)}
            entry |= {"heldOutAveraged": round(evaluate(averaged, windows), 4), "seconds": round(time.time() - started)}
            print(json.dumps(entry), flush=True)
            log.write(json.dumps(entry) + "\n")
            log.flush()
            torch.save({"config": config.as_dict(), "state": averaged.state_dict()}, args.out / "model.pt")
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"parameters": parameters, "trainTokens": len(stream), "heldOutTargets": int(sum((t >= 0).sum() for _, t in windows))}))


if __name__ == "__main__":
    main()

"""What the taps of a model really hold, and what replacing one does: by PyTorch's forward hooks.

truth.json beside the files of an architecture: documents and context length, for every tap the offset and shape of its values in
truth.bin (float32), the clean cross-entropy, and cross-entropy and KL (nats a predicted token) with a tap zeroed or halved.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from architectures import FEATURES, IMAGES, LAYERS, VOCABULARY, Architecture

CONTEXT = 12
DOCUMENTS = [np.random.RandomState(d).randint(5, VOCABULARY, size=n).tolist() for d, n in enumerate((26, 9, 12, 1))]


def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@contextlib.contextmanager
def hooked(model, architecture: Architecture, layer: int, role: str, see: Callable[[torch.Tensor], torch.Tensor | None]):
    """`see` gets the tap's tensor; what it returns takes its place."""
    name, side = architecture.hooks[role]
    module = model.get_submodule(f"{architecture.layers}.{layer}" + (f".{name}" if name else ""))

    def before(_module, args, kwargs):
        if args:
            new = see(args[0])
            return None if new is None else ((new, *args[1:]), kwargs)
        new = see(kwargs["hidden_states"])
        return None if new is None else (args, {**kwargs, "hidden_states": new})

    def after(_module, _args, output):
        whole = isinstance(output, tuple)
        new = see(output[0] if whole else output)
        return None if new is None else ((new, *output[1:]) if whole else new)

    register = module.register_forward_pre_hook(before, with_kwargs=True) if side == "in" else module.register_forward_hook(after)
    with register:
        yield


def forward(model, architecture: Architecture, x) -> torch.Tensor:
    with torch.no_grad():
        if architecture.task == IMAGES:
            return model(pixel_values=x).logits
        ids = torch.tensor([x])
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return out.last_hidden_state[0] if architecture.task == FEATURES else out.logits[0]


Documents = list[list[int]]


def contexts(documents: Documents, length: int) -> list[tuple[list[int], list[int]]]:
    """Tokens, and the token after each where there is one."""
    return [(d[s : s + length], d[s + 1 : s + length + 1]) for d in documents for s in range(0, len(d), length)]


def write_truth(architecture: Architecture, folder: Path, documents: Documents = DOCUMENTS, context: int = CONTEXT, head: bool = True) -> None:
    model = architecture.build()
    values: dict[str, list[np.ndarray]] = {}
    inputs = [images()] if architecture.task == IMAGES else [ids for ids, _ in contexts(documents, context)]
    for x in inputs:
        with contextlib.ExitStack() as stack:
            for layer in range(LAYERS):
                for role in architecture.hooks:
                    def see(tensor, name=f"blocks.{layer}.{role}"):
                        values.setdefault(name, []).append(tensor.detach().reshape(-1, tensor.shape[-1]).numpy().copy())
                    stack.enter_context(hooked(model, architecture, layer, role, see))
            out = forward(model, architecture, x)
        values.setdefault("output", []).append(out.reshape(-1, out.shape[-1]).numpy())
    truth = {"task": architecture.task, "context": context, "documents": documents, "values": {}, "splices": {}}
    if architecture.task == IMAGES:
        values["pixel_values"] = [images().numpy()]
    if head and (matrix := architecture.unembedding(model)) is not None:
        values["unembedding"] = [matrix.detach().numpy()]
    blob = b""
    for name, parts in values.items():
        array = np.concatenate(parts).astype(np.float32)
        truth["values"][name] = {"shape": list(array.shape), "offset": len(blob) // 4}
        blob += array.tobytes()
    if architecture.task not in (IMAGES, FEATURES):
        truth |= losses(model, architecture, contexts(documents, context))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.bin").write_bytes(blob)
    (folder / "truth.json").write_text(json.dumps(truth) + "\n")


def losses(model, architecture: Architecture, parts: list[tuple[list[int], list[int]]]) -> dict:
    def total(replace=None):
        sums = np.zeros(3)  # cross-entropy, KL, tokens
        for ids, targets in parts:
            if not targets:
                continue
            clean = forward(model, architecture, ids).double().log_softmax(-1)[: len(targets)]
            logp = clean
            if replace:
                role, layer, change = replace
                with hooked(model, architecture, layer, role, change):
                    logp = forward(model, architecture, ids).double().log_softmax(-1)[: len(targets)]
            sums[0] -= logp[range(len(targets)), targets].sum().item()
            sums[1] += (clean.exp() * (clean - logp)).sum().item()
            sums[2] += len(targets)
        return [sums[0] / sums[2], sums[1] / sums[2]]

    changes = {"zero": lambda x: x * 0, "half": lambda x: x / 2}
    splices = {
        f"blocks.1.{role}": {name: total((role, 1, change)) for name, change in changes.items()}
        for role in ("resid_post", "attn_out", "mlp_out")
    }
    return {"clean": total()[0], "splices": splices}

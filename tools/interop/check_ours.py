"""Loads our exports with the peers' own loaders and compares with what they compute here (write_ours.ts).

    python check_ours.py DIR      prints one JSON line a case
"""

import json
import os
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
root = Path(sys.argv[1])


def with_saelens(path: Path, x: torch.Tensor):
    import sae_lens

    sae = sae_lens.SAE.load_from_disk(path)
    transcoder = "transcoder" in sae.cfg.architecture()
    assert transcoder or sae.cfg.metadata.msae["prefixes"] == [4, 10, 24], sae.cfg.metadata
    f = sae.encode(x)
    return f, sae(x) if transcoder else sae.decode(f), sae_lens.__version__


def with_dictionary_learning(path: Path, x: torch.Tensor):
    from importlib.metadata import version

    from dictionary_learning.utils import load_dictionary

    ae, config = load_dictionary(str(path), device="cpu")
    f = ae.encode(x)
    return f, ae.decode(f), version("dictionary-learning")


def with_sparsify(path: Path, x: torch.Tensor):
    from importlib.metadata import version

    from sparsify import SparseCoder

    coder = SparseCoder.load_from_disk(path)
    acts, indices, _ = coder.encode(x)
    f = torch.zeros(x.shape[0], coder.num_latents).scatter_(-1, indices, acts)
    xhat = coder.decode(acts, indices)
    if coder.W_skip is not None:
        xhat = xhat + x @ coder.W_skip.mT
    return f, xhat, version("eai-sparsify")


loaders = {"saelens": with_saelens, "dictionary_learning": with_dictionary_learning, "sparsify": with_sparsify}


def difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max().clamp(min=1.0))


with torch.no_grad():
    for entry in json.loads((root / "ours.json").read_text()):
        expected = load_file(root / "ours-expected" / f"{entry['case']}.safetensors")
        problems, worst, version = [], float("nan"), "?"
        try:
            f, xhat, version = loaders[entry["format"]](root / "ours" / entry["case"], expected["x"])
            worst = max(difference(f, expected["f"] * expected.get("gain", 1)), difference(xhat, expected["xhat"]))
            if not worst <= 1e-5:
                problems.append(f"differs by {worst:.2e}")
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")
        worst = None if worst != worst else worst
        print(json.dumps({**entry, "way": "ours → theirs", "version": version, "worst": worst, "problems": problems}))

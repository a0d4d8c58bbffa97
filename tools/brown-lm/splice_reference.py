"""What PyTorch gets when layer 2's residual stream is replaced: expectations for the tests of @msae/harvest.

    python tools/brown-lm/splice_reference.py --run build/brown-lm --out packages/harvest/test/fixtures/splice.json

Three contexts of held-out documents; the stream is replaced by zeros, by its mean over these tokens, and by half of it.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from brown import default_folder, read_documents, split
from model import BrownLM, Config
from tokenizer import encode

LAYER, LENGTHS = 2, (128, 40, 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=default_folder())
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    saved = torch.load(args.run / "model.pt", weights_only=True)
    model = BrownLM(Config(**saved["config"]))
    model.load_state_dict(saved["state"])
    model.double().eval()
    tokenizer = Tokenizer.from_file(str(args.run / "tokenizer.json"))
    _, held_out = split(read_documents(args.corpus))
    documents = [encode(tokenizer, d)[:n] for d, n in zip(held_out, LENGTHS, strict=False)]
    contexts = [torch.from_numpy(ids)[None] for ids in documents]

    streams: list[torch.Tensor] = []
    replace = None

    def hook(_module, _inputs, output):
        if replace is None:
            streams.append(output)
            return None
        return replace(output)

    model.blocks[LAYER].register_forward_hook(hook)
    log_probabilities = lambda: [F.log_softmax(model(ids)[0, :-1], dim=-1) for ids in contexts]  # noqa: E731
    targets = torch.cat([ids[0, 1:] for ids in contexts])
    loss = lambda logp: F.nll_loss(logp, targets).item()  # noqa: E731
    with torch.no_grad():
        clean = torch.cat(log_probabilities())
        mean = torch.cat([s[0] for s in streams]).mean(0)
        result = {"documents": [d.tolist() for d in documents], "tokens": len(targets), "clean": loss(clean)}
        for name, replace in {
            "zero": lambda x: x * 0,
            "mean": lambda x: mean.expand_as(x),
            "half": lambda x: x / 2,
        }.items():
            spliced = torch.cat(log_probabilities())
            kl = F.kl_div(spliced, clean, log_target=True, reduction="batchmean").item()
            result[name] = {"crossEntropy": loss(spliced), "kl": kl}
    result["streamStart"] = streams[0][0, 5, :8].tolist()
    args.out.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

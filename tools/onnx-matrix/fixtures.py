"""Copies a handful of the matrix's files into the tests of @msae/harvest, with a truth of few tokens.

    build/onnx-matrix/venv/bin/python tools/onnx-matrix/fixtures.py [--from build/onnx-matrix/files]
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from architectures import ARCHITECTURES  # noqa: E402
from truth import DOCUMENTS, write_truth  # noqa: E402

FILES = [
    "gpt2/optimised-fp16", "neox/fp16-float-io", "llama/genai-int4", "llama/bnb4", "qwen3/genai-fp32", "bert/optimised",
    "bert/int8-extended", "vit/fp16",
]  # fmt: skip
HERE = Path(__file__).resolve().parent.parent.parent / "packages/harvest/test/fixtures/matrix"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="source", type=Path, default=Path("build/onnx-matrix/files"))
    source = parser.parse_args().source
    shutil.rmtree(HERE, ignore_errors=True)
    for name in FILES:
        target = HERE / name
        target.mkdir(parents=True)
        for file in (source / name).iterdir():
            if file.name == "config.json" or file.name.startswith("model.onnx"):
                shutil.copy(file, target)
    for architecture in {name.split("/")[0] for name in FILES}:
        write_truth(ARCHITECTURES[architecture], HERE / architecture, [DOCUMENTS[0][:9], DOCUMENTS[1][:4]], context=6, head=False)


if __name__ == "__main__":
    main()

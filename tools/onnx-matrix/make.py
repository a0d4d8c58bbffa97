"""Makes the matrix: for every architecture the truth, and for every kind of file the file.

    uv venv build/onnx-matrix/venv
    uv pip install --python build/onnx-matrix/venv/bin/python -r tools/onnx-matrix/requirements.txt
    build/onnx-matrix/venv/bin/python tools/onnx-matrix/make.py [--out DIR] [--only gpt2,llama] [--kinds optimum,int8]

DIR (default build/onnx-matrix/files) then holds {architecture}/truth.json and {architecture}/{kind}/model.onnx, and made.json: what
was made, and why the rest was not. Nothing is downloaded: the models are random.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import shutil
import sys
import warnings
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from architectures import ARCHITECTURES  # noqa: E402
from files import KINDS, Inapplicable, saved  # noqa: E402
from truth import write_truth  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/onnx-matrix/files"))
    parser.add_argument("--only", default=",".join(ARCHITECTURES))
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    record = options.out / "made.json"
    made = json.loads(record.read_text()) if record.exists() else {}
    for name in options.only.split(","):
        architecture = ARCHITECTURES[name]
        write_truth(architecture, options.out / name)
        for kind in options.kinds.split(","):
            outcome = attempt(name, kind, options.out / name / kind / "model.onnx")
            made.setdefault(name, {})[kind] = outcome
            print(f"{name:12} {kind:16} {outcome}", flush=True)
        record.write_text(json.dumps(made, indent=1) + "\n")


def attempt(name: str, kind: str, out: Path) -> str:
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir(parents=True)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            source = saved(name, ARCHITECTURES[name], out)
            KINDS[kind](name, ARCHITECTURES[name], out)
            if not (out.parent / "config.json").exists():
                shutil.copy(source / "config.json", out.parent)
        return "made"
    except Inapplicable as reason:
        shutil.rmtree(out.parent)
        return f"none: {reason}"
    except Exception as error:  # noqa: BLE001: what a tool cannot do is a result
        shutil.rmtree(out.parent)
        return f"fails: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"


if __name__ == "__main__":
    main()

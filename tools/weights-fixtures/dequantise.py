"""One tensor of every GGUF type, and what gguf-py dequantises it to: test/weights/fixtures/types.gguf and types.safetensors.

Run with an environment that has gguf, safetensors and numpy (see README.md beside this file).
"""

import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import save_file

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "packages/harvest/test/weights/fixtures")
rng = np.random.default_rng(7)
rows, columns = 3, 512

# where the float16 fields of a block are, in bytes
halves = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}

writer = GGUFWriter(out / "types.gguf", "types")
expected = {}
for kind, at in halves.items():
    block, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows, columns // block, size), dtype=np.uint8)
    for offset in at:
        values = (rng.standard_normal((rows, columns // block)) * 0.05).astype(np.float16)
        values[0, 0] = 0  # a block whose scale (and min) is 0
        if offset == at[0]:
            values[1, 0] = 0  # a block whose scale alone is 0
        values[2, 0] = np.float16(6e-8)  # a subnormal
        blocks[:, :, offset : offset + 2] = values.view(np.uint8).reshape(rows, columns // block, 2)
    data = blocks.reshape(rows, -1)
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    expected[kind.name] = dequantize(data, kind)
for kind in (T.F32, T.F16, T.BF16):
    values = rng.standard_normal((rows, columns)).astype(np.float32)
    if kind == T.F16:
        data = values.astype(np.float16)
        expected[kind.name] = data.astype(np.float32)
    elif kind == T.BF16:
        data = (values.view(np.uint32) >> 16).astype(np.uint16)
        expected[kind.name] = (data.astype(np.uint32) << 16).view(np.float32)
        data = data.view(np.uint8).reshape(rows, -1)
    else:
        data = values
        expected[kind.name] = values
    writer.add_tensor(kind.name, data, raw_dtype=kind)
writer.add_array("test.words", ["one", "two", "drei"])
writer.add_array("test.numbers", [1.5, -2.0])
writer.add_uint64("test.u64", 2**40)
writer.add_int32("test.i32", -5)
writer.add_bool("test.flag", True)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, out / "types.safetensors")

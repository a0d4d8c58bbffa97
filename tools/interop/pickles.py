"""Pickles for packages/formats/test/fixtures/pickles.json: harmless ones of every protocol, and hostile ones.

    python pickles.py OUT.json
"""

import collections
import io
import json
import pickle
import sys

import torch

PLAIN = {
    "text": "héllo", "small": 7, "negative": -5, "big": 2**40, "huge": 2**70, "half": 0.5, "none": None, "yes": True,
    "no": False, "list": [1, [2, "x"], {}], "tuple": (1, 2, 3, 4), "pair": (1, 2), "empty": (), "bytes": b"ab",
    "long": "x" * 300, "shared": None,
}
PLAIN["shared"] = PLAIN["list"]


class Call:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def save(value, **options) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


import os

plain = {f"protocol {p}": pickle.dumps({k: v for k, v in PLAIN.items() if p > 2 or k != "bytes"}, protocol=p) for p in range(6)}
hostile = {
    "os.system": pickle.dumps(Call(os.system, "touch /tmp/msae-was-here"), protocol=2),
    "os.system, protocol 0": pickle.dumps(Call(os.system, "touch /tmp/msae-was-here"), protocol=0),
    "eval by name on the stack": pickle.dumps(Call(eval, "1+1"), protocol=4),
    "getattr": pickle.dumps(Call(getattr, "text", "upper"), protocol=2),
    "a class of the program": pickle.dumps(collections.Counter("ab"), protocol=2),
    "INST opcode": b"(S'id'\nios\nsystem\n.",
    "OBJ opcode": b"(cos\nsystem\nS'id'\no.",
    "extension registry": b"\x82\x01.",
    "torch zip with os.system": save({"w": torch.zeros(2), "x": Call(os.system, "touch /tmp/msae-was-here")}),
    "torch file of before 1.6 with os.system": save({"x": Call(os.system, "id")}, _use_new_zipfile_serialization=False),
    "a whole module": save(torch.nn.Linear(2, 2)),
    "endless memo": b"\x80\x02j\xff\xff\xff\x7f.",
    "length beyond the end": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "only a mark": b"\x80\x02(.",
    "nothing": b"",
}
tensors = {
    "strided": torch.arange(12, dtype=torch.float32).reshape(3, 4).T,
    "sliced": torch.arange(20, dtype=torch.float64).reshape(4, 5)[1:3, 1:4],
    "stepped": torch.arange(24, dtype=torch.float32).reshape(4, 6)[::2, ::3],
    "half": torch.tensor([1.5, -2.0, 65504.0], dtype=torch.float16),
    "brain": torch.tensor([1.5, -2.0, 3e38], dtype=torch.bfloat16),
    "long": torch.tensor([2**40, -3]),
    "int": torch.tensor([7], dtype=torch.int32),
    "short": torch.tensor([-7], dtype=torch.int16),
    "char": torch.tensor([-8], dtype=torch.int8),
    "byte": torch.tensor([200], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(3.25),
    "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    "empty": torch.zeros(0, 3),
}
shared = torch.arange(6, dtype=torch.float32)
tensors |= {"shared a": shared[:3], "shared b": shared[3:]}
values = {k: v.detach().double().tolist() for k, v in tensors.items()}
made = {
    "plain": {k: v.hex() for k, v in plain.items()},
    "hostile": {k: v.hex() for k, v in hostile.items()},
    "torch": {
        "zip": save(tensors).hex(),
        "legacy": save(tensors, _use_new_zipfile_serialization=False).hex(),
        "values": values,
    },
}
with open(sys.argv[1], "w") as out:
    json.dump(made, out, indent=0, ensure_ascii=False)

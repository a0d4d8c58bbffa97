"""Writes test/fixtures/tensorboard-events.bin with TensorBoard's own record writer.

    python tensorboard_fixture.py ../fixtures/tensorboard-events.bin
"""
import sys

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def scalars(wall_time, step, values):
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values])
    return Event(wall_time=wall_time, step=step, summary=summary)


events = [
    Event(wall_time=1700000000.25, file_version="brain.Event:2"),
    scalars(1700000001.5, 1, [("loss/total", 0.5)]),
    scalars(1700000002.75, 300, [("loss/total", 0.25), ("quality/l0", 12.0)]),
    scalars(1700000003.0, 5_000_000_000, [("quality/fvu", float("nan"))]),
]
with open(sys.argv[1], "wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    writer.flush()

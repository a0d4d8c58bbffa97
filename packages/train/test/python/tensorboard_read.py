"""Prints every scalar of an event file as TensorBoard's own loader reads it (checksums checked), as JSON.

    python tensorboard_read.py events.out.tfevents...
"""
import json
import sys

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util

rows = []
for event in EventFileLoader(sys.argv[1]).Load():
    for value in event.summary.value:
        number = float(tensor_util.make_ndarray(value.tensor))
        rows.append({"step": event.step, "tag": value.tag, "value": number})
print(json.dumps(rows))

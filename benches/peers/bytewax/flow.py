"""The tumbling minute in Bytewax: `python -m bytewax.run flow -r STATE -s 10 -b 0`, with BROKERS, TOPIC and ROWS in the environment.

A key's watermark follows whatever partition runs ahead, so it waits WAIT_SECONDS: with less it would drop records of the others.
"""

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax.connectors.files import FileSink
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
MILLISECOND = timedelta(milliseconds=1)


def parse(message):
    """Key, and what the query needs of the record."""
    record = orjson.loads(message.value)
    time = datetime.fromisoformat(record["timestamp"])
    return record.get("size_label", "default"), (time, record.get("size_bytes", 0))


def empty():
    """Count, sum, least size, latest event."""
    return (0, 0, None, None)


def add(state, event):
    """One record more."""
    count, total, least, latest = state
    time, size = event
    if count == 0:
        return (1, size, size, time)
    return (count + 1, total + size, size if size < least else least, time if time > latest else latest)


def merge(left, right):
    """Tumbling windows are never merged."""
    raise NotImplementedError


def line(item):
    """A row as text; a constant key, since there is one file."""
    label, (window, (count, total, least, latest)) = item
    latest_ms = (latest - EPOCH) // MILLISECOND
    return "rows", f"{window * 60_000},{label},{count},{total},{least},{latest_ms},{total // count}"


flow = Dataflow("minutes")
source = KafkaSource(
    [os.environ["BROKERS"]],
    [os.environ["TOPIC"]],
    tail=False,
    batch_size=1_000,
    # Its own statistics are for its lag metric only.
    add_config={"queued.min.messages": "1000000", "statistics.interval.ms": "0"},
)
events = op.map("parse", op.input("images", flow, source), parse)
clock = win.EventClock(
    ts_getter=lambda event: event[0],
    wait_for_system_duration=timedelta(seconds=int(os.environ["WAIT_SECONDS"])),
    # Windows of long ago would be asked about without end; new records and the end of the input close them.
    to_system_utc=lambda _: None,
)
windows = win.fold_window(
    "minutes", events, clock, win.TumblingWindower(length=MINUTE, align_to=EPOCH), empty, add, merge, ordered=False
)
op.output("rows", op.map("line", windows.down, line), FileSink(Path(os.environ["ROWS"])))

#!/usr/bin/env python3
"""Makes the golden inputs of the jobs and computes what must come out, in plain Python, without the engine.

    tests/golden.py        rewrites jobs/*/golden; the same files every time

Input: recordings for the `replay` connector. Output: the result rows, sorted, one JSON object per line. The rules are those
of the documents: a record is dead without a usable object and time; a row is late when its minute ended before the greatest
watermark (time - 5 s) of the rows before it in its own partition.
"""
import json
import random
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "jobs"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
MINUTE = 60_000


def text_of(ms):
    moment = datetime.fromtimestamp(ms // 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{ms % 1000:03d}Z" if ms % 1000 else f"{moment}Z"


def stamp(rng, ms):
    if rng.random() < 0.2:
        there = datetime.fromtimestamp(ms / 1000, timezone(timedelta(hours=2)))
        return there.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}000+02:00"
    return text_of(ms)


def records(rng, count, partitions, make):
    """Disordered times over some partitions; a few late, dead or odd ones."""
    now = int(START.timestamp() * 1000)
    lines, places = [], [0] * partitions
    for number in range(count):
        now += rng.randrange(0, 900)
        late = rng.random() < 0.03
        ms = now - (rng.randrange(90_000, 200_000) if late else rng.randrange(0, 4_000))
        partition = rng.randrange(partitions)
        value = make(number, stamp(rng, ms))
        odd = rng.random()
        if odd < 0.01:
            body = "{broken"
        elif odd < 0.02:
            body = json.dumps({key: v for key, v in value.items() if key != "timestamp"})
        elif odd < 0.025:
            body = ""
        else:
            body = json.dumps(value)
        lines.append({"partition": partition, "offset": places[partition], "timestamp": now, "value": body})
        places[partition] += 1
    return lines


def accepted(lines):
    """The parsed values that reach a window, with their minute."""
    watermark = {}
    for line in lines:
        try:
            value = json.loads(line["value"])
            at = datetime.fromisoformat(value["timestamp"].replace("Z", "+00:00"))
        except (ValueError, KeyError):
            continue
        ms = round(at.timestamp() * 1000)
        minute = ms - ms % MINUTE
        before = watermark.get(line["partition"], -(10**15))
        watermark[line["partition"]] = max(before, ms - 5_000)
        if minute + MINUTE - 1 > before:
            yield minute, ms, value


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def images():
    rng = random.Random(1)

    def make(number, time):
        value = {"image_id": f"img-{number}", "size_label": rng.choice(["thumb", "small", "large"]), "size_bytes": rng.randrange(10**6)}
        if rng.random() < 0.1:
            del value["size_label"]
        if rng.random() < 0.1:
            value["size_bytes"] = str(value["size_bytes"])
        elif rng.random() < 0.05:
            del value["size_bytes"]
        return {**value, "timestamp": time}

    lines = records(rng, 900, 3, make)
    write(ROOT / "image-metrics/golden/input/product_images.jsonl", [{"topic": "product-images.processed", **line} for line in lines])
    groups = {}
    for minute, ms, value in accepted(lines):
        row = groups.setdefault((minute, value.get("size_label", "default")), [0, 0, ms])
        row[0] += 1
        row[1] += int(value.get("size_bytes", 0))
        row[2] = max(row[2], ms)
    rows = [
        {"window_start": text_of(minute), "size_label": label, "event_count": n, "total_bytes": total, "latest_event": text_of(latest)}
        for (minute, label), (n, total, latest) in sorted(groups.items())
    ]
    write(ROOT / "image-metrics/golden/expected.jsonl", rows)


def payments():
    rng, rows = random.Random(2), []
    for stream in ["requested", "succeeded"]:

        def make(number, time):
            value = {"payment_id": f"p-{number}", "amount": rng.randrange(100, 10**6) / 100, "currency": rng.choice(["EUR", "USD"])}
            if rng.random() < 0.05:
                del value["currency"]
            return {**value, "timestamp": time}

        lines = records(rng, 400, 2, make)
        write(ROOT / f"payments/golden/input/payment_{stream}.jsonl", [{"topic": f"payment.{stream}", **line} for line in lines])
        groups = {}
        for minute, _, value in accepted(lines):
            groups.setdefault((minute, value.get("currency", "unknown")), []).append(Decimal(str(value["amount"])))
        for (minute, currency), amounts in groups.items():
            mean = (sum(amounts) / len(amounts)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
            total = f"{sum(amounts):.2f}"
            rows.append(
                {"window_start": text_of(minute), "currency": currency, "stream": stream, "payments": len(amounts), "total_amount": total, "mean_amount": f"{mean}"}
            )
    rows.sort(key=lambda row: (row["window_start"], row["currency"], row["stream"]))
    write(ROOT / "payments/golden/expected.jsonl", rows)


if __name__ == "__main__":
    images()
    payments()

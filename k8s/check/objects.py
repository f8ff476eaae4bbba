"""Reads rendered manifests and brings them into one form, so that two of them can be compared. Judges nothing."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
ENVIRONMENTS = ["local", "gke", "eks", "aks"]


def load(path):
    """The objects of a file of YAML documents, lists opened."""
    found = []
    for document in yaml.load_all(Path(path).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if document and document.get("kind") == "List":
            found.extend(document["items"])
        elif document:
            found.append(document)
    return found


def name(thing):
    return f"{thing['kind']}/{thing['metadata']['name']}"


# What only one of the two tools writes, and what means nothing to the cluster.
TOOL_LABELS = {"helm.sh/chart", "app.kubernetes.io/managed-by"}
TOOL_ANNOTATIONS = {"aqueduct/job-files"}


def _plain(value, suffixed):
    """Lists of named things by name, hashed names without their hash, numbers in text as text."""
    if isinstance(value, dict):
        return {key: _plain(item, suffixed) for key, item in value.items()}
    if isinstance(value, list):
        items = [_plain(item, suffixed) for item in value]
        for key in ("name", "secretKey"):
            if items and all(isinstance(item, dict) and key in item for item in items):
                items.sort(key=lambda item: item[key])
        return items
    if isinstance(value, str):
        return suffixed.get(value, value)
    return value


def normal(things):
    """By kind and name; without the marks of the tool that made them."""
    suffixed = {}
    for thing in things:
        given = thing["metadata"]["name"]
        if thing["kind"] == "ConfigMap" and re.search(r"-[0-9a-z]{10}$", given):
            suffixed[given] = given[:-11]
    result = {}
    for thing in things:
        thing = _plain(json.loads(json.dumps(thing)), suffixed)
        for holder in (thing, thing.get("spec", {}).get("template", {})):
            meta = holder.get("metadata", {})
            for key, marks in (("labels", TOOL_LABELS), ("annotations", TOOL_ANNOTATIONS)):
                kept = {k: v for k, v in meta.get(key, {}).items() if k not in marks}
                meta.pop(key, None)
                if kept:
                    meta[key] = kept
        for key, text in thing.get("data", {}).items():
            thing["data"][key] = json.loads(text) if key.endswith(".json") else text.rstrip("\n")
        result[name(thing)] = thing
    return result


def differences(left, right, path=""):
    """Where two values differ, as paths with both values."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            inner = f"{path}.{key}" if path else key
            if key not in left or key not in right:
                yield f"{inner}: only in {'the second' if key not in left else 'the first'}"
            else:
                yield from differences(left[key], right[key], inner)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right)):
            yield from differences(one, other, f"{path}[{index}]")
    elif left != right:
        yield f"{path}: {json.dumps(left)[:120]} | {json.dumps(right)[:120]}"

"""Every manifest against the schemas of its kind, unknown fields refused: schemas.py CRDS FOLDER."""

import copy
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate

from objects import K8S, load, name

VERSION = "1.34"


def strict(schema):
    """A CRD's schema in which a field that is not named is an error, as with server-side apply."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" not in schema:
            if not schema.get("x-kubernetes-preserve-unknown-fields"):
                schema["additionalProperties"] = False
        if schema.get("x-kubernetes-int-or-string"):
            schema.pop("type", None)
            schema.pop("anyOf", None)
            schema["type"] = ["integer", "string"]
        return schema
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    return schema


def crds(folder):
    found = {}
    for path in sorted(Path(folder).glob("*.yaml")) if folder else []:
        for crd in load(path):
            spec = crd["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[key] = jsonschema.Draft202012Validator(schema)
    return found


def fault(thing, definitions):
    """What is wrong with a manifest; None when nothing is; "no schema" for a kind that nobody described."""
    key = (thing.get("apiVersion"), thing.get("kind"))
    if key in definitions:
        errors = sorted(definitions[key].iter_errors(thing), key=lambda error: list(map(str, error.path)))
        return f"{'/'.join(map(str, errors[0].path))}: {errors[0].message}" if errors else None
    if "." in key[0].split("/")[0] and not key[0].split("/")[0].endswith(".k8s.io"):
        return "no schema"
    try:
        kubernetes_validate.validate(thing, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{error.path}: {error.message}"
    return None


def planted(thing):
    """The manifest with one field that does not exist and, in another copy, one of the wrong type."""
    unknown = copy.deepcopy(thing)
    unknown.get("spec", unknown)["plantedField"] = 1
    yield "a field that does not exist", unknown
    wrong = copy.deepcopy(thing)
    wrong["metadata"] = copy.deepcopy(wrong["metadata"])
    if thing["kind"] == "ConfigMap":
        wrong["data"] = "text"
    elif "spec" in wrong:
        wrong["spec"] = "text"
    else:
        wrong["automountServiceAccountToken"] = "perhaps"
    yield "a value of the wrong type", wrong


def main(folder, definitions):
    status, count, kinds, skipped = 0, 0, set(), set()
    paths = sorted(Path(folder).glob("*.yaml")) + [K8S / "namespace.yaml", K8S / "argocd" / "application.yaml"]
    for path in paths:
        for thing in load(path):
            found = fault(thing, definitions)
            if found == "no schema":
                skipped.add(thing["kind"])
                continue
            if found:
                status = 1
                print(f"{path.name}: {name(thing)}: {found}")
                continue
            count += 1
            if thing["kind"] in kinds:
                continue
            kinds.add(thing["kind"])
            for what, broken in planted(thing):
                if fault(broken, definitions) is None:
                    status = 1
                    print(f"{name(thing)}: {what} was not refused")
    for kind in sorted(skipped):
        print(f"SKIPPED: schema of {kind}: its CRD is not here")
    print(f"{'ok' if status == 0 else 'FAILED'}: {count} manifests of {len(kinds)} kinds against Kubernetes {VERSION} and the "
          "operators' CRDs; of each kind an unknown field and a wrong type were refused")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[2], crds(sys.argv[1])))

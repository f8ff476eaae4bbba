#!/usr/bin/env python3
"""Recovers the schema of Terraform's Google provider from the npm package @cdktf/provider-google.

The package holds code generated from the provider's own schema: every resource, attribute, block, their types, and
whether each is required, optional or computed. This reads that code and writes one JSON file, which `provider.go` serves to
Terraform, so that `validate` and `test` check our modules where the provider itself cannot be had.

Not recovered, because the package does not hold it: which attributes exclude each other, allowed values, defaults, and
checks that the provider makes in code. It never talks to Google.

    extract.py FOLDER_OF_THE_PACKAGE OUTPUT.json
"""

import json
import pathlib
import re
import sys

FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.S | re.M)
TOP_LEVEL = re.compile(r"^    synthesizeHclAttributes\(\) \{\n(.*?)^    \}", re.S | re.M)
CLASS = re.compile(r"^class (\w+) extends (?:cdktf\.)?(\w+) \{\n(.*?)^\}", re.S | re.M)
ENTRY = re.compile(
    r'^ +"?(\w+)"?: \{\n +value: (.*),\n +isBlock: (true|false),\n +type: "(\w+)",\n +storageClassType: "(\w+)",', re.M
)
FLAGS = re.compile(r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)")
COMPLEX = re.compile(r'this\._\w+ = new (\w+)\(this, "(\w+)"')
GETTER = re.compile(r"^    get \w+\(\) \{\n +return (.*?);\n    \}", re.S | re.M)
GETTER_CALL = re.compile(r"this\.get(\w+)Attribute\('(\w+)'\)")

SCALARS = {"string": "string", "boolean": "bool", "number": "number", "any": "string"}
COMPUTED = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "string"],
}
COLLECTIONS = re.compile(r"^(string|boolean|number|any)(List|Map|MapList|ListList)$")


class Package:
    """The generated code of one resource or data source."""

    def __init__(self, text):
        self.functions = {name: body for name, body in FUNCTION.findall(text)}
        self.classes = {name: (base, body) for name, base, body in CLASS.findall(text)}
        self.text = text
        self.top = next(
            (name for name, (base, _) in self.classes.items() if base in ("TerraformResource", "TerraformDataSource", "TerraformProvider")),
            None,
        )

    def type_name(self):
        found = re.search(r'tfResourceType = "(\w+)"', self.text)
        return found and found.group(1)

    def schema(self):
        entries = TOP_LEVEL.search(self.classes[self.top][1])
        block = self.block(entries.group(1) if entries else "", self.classes[self.top][1])
        if "id" in block["attributes"]:
            block["attributes"]["id"]["computed"] = not block["attributes"]["id"]["required"]
        return block

    def nested(self, stem):
        lower = stem[0].lower() + stem[1:]
        return self.block(self.functions.get(lower, ""), self.classes.get(stem + "OutputReference", ("", ""))[1])

    def block(self, entries, body):
        flags = {name: {"computed": c == "true", "optional": o == "true", "required": r == "true"} for name, c, o, r in FLAGS.findall(body)}
        attributes, blocks = {}, {}
        for name, value, is_block, kind, storage in ENTRY.findall(entries):
            flag = flags.get(name) or self.flag_of(name, value, body)
            stem = re.sub(r"List$", "", storage)
            if is_block == "true" and flag["computed"]:
                # The provider serves an optional and computed block as an attribute.
                attributes[name] = dict(flag, type=["set" if kind == "set" else "list", self.object_of(stem)])
            elif is_block == "true":
                nesting = {"struct": "single", "set": "set"}.get(kind, "list")
                many = value.startswith("cdktf.listMapperHcl(")
                # Timeouts are the only true singles; other lone structures are lists of at most one.
                nesting = "list" if nesting == "single" and name != "timeouts" else nesting
                blocks[name] = {
                    "nesting": nesting,
                    "min": 1 if flag["required"] else 0,
                    "max": 0 if many or nesting == "single" else 1,
                    "block": self.nested(stem),
                }
            else:
                attributes[name] = dict(flag, type=self.type_of(kind, storage))
        self.add_computed(body, flags, attributes, blocks)
        return {"attributes": attributes, "blocks": blocks}

    def flag_of(self, name, value, body):
        """Comments are lost for plain attributes; what can be reset is optional."""
        field = re.search(r"(?:struct\.|this\._)(\w+)", value)
        reset = field and f"reset{field.group(1)[0].upper()}{field.group(1)[1:]}() {{" in body
        return {"computed": False, "optional": bool(reset), "required": not reset}

    def add_computed(self, body, flags, attributes, blocks):
        def add(name, kind):
            if name not in attributes and name not in blocks:
                attributes[name] = {"computed": True, "optional": False, "required": False, "type": kind}

        for expression in GETTER.findall(body):
            call = GETTER_CALL.search(expression)
            if call and call.group(1) in COMPUTED and not flags.get(call.group(2), {}).get("required"):
                kind = COMPUTED[call.group(1)]
                add(call.group(2), ["set", kind[1]] if "tolist" in expression and isinstance(kind, list) else kind)
        for of, name in COMPLEX.findall(body):
            if name in attributes or name in blocks:
                continue
            if of.startswith("cdktf") or of in ("StringMap", "NumberMap", "BooleanMap"):
                add(name, ["map", "string"])
            else:
                stem = re.sub(r"(List|OutputReference)$", "", of)
                add(name, ["list", self.object_of(stem)])
        for name in re.findall(r'new cdktf\.(?:String|Any)Map\(this, "(\w+)"\)', body):
            add(name, ["map", "string"])
        for name in re.findall(r'new cdktf\.BooleanMap\(this, "(\w+)"\)', body):
            add(name, ["map", "bool"])

    def type_of(self, kind, storage):
        if storage in SCALARS:
            return SCALARS[storage] if kind == "simple" else [kind, SCALARS[storage]]
        found = COLLECTIONS.match(storage)
        if found:
            inner = SCALARS[found.group(1)]
            if found.group(2) == "ListList":
                return ["list", ["list", inner]]
            if found.group(2) == "MapList":
                return ["list", ["map", inner]]
            return [kind if kind in ("list", "set", "map") else "list", inner]
        return [kind if kind in ("list", "set", "map") else "list", self.object_of(re.sub(r"List$", "", storage))]

    def object_of(self, stem):
        block = self.nested(stem)
        fields = {name: attribute["type"] for name, attribute in block["attributes"].items()}
        for name, inner in block["blocks"].items():
            fields[name] = [inner["nesting"] if inner["nesting"] != "single" else "list", as_object(inner["block"])]
        return ["object", fields]


def as_object(block):
    fields = {name: attribute["type"] for name, attribute in block["attributes"].items()}
    fields.update({name: ["list", as_object(inner["block"])] for name, inner in block["blocks"].items()})
    return ["object", fields]


def main(folder, output):
    library = pathlib.Path(folder) / "lib"
    result = {"version": "", "provider": {}, "resources": {}, "data": {}}
    for place in sorted(library.iterdir()):
        if not place.is_dir():
            continue
        files = sorted(place.rglob("*.js"))
        text = "\n".join(file.read_text() for file in files)
        package = Package(text)
        if place.name == "provider":
            result["provider"] = package.schema()
            continue
        name = package.type_name()
        if not name or not package.top:
            continue
        data = package.classes[package.top][0] == "TerraformDataSource"
        result["data" if data else "resources"][name] = package.schema()
        found = re.search(r"providerVersion: '([\d.]+)'", text)
        result["version"] = found.group(1) if found else result["version"]
    if len(result["resources"]) < 500 or not result["version"]:
        sys.exit(f"{folder}: only {len(result['resources'])} resources could be read; its layout has changed")
    pathlib.Path(output).write_text(json.dumps(result))
    print(f"google {result['version']}: {len(result['resources'])} resources, {len(result['data'])} data sources")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])

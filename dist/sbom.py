#!/usr/bin/env python3
"""Writes a CycloneDX 1.5 bill of materials for the shipped program.

    sbom.py METADATA CARGO_LOCK PROGRAM      METADATA from `cargo metadata --locked --filter-platform ...`

Rust: what package `aqueduct` reaches by normal dependencies is "required" (it is in the program); what is only reached through
build scripts and procedural macros is "excluded" (it ran while building). C and C++: what the *-sys packages bring, from their versions,
and what is linked in from the machine. The same sources and tools give the same bytes. It judges no licence and no vulnerability.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path

# C and C++ inside Rust packages: name, licence, and how the package's own version tells theirs.
INSIDE = {
    "rdkafka-sys": ("librdkafka", "BSD-2-Clause", r"\+([\d.]+)$"),
    "librocksdb-sys": ("rocksdb", "Apache-2.0", r"\+([\d.]+)$"),
    "zstd-sys": ("zstd", "BSD-3-Clause", r"\+zstd\.([\d.]+)$"),
    "lz4-sys": ("lz4", "BSD-2-Clause", r"\+lz4-([\d.]+)$"),
    "libmimalloc-sys": ("mimalloc", "MIT", None),
    "aws-lc-sys": ("aws-lc", "ISC AND (Apache-2.0 OR ISC)", None),
}
# Linked in from the machine that builds (jobs/runner/build.rs): name, licence, how to ask for the version.
LINKED = {
    "openssl": ("Apache-2.0", ["pkg-config", "--modversion", "openssl"]),
    "zlib": ("Zlib", ["pkg-config", "--modversion", "zlib"]),
    "libstdc++": ("GPL-3.0-or-later WITH GCC-exception-3.1", ["g++", "-dumpfullversion"]),
}


def reached(metadata):
    """Package id -> "required" or "excluded", from `aqueduct` down."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(id_ for id_, package in packages.items() if package["name"] == "aqueduct" and package["source"] is None)
    macro = lambda id_: any("proc-macro" in target["kind"] for target in packages[id_]["targets"])
    scope, edges, todo = {root: "required"}, {}, [root]
    while todo:
        at = todo.pop()
        edges[at] = set()
        for dependency in nodes[at]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            to = dependency["pkg"]
            if kinds == {"dev"}:
                continue
            edges[at].add(to)
            found = "required" if scope[at] == "required" and None in kinds and not macro(to) else "excluded"
            if scope.get(to) == "required" or scope.get(to) == found:
                continue
            scope[to] = found
            todo.append(to)
    return root, packages, scope, edges


def licences(text):
    if not text:
        return []
    return [{"expression": re.sub(r"\s*/\s*", " OR ", text)}]


def rust(package, scope, sums):
    name, version = package["name"], package["version"]
    ours = package["source"] is None
    purl = f"pkg:cargo/{name}@{version}"
    entry = {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope}
    if not ours:
        entry["hashes"] = [{"alg": "SHA-256", "content": sums[(name, version)]}]
        entry["purl"] = purl
    if package["license"]:
        entry["licenses"] = licences(package["license"])
    if package.get("repository"):
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return entry


def native(name, version, licence):
    ref = f"pkg:generic/{name}@{version}" if version else f"pkg:generic/{name}"
    entry = {"type": "library", "bom-ref": ref, "name": name, "scope": "required", "licenses": licences(licence), "purl": ref}
    if version:
        entry["version"] = version
    return entry


def said(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main(metadata_path, lock_path, program):
    metadata = json.loads(Path(metadata_path).read_text())
    lock = tomllib.loads(Path(lock_path).read_text())
    sums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    root, packages, scope, edges = reached(metadata)
    refs = {id_: f"pkg:cargo/{packages[id_]['name']}@{packages[id_]['version']}" for id_ in scope}
    graph = {refs[id_]: {refs[to] for to in edges[id_]} for id_ in scope}
    components = [rust(packages[id_], scope[id_], sums) for id_ in scope if id_ != root]
    for id_ in scope:
        name = packages[id_]["name"]
        if name in INSIDE and scope[id_] == "required":
            inner, licence, pattern = INSIDE[name]
            found = pattern and re.search(pattern, packages[id_]["version"])
            if pattern and not found:
                sys.exit(f"{name} {packages[id_]['version']} does not say which {inner} it holds: has its form changed?")
            components.append(native(inner, found[1] if found else packages[id_]["version"], licence))
            graph[refs[id_]].add(components[-1]["bom-ref"])
    for name, (licence, command) in LINKED.items():
        components.append(native(name, said(command), licence))
        graph[refs[root]].add(components[-1]["bom-ref"])
    compiler = said(["rustc", "--version"]).split()[1]
    components.append(native("rust-std", compiler, "MIT OR Apache-2.0"))
    graph[refs[root]].add(components[-1]["bom-ref"])
    digest = hashlib.sha256(Path(program).read_bytes()).hexdigest()
    about = packages[root]
    moment = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'aqueduct:{digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": refs[root],
                "name": "aqueduct",
                "version": about["version"],
                "licenses": licences(about["license"]),
                "hashes": [{"alg": "SHA-256", "content": digest}],
            },
        },
        "components": sorted(components, key=lambda entry: entry["bom-ref"]),
        "dependencies": [{"ref": ref, "dependsOn": sorted(to)} for ref, to in sorted(graph.items())],
    }
    json.dump(bom, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

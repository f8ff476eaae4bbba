"""Chart and kustomize overlays deploy the same objects: agree.py FOLDER, where helm-ENV.yaml and kustomize-ENV.yaml lie."""

import copy
import sys
from pathlib import Path

from objects import ENVIRONMENTS, differences, load, normal


def compare(chart, overlay):
    return list(differences(normal(chart), normal(overlay)))


def seen_to_catch(chart, overlay):
    """The comparison sees a difference in each object, however small."""
    blind = []
    for index, thing in enumerate(overlay):
        broken = copy.deepcopy(overlay)
        target = broken[index]
        if "data" in target:
            key = sorted(target["data"])[0]
            target["data"][key] = target["data"][key].replace("e", "E", 1)
        elif "spec" in target:
            target["spec"]["planted"] = True
        else:
            target["planted"] = True
        try:
            caught = compare(chart, broken)
        except ValueError:
            caught = ["not even JSON any more"]
        if not caught:
            blind.append(f"{thing['kind']}/{thing['metadata']['name']}")
        if not compare(chart, overlay[:index] + overlay[index + 1 :]):
            blind.append(f"the absence of {thing['kind']}/{thing['metadata']['name']}")
    return blind


def main(folder):
    status = 0
    for environment in ENVIRONMENTS:
        chart = load(Path(folder) / f"helm-{environment}.yaml")
        overlay = load(Path(folder) / f"kustomize-{environment}.yaml")
        found = compare(chart, overlay)
        for line in found:
            print(f"{environment}: chart | overlay: {line}")
        blind = [] if found else seen_to_catch(chart, overlay)
        for what in blind:
            print(f"{environment}: the comparison would not see a change of {what}")
        if found or blind:
            status = 1
        else:
            print(f"ok: {environment}: {len(chart)} objects, the same from the chart and from the overlay")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Chart and overlays on a real API server: accepted, pods made under `restricted`, broken variants refused, verbs obeyed.

server.py FOLDER, where the rendered manifests lie. Programs come from the environment (see cluster.py), CRDS too.
"""

import copy
import json
import os
import sys
from pathlib import Path

from cluster import Cluster
from objects import ENVIRONMENTS, K8S, load, name

SPACE = "aqueduct"
APPLY = ("apply", "--server-side", "--force-conflicts", "--field-manager=check")


class Check:
    def __init__(self, cluster):
        self.cluster, self.faults, self.done = cluster, [], []

    def must(self, what, outcome):
        if outcome.returncode:
            self.faults.append(f"{what}: {(outcome.stderr or outcome.stdout).strip()}")
        return outcome

    def needs(self, what, outcome):
        """Without this nothing that follows means anything."""
        if outcome.returncode:
            raise SystemExit(f"{what}: {(outcome.stderr or outcome.stdout).strip()}")
        return outcome

    def refused(self, what, outcome, text):
        answer = outcome.stderr + outcome.stdout
        if not outcome.returncode:
            self.faults.append(f"{what}: was not refused")
        elif text not in answer:
            self.faults.append(f"{what}: refused, but not for '{text}': {answer.strip()[:400]}")
        else:
            self.done.append(what)

    def get(self, kind, which):
        found = self.cluster.kubectl("get", kind, which, "-n", SPACE, "-o", "json")
        return json.loads(found.stdout) if found.returncode == 0 else None

    def pod(self, at_least=0):
        """The pod that the StatefulSet's controller made, once it is there."""
        def there():
            pod = self.get("pod", "image-metrics-0")
            return pod and "deletionTimestamp" not in pod["metadata"]
        self.cluster.wait("pod image-metrics-0", there, 60)
        return self.get("pod", "image-metrics-0")

    def no_pod(self):
        self.cluster.wait("the end of pod image-metrics-0", lambda: self.get("pod", "image-metrics-0") is None, 60)


def prepare(check):
    cluster = check.cluster
    for path in sorted(Path(os.environ["CRDS"]).glob("*.yaml")):
        check.must(path.name, cluster.kubectl(*APPLY, "-f", str(path)))
    check.must("CRDs", cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"))
    check.must("namespace.yaml", cluster.kubectl(*APPLY, "-f", str(K8S / "namespace.yaml")))
    check.must("namespace argocd", cluster.kubectl("create", "namespace", "argocd"))
    check.must("argocd/application.yaml", cluster.kubectl(*APPLY, "-f", str(K8S / "argocd/application.yaml")))
    ready = lambda: cluster.kubectl("get", "serviceaccount", "default", "-n", SPACE).returncode == 0
    cluster.wait("the namespace's service account", ready)


def warned(outcome):
    return [line for line in outcome.stderr.splitlines() if "Warning" in line]


def accept(check, folder):
    """Each rendering whole, for real; its pod is made by the controller, under the enforced profile."""
    cluster = check.cluster
    for environment in ENVIRONMENTS:
        for tool in ("helm", "kustomize"):
            path = str(Path(folder) / f"{tool}-{environment}.yaml")
            what = f"{tool} {environment}"
            for outcome in (
                check.must(f"{what}, dry run", cluster.kubectl(*APPLY, "--dry-run=server", "-f", path)),
                check.must(what, cluster.kubectl(*APPLY, "-f", path)),
            ):
                check.faults += [f"{what}: {line}" for line in warned(outcome)]
            if check.faults:
                return
            pod = check.pod()
            if pod["spec"]["securityContext"].get("runAsNonRoot") is not True:
                check.faults.append(f"{what}: the pod is not what was asked for")
            check.must(f"{what}, removal", cluster.kubectl("delete", "--wait=true", "-f", path))
            check.no_pod()
            print(f"ok: {what}: {len(load(path))} objects accepted without a warning, the pod was made under restricted")


def accept_savepoint(check, folder):
    """The hook before an upgrade: its pod too is made under the enforced profile."""
    path = str(Path(folder) / "extra-savepoint.yaml")
    check.must("with savepoints", check.cluster.kubectl(*APPLY, "-f", path))
    made = lambda: "pod/" in check.cluster.kubectl("get", "pod", "-n", SPACE, "-l", "job-name=image-metrics-savepoint", "-o", "name").stdout
    check.cluster.wait("the pod that takes the savepoint", made, 60)
    check.must("removal", check.cluster.kubectl("delete", "--wait=true", "-f", path))
    check.no_pod()
    print("ok: helm gke with savepoints: the hook's pod was made under restricted")


def variant(thing, change):
    broken = copy.deepcopy(thing)
    change(broken)
    return json.dumps(broken)


def refuse_objects(check, folder):
    """What schemas cannot see, and what they can: one break each, refused by the server."""
    things = {name(thing): thing for thing in load(Path(folder) / "kustomize-gke.yaml")}
    spec = lambda thing: thing["spec"]["template"]["spec"]
    container = lambda thing: spec(thing)["containers"][0]
    breaks = [
        ("PodDisruptionBudget/image-metrics", "a budget with both bounds", "cannot be both set", lambda t: t["spec"].update(minAvailable=1)),
        ("NetworkPolicy/image-metrics-egress-msk", "a policy with an address for a range", "must be a valid",
         lambda t: t["spec"]["egress"][0]["to"][0]["ipBlock"].update(cidr="10.20.0.0")),
        ("NetworkPolicy/image-metrics-egress-msk", "a policy with a host name", "must be a valid",
         lambda t: t["spec"]["egress"][0]["to"][0]["ipBlock"].update(cidr="b-1.msk.internal")),
        ("StatefulSet/image-metrics", "a selector that is not the template's", "selector", lambda t: t["spec"]["selector"]["matchLabels"].update(x="y")),
        ("StatefulSet/image-metrics", "a mount without its volume", "Not found", lambda t: container(t)["volumeMounts"].append({"name": "none", "mountPath": "/x"})),
        ("StatefulSet/image-metrics", "a request above its limit", "must be less than or equal to", lambda t: container(t)["resources"]["requests"].update(memory="3Gi")),
        ("StatefulSet/image-metrics", "a restart policy that leaves it down", "Unsupported value", lambda t: spec(t).update(restartPolicy="OnFailure")),
        ("StatefulSet/image-metrics", "a field that does not exist", "field not declared in schema", lambda t: spec(t).update(runAsNonRoot=True)),
        ("StatefulSet/image-metrics", "a token that lives too short", "may not specify a duration less than 10 minutes",
         lambda t: [v for v in spec(t)["volumes"] if v["name"] == "aws-token"][0]["projected"]["sources"][0]["serviceAccountToken"].update(expirationSeconds=60)),
        ("Service/image-metrics", "a port out of range", "must be between 1 and 65535", lambda t: t["spec"]["ports"][0].update(port=80800)),
        ("ServiceMonitor/image-metrics", "a scrape interval in words", "should match", lambda t: t["spec"]["endpoints"][0].update(interval="often")),
        ("PrometheusRule/aqueduct", "an alert without its query", "expr", lambda t: t["spec"]["groups"][1]["rules"][0].pop("expr")),
        ("ExternalSecret/image-metrics-kafka", "a policy that does not exist", "Unsupported value", lambda t: t["spec"]["target"].update(creationPolicy="Own")),
    ]
    for which, what, text, change in breaks:
        body = variant(things[which], change)
        outcome = check.cluster.kubectl(*APPLY, "--dry-run=server", "--validate=strict", "-f", "-", text=body)
        check.refused(f"{which}: {what}", outcome, text)
        check.must(f"{which}, unbroken", check.cluster.kubectl(*APPLY, "--dry-run=server", "-f", "-", text=json.dumps(things[which])))
    return len(breaks)


def refuse_pods(check, folder):
    """The pod of each rendering with one guard taken away, made for real: PodSecurity refuses it."""
    breaks = [
        ("privileged", lambda s, c: c["securityContext"].update(privileged=True, allowPrivilegeEscalation=True)),
        ("allowed to gain privileges", lambda s, c: c["securityContext"].pop("allowPrivilegeEscalation")),
        ("with its capabilities", lambda s, c: c["securityContext"].pop("capabilities")),
        ("as root", lambda s, c: (s["securityContext"].update(runAsUser=0), c["securityContext"].update(runAsUser=0))),
        ("perhaps as root", lambda s, c: (s["securityContext"].pop("runAsNonRoot"), c["securityContext"].pop("runAsNonRoot"))),
        ("without seccomp", lambda s, c: (s["securityContext"].pop("seccompProfile"), c["securityContext"].pop("seccompProfile"))),
        ("on the host's network", lambda s, c: s.update(hostNetwork=True)),
        ("with the host's processes", lambda s, c: s.update(hostPID=True)),
        ("with a folder of the host", lambda s, c: s["volumes"].append({"name": "h", "hostPath": {"path": "/var"}})),
    ]
    count = 0
    for environment in ENVIRONMENTS:
        things = {name(thing): thing for thing in load(Path(folder) / f"helm-{environment}.yaml")}
        check.must("service account", check.cluster.kubectl(*APPLY, "-f", "-", text=json.dumps(things["ServiceAccount/image-metrics"])))
        template = things["StatefulSet/image-metrics"]["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": SPACE}, "spec": template["spec"]}
        check.must(f"{environment}: the pod itself", check.cluster.kubectl("create", "-f", "-", text=json.dumps(pod)))
        check.must("removal", check.cluster.kubectl("delete", "pod", "probe", "-n", SPACE, "--force"))
        for what, change in breaks:
            body = variant(pod, lambda p: change(p["spec"], p["spec"]["containers"][0]))
            outcome = check.cluster.kubectl("create", "-f", "-", text=body)
            check.refused(f"{environment}: pod {what}", outcome, 'violates PodSecurity "restricted')
            count += 1
        check.must("removal", check.cluster.kubectl("delete", "serviceaccount", "image-metrics", "-n", SPACE))
    return count


def verbs(check):
    """helm install, suspend, resume, restart, drain, uninstall, as people type them."""
    values = ["-n", SPACE, "-f", str(K8S / "chart/values/gke.yaml")]
    upgrade = lambda *more: check.needs(f"helm upgrade {' '.join(more)}", check.cluster.helm("upgrade", "--install", "image-metrics", str(K8S / "chart"), *values, *more))
    notes = upgrade().stdout
    first = check.pod()["metadata"]["uid"]
    for word in ("aqueduct status", "never deletes"):
        if word not in notes:
            check.faults.append(f"NOTES.txt does not say '{word}'")
    upgrade("--set", "state=suspended")
    check.no_pod()
    print("ok: state=suspended ended the pod")
    upgrade("--set", "state=running")
    second = check.pod()["metadata"]
    revision = lambda pod: pod["labels"]["controller-revision-hash"]
    upgrade("--set", "restartNonce=1")
    check.cluster.wait("another pod", lambda: revision(check.pod()["metadata"]) != revision(second), 60)
    print("ok: state=running made another pod; restartNonce replaced it")
    if first == second["uid"]:
        check.faults.append("suspending did not end the pod")
    drain(check)
    check.must("helm uninstall", check.cluster.helm("uninstall", "image-metrics", "-n", SPACE, "--wait"))
    check.no_pod()
    left = check.cluster.kubectl("get", "all,configmap,secret,pvc,externalsecret", "-n", SPACE, "-o", "name").stdout.split()
    left = [thing for thing in left if "kube-root-ca" not in thing]
    print(f"ok: helm uninstall; left in the namespace: {left or 'nothing'}")


def drain(check):
    """The budget lets a node be drained: an eviction of the one ready pod is granted."""
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    check.must("ready pod", check.cluster.kubectl("patch", "pod", "image-metrics-0", "-n", SPACE, "--subresource=status", "--type=merge", "-p", json.dumps(ready)))
    allowed = lambda: (check.get("pdb", "image-metrics")["status"] or {}).get("disruptionsAllowed") == 1
    check.cluster.wait("the budget", allowed, 60)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "image-metrics-0", "namespace": SPACE}}
    path = f"/api/v1/namespaces/{SPACE}/pods/image-metrics-0/eviction"
    check.must("eviction", check.cluster.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(body)))
    print("ok: the eviction of the ready pod, as in a node drain, was granted")


def main(folder):
    with Cluster() as cluster:
        check = Check(cluster)
        prepare(check)
        if not check.faults:
            accept(check, folder)
        if not check.faults:
            accept_savepoint(check, folder)
        if not check.faults:
            objects, pods = refuse_objects(check, folder), refuse_pods(check, folder)
            print(f"ok: refused: {objects} broken objects and {pods} unsafe pods, each for its own reason")
            verbs(check)
        for fault in check.faults:
            print(fault)
        return 1 if check.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

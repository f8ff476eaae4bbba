"""What k8s/ names exists where it says: metrics, options, variables, endpoints, runbooks, tests of alerts.

names.py FOLDER, where the rendered manifests lie. It reads the Rust sources as text; it does not run the binary.
"""

import json
import re
import sys
from pathlib import Path

import yaml

from objects import K8S, ROOT, load

# Metrics that are not Aqueduct's, with the exporter that has them.
OTHERS = {
    "kube_statefulset_replicas": "kube-state-metrics",
    "kube_pod_container_resource_limits": "kube-state-metrics",
    "kube_pod_container_resource_requests": "kube-state-metrics",
    "kube_pod_container_status_restarts_total": "kube-state-metrics",
    "kube_pod_container_status_last_terminated_reason": "kube-state-metrics",
    "kube_pod_container_status_last_terminated_exitcode": "kube-state-metrics",
    "container_cpu_cfs_throttled_periods_total": "cAdvisor (kubelet)",
    "container_memory_working_set_bytes": "cAdvisor (kubelet)",
    "container_network_receive_bytes_total": "cAdvisor (kubelet)",
    "container_network_transmit_bytes_total": "cAdvisor (kubelet)",
    "container_fs_usage_bytes": "cAdvisor (kubelet)",
    "externalsecret_status_condition": "External Secrets operator",
}
# Labels that Prometheus puts on every sample of a pod.
TARGET_LABELS = {"job", "namespace", "pod", "container", "instance", "service", "endpoint"}
WORDS = {"and", "or", "unless", "bool", "offset", "by", "on", "without", "ignoring", "group_left", "group_right", "inf", "nan"}


def own_metrics():
    """Name -> labels, from METRICS in the runner."""
    text = (ROOT / "jobs/runner/src/metrics.rs").read_text()
    table = text[text.index("const METRICS") :]
    table = table[: table.index("];")]
    entries = re.findall(r'\(\s*"(\w+)",\s*"(\w+)",\s*"((?:[^"\\]|\\.)*)",?\s*\)', table)
    if len(entries) < 30:
        raise SystemExit("METRICS in jobs/runner/src/metrics.rs could not be read: has its form changed?")
    labels = {}
    for name, kind, meaning in entries:
        inside = re.search(r"\[([\w, ]+)\]$", meaning)
        own = set(re.split(r",\s*", inside[1])) if inside else set()
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for suffix in suffixes:
            labels[name + suffix] = own | ({"le"} if suffix == "_bucket" else set())
    return labels


def selectors(query):
    """(metric, label names in its braces) of a PromQL text; Grafana's variables count as text."""
    query = re.sub(r"#[^\n]*", " ", query)
    query = re.sub(r"\$\{?(\w+)(:\w+)?\}?", r"v_\1", query)
    query = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
    query = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", query)
    query = re.sub(r"\[[^\]]*\]", " ", query)
    query = re.sub(r"\boffset\s+\w+", " ", query)
    for found in re.finditer(r"(?<![\w.:])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?\s*(\()?", query):
        word, braces, call = found[1], found[2], found[3]
        if call or word.lower() in WORDS or word.startswith("v_"):
            continue
        yield word, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces or ""))


def rules():
    path = K8S / "chart/rules/prometheusrule.yaml"
    return [rule for group in load(path)[0]["spec"]["groups"] for rule in group["rules"]]


def panels(thing):
    for panel in thing.get("panels", []):
        yield panel
        yield from panels(panel)


def queries():
    """(where, PromQL) of all rules and dashboards."""
    for rule in rules():
        yield f"rule {rule.get('alert') or rule.get('record')}", rule["expr"]
    for path in sorted((K8S / "chart/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        count = 0
        for panel in panels(board):
            for target in panel.get("targets", []):
                count += 1
                yield f"{path.name}: {panel.get('title')}", target["expr"]
        if not count:
            yield f"{path.name}: no panel has a query", "a_dashboard_without_queries"
        for note in board.get("annotations", {}).get("list", []):
            yield f"{path.name}: annotation {note['name']}", note["expr"]
        for variable in board.get("templating", {}).get("list", []):
            text = variable.get("query", {}).get("query", "") if isinstance(variable.get("query"), dict) else ""
            inner = re.match(r"label_values\((.*), *\w+\)$", text)
            if inner:
                yield f"{path.name}: variable {variable['name']}", inner[1]


def metric_faults(known, records):
    for where, query in queries():
        for metric, used in selectors(query):
            if metric in OTHERS or metric in records:
                continue
            if metric not in known:
                yield f"{where}: no metric is named {metric}"
                continue
            for label in sorted(used - known[metric] - TARGET_LABELS):
                yield f"{where}: {metric} has no label {label}"


def check_metrics():
    known = own_metrics()
    records = {rule["record"] for rule in rules() if "record" in rule}
    faults = list(metric_faults(known, records))
    all_queries = list(queries())
    # Seen to catch: without any one of the metrics that are used, the check complains.
    used = {metric for _, query in all_queries for metric, _ in selectors(query) if metric in known}
    for metric in sorted(used):
        without = {name: labels for name, labels in known.items() if name != metric}
        if not list(metric_faults(without, records)):
            faults.append(f"the check would not miss {metric}")
    idle = sorted(set(OTHERS) - {metric for _, query in all_queries for metric, _ in selectors(query)})
    faults += [f"names.py: OTHERS lists {metric}, which nothing uses" for metric in idle]
    unseen = sorted(set(known) - used)
    done = f"{len(all_queries)} queries use {len(used)} of {len(known)} metrics of METRICS and {len(OTHERS)} of named exporters"
    if unseen:
        done += f" (in no query: {', '.join(unseen)})"
    return faults, done


def check_alert_tests():
    fires, silent = set(), set()
    for path in sorted((K8S / "check/alerts").glob("*.yaml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                (fires if case["exp_alerts"] else silent).add(case["alertname"])
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    faults = [f"alert {name}: no test in which it fires" for name in sorted(alerts - fires)]
    faults += [f"alert {name}: no test in which it stays silent" for name in sorted(alerts - silent)]
    faults += [f"tests name {name}, which is no alert" for name in sorted((fires | silent) - alerts)]
    return faults, f"{len(alerts)} alerts, each with a test that fires and one that stays silent"


def check_runbooks():
    faults, used = [], set()
    for rule in rules():
        if "alert" not in rule:
            continue
        url = rule["annotations"].get("runbook_url", "")
        page = ROOT / url
        if not url.startswith("k8s/runbooks/alerts/") or not page.is_file():
            faults.append(f"alert {rule['alert']}: its runbook {url!r} does not exist")
        elif rule["alert"] not in page.read_text():
            faults.append(f"alert {rule['alert']}: {url} does not mention it")
        used.add(page)
        if rule["labels"].get("severity") not in ("page", "ticket"):
            faults.append(f"alert {rule['alert']}: severity is page or ticket")
    for page in sorted((K8S / "runbooks/alerts").glob("*.md")):
        if page not in used:
            faults.append(f"{page.relative_to(ROOT)}: no alert leads there")
    pages = sorted(K8S.rglob("*.md"))
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in link and not (page.parent / link).exists():
                faults.append(f"{page.relative_to(ROOT)}: the link {link} leads nowhere")
    index = (K8S / "runbooks/README.md").read_text()
    for page in sorted((K8S / "runbooks").rglob("*.md")):
        inner = str(page.relative_to(K8S / "runbooks"))
        if inner != "README.md" and f"({inner})" not in index:
            faults.append(f"k8s/runbooks/README.md does not list {inner}")
    return faults, f"{len(used)} runbooks for alerts exist; all links of {len(pages)} pages lead somewhere"


def options():
    text = (ROOT / "jobs/runner/src/cli.rs").read_text()
    found = set(re.findall(r'long = "([\w-]+)"', text))
    for field in re.findall(r"#\[arg\([^\]]*\blong\b[^\]]*\)\]\s*pub\(crate\) (\w+):", text):
        found.add(field.replace("_", "-"))
    return found


def check_arguments(folder):
    """What the pods are started with is what the binary understands."""
    faults, known, count = [], options(), 0
    verbs = {verb.lower() for verb in re.findall(r"^    (\w+)\(", (ROOT / "jobs/runner/src/cli.rs").read_text(), re.M)}
    endpoints = set(re.findall(r'route\("(/\w+)"', (ROOT / "jobs/runner/src/http.rs").read_text()))
    settings = (ROOT / "README.md").read_text()
    for path in sorted(Path(folder).glob("*.yaml")):
        for thing in load(path):
            spec = thing.get("spec", {}).get("template", {}).get("spec")
            if not spec:
                continue
            job = (ROOT / "jobs/image-metrics/job.sql").read_text()
            for container in spec["containers"]:
                arguments = container["args"]
                if arguments[0] not in verbs:
                    faults.append(f"{path.name}: aqueduct has no verb {arguments[0]}")
                for argument in arguments[1:]:
                    count += 1
                    option, _, value = argument.lstrip("-").partition("=")
                    if argument.startswith("--") and option not in known:
                        faults.append(f"{path.name}: aqueduct has no option --{option}")
                    variable = value.split("=")[0]
                    if option == "set" and "/jobs/image-metrics" in arguments and f"${{{variable}" not in job:
                        faults.append(f"{path.name}: jobs/image-metrics has no variable {variable}")
                    if option == "config" and f"`{variable}`" not in settings:
                        faults.append(f"{path.name}: there is no setting {variable}")
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    if probe in container and container[probe]["httpGet"]["path"] not in endpoints:
                        faults.append(f"{path.name}: {probe}: no endpoint {container[probe]['httpGet']['path']}")
    if not count:
        print("SKIPPED: arguments of the pods: nothing was rendered")
    return faults, f"{count} arguments of the pods are options, variables and settings of the binary"


def write_queries(path):
    """All queries of the dashboards as one file of rules, so that promtool can parse them."""
    texts = [query.replace("$__rate_interval", "5m") for where, query in queries() if not where.startswith("rule ")]
    rules_ = [{"record": f"dashboard:query:{number}", "expr": text} for number, text in enumerate(texts)]
    Path(path).write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules_}]}))


def main(folder):
    status = 0
    write_queries(Path(folder) / "dashboards.rules")
    spec = load(K8S / "chart/rules/prometheusrule.yaml")[0]["spec"]
    (Path(folder) / "alerts.rules").write_text(yaml.safe_dump(spec))
    for check in (check_metrics, check_alert_tests, check_runbooks, lambda: check_arguments(folder)):
        faults, done = check()
        for fault in faults:
            print(fault)
        print(f"FAILED: {len(faults)} faults" if faults else f"ok: {done}")
        status |= bool(faults)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

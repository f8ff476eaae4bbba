"""The pod's own command line and the alerts' own queries, on a running job: live.py FOLDER BINARY PROMETHEUS.

The job of overlay `local` runs with the arguments of its pod (paths and port apart), a real Prometheus scrapes it as the
ServiceMonitor says, and every query of dashboards and rules is asked. Then the job's life: SIGTERM, SIGKILL, a second owner.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from cluster import free_port
from names import OTHERS, own_metrics, queries, selectors
from objects import K8S, load

# Queries of a healthy job that have nothing to show.
EMPTY = {"kafka.json: Active partitions without any record yet"}
# Metrics that only a sink into Kafka has; the job of overlay `local` has none.
OF_KAFKA_SINKS = {"aqueduct_sink_last_stable_offset_lag"}


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, OSError):
        return 0, ""


def wait(what, condition, seconds=60):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"waited {seconds} s for {what}")
        time.sleep(0.05)
    return time.monotonic() - began


class Job:
    """One process of the job, started as its container would be."""

    def __init__(self, home, name, container, binary, checkpoints="checkpoints", more=()):
        self.port = free_port()
        self.log = (home / f"{name}.log").open("wb")
        place = {"/var/lib/aqueduct/state": str(home / f"state-{name}"), "/var/lib/aqueduct/checkpoints": str(home / checkpoints)}
        arguments = []
        for argument in container["args"]:
            for path, real in place.items():
                argument = argument.replace(path, real)
            arguments.append(re.sub(r"^--http=.*", f"--http=127.0.0.1:{self.port}", argument.replace("/job", str(home / "job"), 1) if argument == "/job" else argument))
        self.process = subprocess.Popen([binary, *arguments, *more], cwd=home / "work", stdout=self.log, stderr=self.log)

    def ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the job has ended with {self.process.returncode}: {Path(self.log.name).read_text()[-2000:]}")
        return fetch(f"http://127.0.0.1:{self.port}/readyz")[0] == 200

    def status(self):
        return json.loads(fetch(f"http://127.0.0.1:{self.port}/status")[1])

    def end(self, how):
        self.process.send_signal(how)
        return self.process.wait(60)


class Prometheus:
    def __init__(self, home, program, rules, port):
        self.port = free_port()
        config = home / "prometheus.yml"
        labels = {"job": "image-metrics", "namespace": "aqueduct", "pod": "image-metrics-0", "container": "aqueduct"}
        config.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "live", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}],
        }))
        log = (home / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={home / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=log, stderr=log)

    def ask(self, path, **arguments):
        code, text = fetch(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}")
        return json.loads(text) if text else {"status": "error", "error": f"no answer ({code})"}


def ask_all(prometheus, faults):
    own, shown = own_metrics(), 0
    for where, query in queries():
        text = query.replace("$job", ".+").replace("$__rate_interval", "10s")
        answer = prometheus.ask("query", query=text)
        used = {metric for metric, _ in selectors(query)}
        if answer["status"] != "success":
            faults.append(f"{where}: {answer.get('error')}")
        elif where.startswith("rule ") or used & (set(OTHERS) | OF_KAFKA_SINKS) or where in EMPTY or ": annotation " in where:
            continue
        elif not answer["data"]["result"]:
            faults.append(f"{where}: shows nothing for a running job: {text}")
        else:
            shown += 1
    firing = [alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["data"]["alerts"]]
    faults += [f"alert {name} is active for a healthy job" for name in firing]
    page = prometheus.ask("label/__name__/values")["data"]
    faults += [f"{name} is scraped and does not stand in METRICS" for name in page if name.startswith("aqueduct_") and name not in own]
    faults += [f"{name} stands in METRICS and was not scraped" for name in own if name not in page and name not in OF_KAFKA_SINKS]
    return shown


def life(home, container, binary, faults):
    """SIGTERM, SIGKILL and a second owner, timed."""
    job = Job(home, "one", container, binary)
    wait("the job to be ready", job.ready)
    wait("a checkpoint", lambda: job.status()["checkpoint"]["epoch"] > 2)
    if fetch(f"http://127.0.0.1:{job.port}/healthz")[0] != 200:
        faults.append("/healthz does not answer")
    began = time.monotonic()
    code = job.end(signal.SIGTERM)
    print(f"ok: SIGTERM: sealed, delivered, exit code {code}, after {time.monotonic() - began:.2f} s")
    if code != 0:
        faults.append(f"SIGTERM ended the job with {code}")
    for what, how in (("SIGTERM", None), ("SIGKILL", signal.SIGKILL)):
        job = Job(home, "one", container, binary)
        took = wait("the job to be ready again", job.ready)
        status = job.status()
        print(f"ok: after {what} ready again in {took:.2f} s, from epoch {status['checkpoint']['restored_epoch']}")
        if not status["checkpoint"]["restored_epoch"]:
            faults.append(f"after {what} the job began anew")
        if how is None:
            wait("another checkpoint", lambda: job.status()["checkpoint"]["run_commits"] > 2)
            job.end(signal.SIGKILL)
    second = Job(home, "two", container, binary)
    took = wait("the second owner", second.ready)
    code = job.process.wait(60)
    print(f"ok: a second owner was ready after {took:.2f} s; the first ended with exit code {code}")
    if code != 5:
        faults.append(f"the fenced process ended with {code}, not 5")
    return second


def savepoint(home, folder, container, binary, job, faults):
    """The hook before an upgrade takes one beside the running job. The job ends, and goes on from it in another checkpoint folder."""
    hook = next(thing for thing in load(Path(folder) / "extra-savepoint.yaml") if thing["kind"] == "Job")
    real = {"--checkpoint-dir": home / "checkpoints", "--to": home / "savepoints"}
    named = [argument.partition("=") for argument in hook["spec"]["template"]["spec"]["containers"][0]["args"]]
    arguments = [f"{name}={real[name]}" if name in real else name + equals + value for name, equals, value in named]
    taken = subprocess.run([binary, *arguments], cwd=home / "work", capture_output=True, text=True, timeout=60)
    folders = list((home / "savepoints").glob("*/_metadata"))
    if taken.returncode or len(folders) != 1:
        faults.append(f"the hook's command ended with {taken.returncode} and left {len(folders)} savepoints: {taken.stderr.strip()[-500:]}")
        return job
    code = job.end(signal.SIGTERM)
    job = Job(home, "moved", container, binary, "elsewhere", [f"--from-savepoint={folders[0].parent}"])
    took = wait("the job that begins with the savepoint", job.ready)
    epoch = job.status()["checkpoint"]["restored_epoch"]
    print(f"ok: the hook's savepoint, taken beside the running job (which ended with {code}), began another {took:.2f} s later at epoch {epoch}")
    if code or not epoch:
        faults.append("the savepoint disturbed the job, or the next one began anew")
    return job


def main(folder, binary, program):
    faults = []
    things = load(Path(folder) / "kustomize-local.yaml")
    container = next(thing for thing in things if thing["kind"] == "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    home = Path(tempfile.mkdtemp(prefix="aqueduct-live."))
    processes = []
    try:
        (home / "job").mkdir()
        (home / "work").mkdir()
        shutil.copy(K8S / "overlays/local/job.sql", home / "job/job.sql")
        job = life(home, container, binary, faults)
        processes.append(job.process)
        job = savepoint(home, folder, container, binary, job, faults)
        processes.append(job.process)
        prometheus = Prometheus(home, program, Path(folder).resolve() / "alerts.rules", job.port)
        processes.append(prometheus.process)
        wait("Prometheus", lambda: fetch(f"http://127.0.0.1:{prometheus.port}/-/ready")[0] == 200)
        ruled = "aqueduct:delivery_bad:ratio_3d and on (job) count_over_time(aqueduct_info[1m]) > 20"
        wait("twenty scrapes and the rules' first round", lambda: prometheus.ask("query", query=ruled)["data"]["result"], 120)
        shown = ask_all(prometheus, faults)
        print(f"{'ok' if not faults else 'FAILED'}: a real Prometheus on the running job: {shown} queries of the dashboards show something, no alert is active")
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)
        if not faults:
            shutil.rmtree(home)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

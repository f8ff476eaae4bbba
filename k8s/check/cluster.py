"""A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager. No kubelet: pods are made, not run.

Programs come from the environment (APISERVER, MANAGER, ETCD, KUBECTL); everything lies in a temporary folder and ends with
the process.
"""

import os
import secrets
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="aqueduct-cluster.")
        self.home = Path(self.folder.name)
        self.processes = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.folder.cleanup()

    def _spawn(self, name, program, *arguments):
        log = (self.home / f"{name}.log").open("wb")
        self.processes.append(subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=self.home))

    def _start(self):
        home, token = self.home, secrets.token_hex(16)
        clients, peers, port, manager_port = (free_port() for _ in range(4))
        key = home / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (home / "tokens.csv").write_text(f"{token},admin,1,system:masters\n")
        self._spawn(
            "etcd", os.environ["ETCD"], "--data-dir", str(home / "etcd"), "--listen-client-urls", f"http://127.0.0.1:{clients}",
            "--advertise-client-urls", f"http://127.0.0.1:{clients}", "--listen-peer-urls", f"http://127.0.0.1:{peers}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}", "--initial-cluster", f"default=http://127.0.0.1:{peers}",
        )
        self._spawn(
            "apiserver", os.environ["APISERVER"], f"--etcd-servers=http://127.0.0.1:{clients}", "--bind-address=127.0.0.1",
            f"--secure-port={port}", f"--cert-dir={home / 'certs'}", "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC", f"--token-auth-file={home / 'tokens.csv'}", "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        )
        config = home / "kubeconfig"
        config.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
            f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}]\n"
            f"users: [{{name: u, user: {{token: {token}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        )
        config.chmod(0o600)
        self.environment = {
            **os.environ, "KUBECONFIG": str(config), "KUBECACHEDIR": str(home / "cache"), "HELM_CACHE_HOME": str(home / "helm"),
            "HELM_CONFIG_HOME": str(home / "helm"), "HELM_DATA_HOME": str(home / "helm"), "HOME": str(home),
        }
        self.wait("the API server", lambda: self.kubectl("get", "--raw", "/readyz").returncode == 0)
        self._spawn(
            "manager", os.environ["MANAGER"], f"--kubeconfig={config}", f"--service-account-private-key-file={key}",
            "--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--secure-port={manager_port}", f"--cert-dir={home / 'manager-certs'}",
        )
        self.wait("the controllers", lambda: self.kubectl("get", "serviceaccount", "default").returncode == 0)

    def wait(self, what, condition, seconds=120):
        until = time.monotonic() + seconds
        while not condition():
            for process in self.processes:
                if process.poll() is not None:
                    raise SystemExit(f"{process.args[0]} has ended:\n{self.logs()}")
            if time.monotonic() > until:
                raise SystemExit(f"waited {seconds} s for {what}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self):
        return "\n".join(f"{path.name}: ...{path.read_text(errors='replace')[-1500:]}" for path in self.home.glob("*.log"))

    def run(self, *command, text=None):
        return subprocess.run(command, env=self.environment, input=text, text=True, capture_output=True)

    def kubectl(self, *arguments, text=None):
        return self.run(os.environ["KUBECTL"], *arguments, text=text)

    def helm(self, *arguments):
        return self.run(os.environ["HELM"], *arguments)

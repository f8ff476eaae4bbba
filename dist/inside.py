"""Runs commands in another root, as a container would: inside.py ROOT JOB OUTPUT QUESTION PROGRAM [FOLDER=PLACE...]

Started by `unshare --mount --pid --fork`, so that its mounts end with it. ROOT becomes read-only; /tmp and /var/lib/aqueduct can be
written; JOB is seen at /job, each FOLDER at its PLACE. The job runs as a user without a name, with only the image's variables; then
QUESTION is asked, and the rows go to OUTPUT. It judges nothing but exit codes.
"""

import os
import subprocess
import sys
from pathlib import Path

USER = 65532
HOME = "/var/lib/aqueduct"
ENVIRONMENT = {"PATH": "/usr/bin", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def prepare(root, folders):
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    for at in ["proc", "dev", "tmp", HOME[1:], *(place[1:] for place in folders.values())]:
        (root / at).mkdir(parents=True, exist_ok=True)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", root / "dev")
    for device in ("null", "urandom"):
        (root / "dev" / device).touch()
        mount("--bind", f"/dev/{device}", root / "dev" / device)
    for at in ("tmp", HOME[1:]):
        mount("-t", "tmpfs", "-o", f"uid={USER},gid={USER},mode=700", "tmpfs", root / at)
    for folder, place in folders.items():
        mount("--bind", folder, root / place[1:])
        mount("-o", "remount,bind,ro", root / place[1:])
    mount("-o", "remount,bind,ro", root)


def run(root, arguments, output):
    def enter():
        os.chroot(root)
        os.chdir(HOME)
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    print("$", *arguments, flush=True)
    subprocess.run(arguments, check=True, preexec_fn=enter, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output)


def refuses_writing(root):
    """What the checks rest on: nobody can write outside the two folders."""
    try:
        (root / "written").touch()
    except OSError:
        return
    sys.exit("the root can be written")


def main(root, job, output, question, program, *more):
    root = Path(root)
    folders = {job: "/job", **dict(pair.split("=", 1) for pair in more)}
    prepare(root, folders)
    refuses_writing(root)
    run(root, [program, "--version"], None)
    run(root, [program, "run", "/job", "--no-panel"], None)
    with open(output, "wb") as rows:
        run(root, [program, "query", "/job", question, "--format", "json"], rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Several computers on one: each node has a network, a host name, processes and temporary files of its own.

    with Nodes(2) as nodes:
        nodes.run("node1", ["mpiexec", ...])

To a launcher they are the hosts node1, node2 ... of a cluster with Ethernet: shared files, but no shared
memory, no shared process numbers, and a node-local `$TMPDIR`. Needs root, namespaces, util-linux and iproute2
(Linux); `missing()` says what is not here. Everything lives in processes of this one, and goes with them.
"""

from __future__ import annotations

import array
import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LIMIT_S = 60
SUBNET = "10.99.0"
PRIVATE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
TOOLS = ("ip", "unshare", "nsenter", "mount")

# Runs on a node for `ssh HOST WORD...`: hands its streams to `Nodes`, which starts the words on that host.
ENTER = """#!{python} -S
import array, json, os, socket, sys
words = sys.argv[1:]
while words[0].startswith("-"):
    del words[0]
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
text = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
streams = array.array("i", [0, 1, 2])
server.sendmsg([len(text).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
server.sendall(text)
sys.exit(int(server.recv(16) or b"255"))
"""


def missing() -> str | None:
    """Why nodes cannot be emulated here; None where they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "emulated nodes need Linux and root"
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"emulated nodes need {', '.join(absent)}"
    words = [
        "unshare",
        "--net",
        "--uts",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "ip",
        "link",
        "add",
        "v0",
    ]
    tried = subprocess.run([*words, "type", "veth", "peer", "name", "v1"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"emulated nodes need namespaces: {tried.stderr.strip()}"


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def keep(words: Sequence[str], script: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start `words` (an unshare) with a shell that carries out `script` and then stays.

    Also gives the shell's process number. Its namespaces end with this process, or before.
    """
    ready, wrote = os.pipe()
    script = f"set -e; {script}; echo ok >&{wrote}; exec {wrote}>&-; while :; do sleep 1000 & wait $!; done"
    holder = subprocess.Popen(
        [*words, "bash", "-c", script],
        pass_fds=[wrote],
        stdin=subprocess.DEVNULL,
        preexec_fn=_end_with_parent,
    )
    os.close(wrote)
    with os.fdopen(ready) as pipe:
        if pipe.readline().strip() != "ok":
            raise RuntimeError(f"a node could not be set up: {shlex.join(words)} {script}")
    (shell,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
    return holder, int(shell)  # number 1 in its namespace


class Nodes:
    """`count` nodes, named node1 ...; more `names` may come first.

    `folder` is seen by all; `local` is a path at which every node has files of its own. `root`: where the
    nodes' file system begins; `base`: words that start a program where that can be seen. `rate`: what each
    sends at most, in the words of tc, such as "1gbit"; needs tc.
    """

    def __init__(
        self,
        count: int,
        names: Sequence[str] = (),
        root: str = "/",
        base: Sequence[str] = (),
        local: str | None = None,
        folder: Path | None = None,
        rate: str | None = None,
    ) -> None:
        self._rate = rate
        self.names = [*names, *(f"node{number}" for number in range(1, count + 1))]
        self.folder = Path(tempfile.mkdtemp(prefix="nodes-")) if folder is None else folder
        self.local = Path(local or self.folder / "local")
        self.pids: dict[str, int] = {}
        self._root, self._base, self._kept = root, list(base), folder is not None
        self._holders: list[subprocess.Popen[bytes]] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._jobs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Nodes:
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_up(self) -> None:
        Path(self._root + str(self.local)).mkdir(parents=True, exist_ok=True)
        hosts = ["127.0.0.1 localhost", *(f"{SUBNET}.{n} {name}" for n, name in enumerate(self.names, 1))]
        (self.folder / "hosts").write_text("\n".join(hosts) + "\n")
        self._serve()
        switch = self._keep([*PRIVATE, "--net"], "ip link add br0 type bridge; ip link set br0 up")
        for number, name in enumerate(self.names, 1):
            self._add(switch, number, name)

    def _keep(self, words: Sequence[str], script: str) -> int:
        holder, pid = keep([*self._base, *words], script)
        self._holders.append(holder)
        return pid

    def _add(self, switch: int, number: int, name: str) -> None:
        root = self._root.rstrip("/")
        mounts = [
            f"mount -t tmpfs tmpfs {root}/dev/shm",
            f"mount -t tmpfs tmpfs {shlex.quote(root + str(self.local))}",
            f"mount --bind {shlex.quote(str(self.folder / 'hosts'))} {root}/etc/hosts",
            f"mount -t proc proc {root}/proc",
            f"hostname {name}",
            "ip link set lo up",
        ]
        words = [*PRIVATE, "--net", "--uts", "--ipc"]
        pid = self.pids[name] = self._keep(words, "; ".join(mounts))
        plug = ["nsenter", "-t", str(switch), "-n", "ip", "link"]
        subprocess.run(
            [*plug, "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", str(pid)],
            check=True,
        )
        subprocess.run([*plug, "set", f"v{number}", "master", "br0", "up"], check=True)
        self._ip(name, "addr", "add", f"{SUBNET}.{number}/24", "dev", "eth0")
        self._ip(name, "link", "set", "eth0", "up")
        if self._rate is not None:
            limit = ["tbf", "rate", self._rate, "burst", "64kb", "latency", "50ms"]
            shape = ["nsenter", "-t", str(pid), "-n", "tc", "qdisc", "add", "dev", "eth0", "root", *limit]
            subprocess.run(shape, check=True)

    def _ip(self, name: str, *words: str) -> None:
        subprocess.run(["nsenter", "-t", str(self.pids[name]), "-n", "ip", *words], check=True)

    def _serve(self) -> None:
        """Stand for sshd: see ENTER."""
        path = self.folder / "enter.socket"
        path.unlink(missing_ok=True)
        self._server.bind(str(path))
        self._server.listen()
        script = self.folder / "enter"
        script.write_text(ENTER.format(python=os.path.realpath(sys.executable), path=str(path)))
        script.chmod(0o755)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._enter, args=(client,), daemon=True).start()

    def _enter(self, client: socket.socket) -> None:
        size, ancillary, _, _ = client.recvmsg(8, socket.CMSG_SPACE(12))
        streams = array.array("i", ancillary[0][2])
        text = b""
        while len(text) < int.from_bytes(size, "big"):
            more = client.recv(2**16)
            if not more:
                return  # who asked has gone
            text += more
        (host, *words), where, environment = json.loads(text)
        job = self.start(host, ["bash", "-c", " ".join(words)], where, environment, *streams)
        for stream in streams:
            os.close(stream)
        with suppress(OSError):  # who asked has gone
            client.sendall(str(job.wait() & 0xFF).encode())

    def words(self, name: str, where: str | None = None) -> list[str]:
        """Words before a command that runs it on the node, in the folder `where`."""
        here = f"/proc/{self.pids[name]}/root{where or os.getcwd()}"
        root = f"/proc/{self.pids[name]}/root{self._root}"
        names = ["--net", "--uts", "--mount", "--ipc", "--pid"]
        return [
            "nsenter",
            "-t",
            str(self.pids[name]),
            *names,
            f"--root={root}",
            f"--wd={here if self._root == '/' else root + (where or os.getcwd())}",
        ]

    def start(
        self,
        name: str,
        command: Sequence[str],
        where: str | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | None = subprocess.PIPE,
        stderr: int | None = subprocess.PIPE,
        text: bool = False,
    ) -> subprocess.Popen[Any]:
        """Start a command on a node."""
        job = subprocess.Popen(
            [*self.words(name, where), *command],
            env=environment, stdin=stdin, stdout=stdout, stderr=stderr, text=text,
        )  # fmt: skip
        self._jobs.append(job)
        return job

    def run(self, name: str, command: Sequence[str], **keys: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on a node to its end."""
        keys.setdefault("timeout", LIMIT_S)
        timeout = keys.pop("timeout")
        job = self.start(name, command, text=True, **keys)
        out, err = job.communicate(timeout=timeout)
        return subprocess.CompletedProcess(command, job.returncode, out, err)

    def settings(self, slots: int, hosts: Sequence[str] | None = None) -> dict[str, str]:
        """Environment by which any mpiexec starts `slots` ranks on each of the `hosts`, through ENTER."""
        names = hosts or self.names
        file, plain = self.folder / f"hostfile-{slots}-{names[0]}", self.folder / f"hosts-{slots}-{names[0]}"
        file.write_text("".join(f"{name} slots={slots}\n" for name in names))  # Open MPI
        plain.write_text("".join(f"{name}:{slots}\n" for name in names))  # MPICH, Intel MPI
        enter = str(self.folder / "enter")
        return {
            "TMPDIR": str(self.local),
            "PRTE_MCA_plm_ssh_agent": enter,
            "PRTE_MCA_prte_default_hostfile": str(file),
            "OMPI_MCA_plm_rsh_agent": enter,
            "OMPI_MCA_orte_default_hostfile": str(file),
            "HYDRA_LAUNCHER": "ssh",
            "HYDRA_LAUNCHER_EXEC": enter,
            "HYDRA_HOST_FILE": str(plain),
        }

    def lose(self, name: str) -> None:
        """Nothing reaches the node any more, nor comes from it."""
        self._ip(name, "link", "set", "eth0", "down")

    def processes(self, name: str) -> dict[int, str]:
        """What runs on the node beside what keeps it: process number there, command."""
        found = self.run(name, ["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="]).stdout.splitlines()
        rows = [line.split(None, 3) for line in found]
        return {
            int(pid): args
            for pid, parent, state, args in rows
            if pid != "1" and state[0] != "Z" and not args.startswith(("ps -ww", "sleep 1000"))
        }  # fmt: skip

    def files(self, name: str) -> list[str]:
        """What lies in the node's own folders."""
        script = f"cd {shlex.quote(str(self.local))} && find . -mindepth 1; find /dev/shm -mindepth 1"
        return sorted(self.run(name, ["bash", "-c", script]).stdout.splitlines())

    def close(self) -> None:
        """End all that runs on the nodes, and the nodes."""
        with suppress(OSError):  # not listening yet
            self._server.shutdown(socket.SHUT_RDWR)  # closing it would leave the thread in accept
        self._server.close()
        for holder in reversed(self._holders):
            holder.kill()
            holder.wait()
        for job in self._jobs:
            with suppress(subprocess.TimeoutExpired):
                job.communicate(timeout=5)
        deadline = time.monotonic() + LIMIT_S
        while (
            any(Path(f"/proc/{pid}").exists() for pid in self.pids.values()) and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

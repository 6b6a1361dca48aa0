"""A Slurm cluster of emulated nodes: the real slurmctld, slurmd, munged, srun and sbatch of Debian.

    with Slurm(2, cpus=4) as slurm:
        slurm.run("head", ["sbatch", "--wait", "job.sh"])

Nothing is installed or changed outside `folder`: packages go to an overlay of the file system, kept there for
the next time. All nodes share /tmp and the top folder of where you stand; /local and /dev/shm are each node's
own. `python tests/helpers/emulated_slurm.py bash` opens a shell on the head node of a new cluster.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import emulated_nodes
from emulated_nodes import PRIVATE, Nodes, keep

LOCAL = "/local"
PACKAGES = "slurmd slurmctld slurm-client slurm-wlm-basic-plugins munge libpmi2-0 iproute2 procps openmpi-bin"
# The plugin opens PMIx by the name that only Debian's -dev package has.
INSTALL = f"""
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
command -v slurmd >/dev/null || {{
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends {PACKAGES}; }}
cd /usr/lib/*/pmix2/lib && ln -sf libpmix.so.2 libpmix.so
[ -s /etc/munge/munge.key ] || head -c 1024 /dev/urandom >/etc/munge/munge.key
rm -rf /var/spool/slurm*  # what is left of the last cluster
mkdir -p /etc/slurm /var/spool/slurmctld /var/log/slurm /run/munge /run/lock
chown -R munge:munge /etc/munge /var/lib/munge /var/log/munge /run/munge; chmod 400 /etc/munge/munge.key
"""
CONFIGURATION = """
ClusterName=tests
SlurmctldHost=head
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd.%n
SlurmdPidFile=/run/slurmd.%n.pid
SlurmctldPidFile=/run/slurmctld.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.%n.log
TmpFS=/local
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=bf_interval=5
InactiveLimit=0
KillWait=10
JobRequeue=1
NodeName=node[1-{nodes}] CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no such cluster here; None where there can."""
    if (why := emulated_nodes.missing()) is not None:
        return why
    if shutil.which("apt-get") is None:
        return "an emulated Slurm needs the packages of Debian"
    return None


class Slurm:
    """A cluster of the host head and `count` nodes with `cpus` each.

    Entering it raises RuntimeError where packages cannot be had or daemons do not come up.
    """

    def __init__(self, count: int = 2, cpus: int = 4, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="slurm-"))
        self._kept, self._count, self._cpus = folder is not None, count, cpus
        self._root = self.folder / "root"
        self._keeper: subprocess.Popen[bytes] | None = None
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Slurm:
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_up(self) -> None:
        for name in ("up", "work", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        shared = sorted(
            {"proc", "sys", "dev", "tmp", Path.cwd().parts[1], Path(sys.prefix).parts[1]} - {"usr"}
        )
        layers = f"lowerdir=/,upperdir={self.folder}/up,workdir={self.folder}/work"
        mounts = [
            f"mount -t overlay overlay -o {layers} {self._root}",
            *(f"mount --rbind /{name} {self._root}/{name}" for name in shared),
            f"mount -t tmpfs tmpfs {self._root}/run",
            f"mkdir -p {self._root}{LOCAL}",
        ]
        self._keeper, keeper = keep(PRIVATE, "; ".join(mounts))
        base = ["nsenter", f"--mount=/proc/{keeper}/ns/mnt"]
        self._install([*base, "chroot", str(self._root), "bash", "-e", "-c"])
        self.nodes = Nodes(self._count, ["head"], str(self._root), base, LOCAL, self.folder)
        self.nodes.__enter__()
        self._start_daemons()

    def _install(self, inside: Sequence[str]) -> None:
        done = subprocess.run([*inside, INSTALL], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the packages of Slurm could not be installed: {done.stderr.strip()[-500:]}")
        text = CONFIGURATION.format(nodes=self._count, cpus=self._cpus)
        subprocess.run([*inside, "cat >/etc/slurm/slurm.conf"], input=text, text=True, check=True)

    def _start_daemons(self) -> None:
        as_munge = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--foreground"]
        self._start("head", as_munge)
        self._until(["sh", "-c", "munge -n | unmunge"])
        self._start("head", ["slurmctld", "-D"])
        for name in self.nodes.names[1:]:
            self._start(name, ["slurmd", "-D", "-N", name])
        self._until(["sh", "-c", f"test $(sinfo -h -t idle -o %D) = {self._count}"])

    def _start(self, name: str, words: Sequence[str]) -> None:
        with (self.folder / f"{words[0]}.{name}.log").open("wb") as log:
            job = self.nodes.start(name, words, "/", stdout=log.fileno(), stderr=log.fileno())
        self._daemons.append(job)

    def _until(self, words: Sequence[str]) -> None:
        deadline = time.monotonic() + emulated_nodes.LIMIT_S
        while self.run("head", words).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Slurm does not come up: {' '.join(words)}; logs in {self.folder}")
            time.sleep(0.2)

    def run(self, name: str, words: Sequence[str], **keys: object) -> subprocess.CompletedProcess[str]:
        """Run a command on a node to its end."""
        return self.nodes.run(name, words, **keys)

    def close(self) -> None:
        """End the cluster; the folder stays where it was given."""
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
        if hasattr(self, "nodes"):
            self.nodes.close()
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)


if __name__ == "__main__":
    if (why := missing()) is not None:
        sys.exit(why)
    with Slurm(folder=Path(os.environ["SLURM_FOLDER"]) if "SLURM_FOLDER" in os.environ else None) as cluster:
        sys.exit(subprocess.call([*cluster.nodes.words("head"), *(sys.argv[1:] or ["bash"])]))

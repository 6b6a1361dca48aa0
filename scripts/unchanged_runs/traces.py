"""What must stay the same: hashes of what a run leaves and of what is said about it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

LIMIT_S = 600
OF_THE_MACHINE = ("checksum", "memory", "results_sha256", "time")
"""Entries of summary.json that are not about results."""
SINCE = ("bwt", "forgetting_max", "fwt", "parameters", "replay_bytes")
"""Entries, at any depth, that summaries of older commits do not have: they say no more than journals and
digest, and are left out so that everything else can still be compared with those commits."""


def hashed(*parts: bytes) -> str:
    """Twelve digits that stand for the parts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return whole.hexdigest()[:12]


def of_run(run: Path) -> dict[str, str]:
    """What a finished run holds: digest, summary, journals, results."""
    summary = json.loads((run / "summary.json").read_text())
    kept = _known_before({name: value for name, value in summary.items() if name not in OF_THE_MACHINE})
    journals = [path.name.encode() + path.read_bytes() for path in sorted((run / "metrics").iterdir())]
    return {
        "digest": summary["digest"][:12],
        "summary": hashed(json.dumps(kept, sort_keys=True).encode()),
        "journals": hashed(*journals),
        "results": _of_results(run / "results.h5"),
    }


def _known_before(found: object) -> object:
    if not isinstance(found, dict):
        return found
    return {name: _known_before(value) for name, value in found.items() if name not in SINCE}


READ = """
import sys
from pathlib import Path
import numpy as np
from mpidcl.record.results import read_results

def told(name, value):
    if isinstance(value, dict):
        for key in sorted(value):
            told(f"{name}.{key}", value[key])
    elif isinstance(value, np.ndarray):
        print(name, value.dtype.str, value.shape, value.tobytes().hex())
    else:
        print(name, value)

records, links = read_results(Path(sys.argv[1]))
told("links", np.array(sorted(links)))
for record in records:
    state = record.state()
    del state["timing"], state["peak_rss_bytes"]
    # older files say 0 for what nobody has counted
    state["counters"] = {name: value for name, value in state["counters"].items() if value}
    state["tables"] = {
        name: {column: values for column, values in table.items() if not column.endswith("_s")}
        for name, table in state["tables"].items()
    }
    told(str(record.agent), state)
"""
"""Tells what results.h5 holds, whatever its format, but for times; files of older formats are read, too."""


def _of_results(path: Path) -> str:
    """Read by the code of here, which knows the formats of older commits."""
    code = str(Path(__file__).parents[2])
    around = {**os.environ, "PYTHONPATH": f"{code}{os.pathsep}{code}/kernels"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], env=around, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{path} cannot be read:\n{done.stderr.decode()[-2000:]}")
    return hashed(done.stdout)


def of_words(run: Path, file: Path, environment: dict[str, str]) -> dict[str, str]:
    """What `mpidcl check` and `mpidcl report` say, but for times, and the files of the report."""
    check = said(["check", str(file)], run.parent, environment)
    report = said(["report", run.name], run.parent, environment)
    kept = [line for line in report.splitlines() if not line.startswith(("wall ", str(run)))]
    files = sorted(path.name for path in (run / "report").rglob("*"))
    return {"check": hashed(check.encode()), "report": hashed("\n".join(kept + files).encode())}


def said(words: list[str], folder: Path, environment: dict[str, str], wanted: int = 0) -> str:
    """Run mpidcl in a folder, and give what it has said. Raises RuntimeError where it ends otherwise."""
    command = [sys.executable, "-m", "mpidcl", *words]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"`mpidcl {' '.join(words)}` has not ended in {LIMIT_S} s") from error
    if done.returncode != wanted:
        raise RuntimeError(f"`mpidcl {' '.join(words)}` ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout

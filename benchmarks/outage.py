"""An outage of the target: what waits in state, and how long it takes to catch up. On the emulator.

The emulator is killed while rows come in at a fixed rate with a checkpoint a second, and started
again after a while. Caught up is the job when every slice sealed before the return is committed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from azure.kusto.data import KustoClient, KustoConnectionStringBuilder

from exactly_once_kusto.cli.transactions import read_ledger
from exactly_once_kusto.cluster import FlinkCluster, wait_until
from exactly_once_kusto.emulator.process import EmulatorProcess

JOB = Path(__file__).with_name("outage_job.py")
RATE = 20_000
OUTAGE_CHECKPOINTS = 60
TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Outage:
    """What was seen. `checkpoints` completed while the target was away, `failed` did not."""

    seconds: float
    checkpoints: int
    failed: int
    slices: int
    state_bytes: int
    catch_up_s: float
    commands: int
    rows: int

    def __str__(self) -> str:
        return (
            f"outage of {self.seconds:.0f} s at {RATE:,} rows/s: {self.checkpoints} checkpoints "
            f"completed, {self.failed} failed; {self.slices} slices waited, "
            f"{self.state_bytes / max(1, self.slices):,.0f} bytes of state each; caught up "
            f"({self.rows:,} rows) in {self.catch_up_s:.1f} s with {self.commands} commands"
        )


def measure(cluster: FlinkCluster, directory: Path) -> Outage:
    """Run the job, take the target away and give it back."""
    with EmulatorProcess(data=directory / "kusto", databases=["Demo"]) as kusto:
        with KustoClient(KustoConnectionStringBuilder(kusto.cluster)) as client:
            client.execute_mgmt("Demo", ".create table T (n:long, amount:real, label:string)")
        args = ["--rate", str(RATE), "--cluster", kusto.cluster, "--staging", kusto.staging]
        job = cluster.run_python(JOB, args=args)
        wait_until(lambda: _committed(kusto) >= 3, TIMEOUT_S, "the first commits")
        kusto.kill()
        began, before = time.monotonic(), cluster.checkpoints(job)
        wait_until(
            lambda: cluster.checkpoints(job).completed >= before.completed + OUTAGE_CHECKPOINTS,
            TIMEOUT_S,
            f"{OUTAGE_CHECKPOINTS} checkpoints while the target is away",
        )
        during = cluster.checkpoints(job)
        waiting = int(_metric(cluster, job, "waitingSlices"))
        latest, known = _latest(cluster, job), _committed(kusto)
        last, state_bytes = latest["id"], latest["state_size"]
        seconds, back = time.monotonic() - began, time.monotonic()
        kusto.restart()
        wait_until(lambda: _caught_up(kusto, last), TIMEOUT_S, "all that waited to be committed")
        catch_up_s = time.monotonic() - back
        ledger = list(read_ledger(kusto.staging, "outage").transactions.values())[known:]
        late = [t for t in ledger if any(s.checkpoint <= last for s in t.transaction.slices)]
        cluster.cancel(job)
        return Outage(
            seconds,
            during.completed - before.completed,
            during.failed - before.failed,
            waiting,
            state_bytes,
            catch_up_s,
            len(late),
            sum(t.transaction.rows for t in late),
        )


def _committed(kusto: EmulatorProcess) -> int:
    found = read_ledger(kusto.staging, "outage").transactions.values()
    return sum(known.committed is not None for known in found)


def _caught_up(kusto: EmulatorProcess, checkpoint: int) -> bool:
    """Whether a slice of a later checkpoint is committed and nothing earlier is open."""
    known = list(read_ledger(kusto.staging, "outage").transactions.values())
    done = [t for t in known if t.committed is not None]
    return bool(done) and max(s.checkpoint for s in done[-1].transaction.slices) >= checkpoint


def _latest(cluster: FlinkCluster, job: str) -> dict[str, int]:
    found: dict[str, int] = cluster.rest.get(f"/jobs/{job}/checkpoints")["latest"]["completed"]
    return found


def _metric(cluster: FlinkCluster, job: str, name: str) -> float:
    def value() -> list[float]:
        names = cluster.metric_names(job, "Coordinator")
        found = [each for each in names if each.endswith(f".{name}")]
        return list(cluster.metrics(job, "Coordinator", found).values()) if found else []

    return wait_until(value, 30.0, f"the metric {name}")[0]  # the first question only starts it

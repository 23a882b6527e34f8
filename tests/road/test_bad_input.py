"""What is wrong and only a cluster can show it: refused for good, nothing written, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import ClientError, FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

STATEMENTS = Path(__file__).with_name("statements_job.py")
SOURCE = """\
CREATE TABLE source (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '99999')"""


def sink(table: str, **options: str) -> str:
    ddl = ", ".join(f"'{key}' = '{value}'" for key, value in options.items())
    return (
        f"CREATE TABLE {table} (n BIGINT, label STRING) WITH ('connector' = 'exactly-once-kusto', "
        f"'name' = 'road', 'database' = 'Demo', 'table' = '{table}', 'auth' = 'none', {ddl})"
    )


@pytest.mark.slow
def test_two_sinks_of_one_job_under_one_name(
    road: Road, cluster: FlinkCluster, tmp_path: Path
) -> None:
    road.create_table("U", "n:long, label:string")
    place = {"cluster": road.kusto.cluster, "staging": road.kusto.staging}
    both = (
        "EXECUTE STATEMENT SET BEGIN INSERT INTO T SELECT n, 'a' FROM source; "
        "INSERT INTO U SELECT n, 'a' FROM source; END"
    )
    file = tmp_path / "statements.sql"
    file.write_text("\n\n".join([SOURCE, sink("T", **place), sink("U", **place), both]))
    job = cluster.run_python(STATEMENTS, [file])
    text = road.failed(job)
    assert f"two sinks of job {job} have this name" in text
    assert "give them two names" in text
    attempts = {task.attempt for v in cluster.vertices(job) for task in v.subtasks}
    assert attempts == {0}, "the job was restarted"
    assert not road.rows("union T, U"), "a job that could not begin has written rows"


@pytest.mark.slow
@pytest.mark.staging("file", "only")
def test_a_damaged_and_a_newer_ledger_stop_the_job_until_they_are_mended(
    road: Road, cluster: FlinkCluster
) -> None:
    """The savepoint holds slices; of the ledger's last entry a copy is kept, and put back."""
    rows = 60_000
    road.hold_ingests(after=1)
    job = road.submit(rows=rows, rate=1500, parallelism=1, options={"commit-wait": "100 ms"})
    road.wait(lambda: road.committed() and road.open_transactions(), "an ingest that runs")
    savepoint = cluster.stop_with_savepoint(job)
    assert road.open_transactions(), "nothing was pending: the test shows nothing"

    ledger = Path(road.kusto.staging.removeprefix("file://")) / road.name / "ledger"
    entry = max(ledger.glob("*.json"))
    good, names, parts = entry.read_bytes(), sorted(ledger.iterdir()), road.needed_parts()
    rows_in = road.count()
    newer = json.dumps({**json.loads(good), "v": 2}).encode()
    for damaged, told in ((good[:-20], "damaged or cut short"), (newer, "in version 2")):
        entry.write_bytes(damaged)
        job = road.submit(rows=rows, rate=1500, parallelism=1, from_savepoint=savepoint)
        text = road.failed(job)
        assert f"ledger entry {int(entry.stem)}: " in text
        assert told in text
        attempts = {task.attempt for v in cluster.vertices(job) for task in v.subtasks}
        assert attempts == {0}, "the job was restarted"
        assert sorted(ledger.iterdir()) == names, "a refused start left a trace"
        assert parts <= set(road.parts()), "a part is gone"
        assert road.count() == rows_in

    entry.write_bytes(good)
    road.kusto.faults.clear()
    road.finished(road.submit(rows=rows, rate=20_000, parallelism=1, from_savepoint=savepoint))
    assert differences(road.rows(), expected(rows)) == {}


SECRET = "c2VjcmV0LXRoYXQtbm9ib2R5LXNlZXM"
BLOBS = "https://account.blob.core.windows.net/container"


@pytest.mark.parametrize(
    ("cluster_address", "address"),
    [
        ("http://127.0.0.1:1", f"{BLOBS}?sv=2024-11-04&sig={SECRET}"),
        (f"https://name.kusto.windows.net;AppKey={SECRET}", BLOBS),
    ],
    ids=["staging", "cluster"],
)
def test_an_address_with_a_token_is_refused_and_shown_nowhere(
    cluster: FlinkCluster, tmp_path: Path, cluster_address: str, address: str
) -> None:
    options = {"cluster": cluster_address, "staging": address}
    insert = "INSERT INTO T SELECT n, 'a' FROM source"
    file = tmp_path / "statements.sql"
    file.write_text("\n\n".join([SOURCE, sink("T", **options), insert]))
    jobs = set(cluster.jobs())
    with pytest.raises(ClientError) as caught:
        cluster.run_python(STATEMENTS, [file])
    assert "give the address alone" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert set(cluster.jobs()) == jobs, "it was submitted"
    logs = [
        path for kind in ("log", "out", "txt") for path in cluster.layout.log.rglob(f"*.{kind}")
    ]
    assert len(logs) > 3, "these are not the cluster's logs and the client's"
    leaking = [path.name for path in logs if SECRET in path.read_text("utf-8", "replace")]
    assert leaking == []

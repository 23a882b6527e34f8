"""A writer's memory does not depend on the number of rows between two checkpoints (I9)."""

from __future__ import annotations

import json
import subprocess
import sys

WRITER = """
import json, sys, time
from pathlib import Path
import pyarrow as pa
from exactly_once_kusto.kusto.sink import from_options
from exactly_once_kusto.protocol.ports import Column

sink = from_options({"name": "m", "cluster": "http://127.0.0.1:1", "database": "D", "table": "T",
                     "staging": Path(sys.argv[1]).as_uri(), "auth": "none", "part-size": "512 mb"})
columns = [Column("id", "BIGINT"), Column("amount", "BIGINT"), Column("name", "STRING"),
           Column("price", "DOUBLE"), Column("at", "TIMESTAMP(3)")]
schema = pa.schema([("id", pa.int64()), ("amount", pa.int64()), ("name", pa.string()),
                    ("price", pa.float64()), ("at", pa.timestamp("ms"))])
rows = 10_000
ids = range(rows)
made = pa.record_batch([pa.array(ids), pa.array([i * 7919 % 99991 for i in ids]),
    pa.array([f"customer-{i % 5000}" for i in ids]), pa.array([i * 0.37 for i in ids]),
    pa.array([1_700_000_000_000 + 3 * i for i in ids], pa.timestamp("ms"))], schema=schema)
frame = made.serialize()
writer = sink.writer(columns, schema)
began = time.process_time()
for _ in range(int(sys.argv[2]) // rows):
    # As the worker does: every frame is bytes of its own.
    writer.write(pa.ipc.read_record_batch(pa.py_buffer(frame.to_pybytes()), schema))
parts = writer.seal()
spent = time.process_time() - began
status = Path("/proc/self/status").read_text()
peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"rows": sum(p.rows for p in parts), "parts": len(parts),
                  "raw_bytes_max": max(p.raw_bytes for p in parts),
                  "peak_mib": int(peak) / 1024, "cpu_s": spent}))
"""


def write(folder, rows: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), str(rows)],
        capture_output=True,
        text=True,
        timeout=280,
        check=True,
        start_new_session=True,
    )
    print(done.stdout)
    return json.loads(done.stdout)


def test_twenty_million_rows_of_one_checkpoint_stay_under_300_mib(tmp_path):
    told = write(tmp_path, 20_000_000)
    assert told["rows"] == 20_000_000
    assert told["peak_mib"] < 300
    assert told["parts"] == 2
    assert told["raw_bytes_max"] < (512 << 20) + (2 << 20)

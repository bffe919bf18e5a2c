"""What /metrics says of RocksDB, and that the dashboard asks for nothing that is not there."""
import json
import os
import re

from server_process import UNLIMITED, ServerProcess, run_tests

DASHBOARD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../deploy/grafana/kalamdb.json")


def prometheus(server):
    """The values by name with labels, and the lines."""
    status, _, text = server.request("GET", "/metrics", raw=True)
    assert status == 200, text
    lines = text.decode().strip().split("\n")
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in values.items()}, lines


def test_rocksdb_tells_what_it_does():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE TABLE app.items (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='SHARED')")
        before, _ = prometheus(server)
        for key in range(10):
            server.sql(root, "INSERT INTO app.items VALUES (?, 'x')", [key])
        after, lines = prometheus(server)
        grown = {name: after[name] - before[name] for name in after if name.startswith("kalamdb_rocksdb_")}
        assert grown["kalamdb_rocksdb_wal_syncs_total"] >= 10, grown
        assert grown["kalamdb_rocksdb_keys_written_total"] >= 10, grown
        assert grown["kalamdb_rocksdb_written_bytes_total"] > 0, grown
        assert after["kalamdb_rocksdb_background_errors_total"] == 0, after
        counters = [name for name in grown if name.endswith("_total")]
        assert len(counters) >= 20, counters
        for name in counters:
            assert f"# TYPE {name} counter" in lines, name
            assert any(line.startswith(f"# HELP {name} ") and "system.stats" not in line for line in lines), name
        stats = dict(server.rows(root, "SELECT metric_name, metric_value FROM system.stats"))
        assert int(stats["rocksdb_wal_syncs_total"]) >= after["kalamdb_rocksdb_wal_syncs_total"], stats


def test_the_dashboard_asks_for_metrics_that_exist():
    with open(DASHBOARD, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    with ServerProcess(UNLIMITED) as server:
        known = {name.split("{")[0] for name in prometheus(server)[0]}
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    # A pattern for names would be an error where a rate is asked for: rates of several metrics cannot be told apart.
    assert [expression for expression in asked if "__name__" in expression] == []
    names = {name for expression in asked for name in re.findall(r"kalamdb_[a-z_0-9]+", expression)}
    assert len(names) > 50, names
    assert sorted(names - known) == []
    # Whatever is shed or refused is there to be seen.
    assert sorted(name for name in known if re.match("kalamdb_memory_(shed_.+|.+_refused)$", name) and name not in names) == []


if __name__ == "__main__":
    run_tests(globals())

"""Rows go to cold storage when memory is short. It measures nothing, and waits for the minute in which a server that has just
started is left in peace: other tests run meanwhile."""
import json
import os

from flush_crash_test import wait_for
from server_process import UNLIMITED, ServerProcess, run_tests


def test_the_largest_table_goes_to_cold_storage_when_memory_is_short():
    # Any process is beyond the warning level, also at rest; no policy ever flushes.
    config = UNLIMITED + ("[memory]\nbudget = \"24MiB\"\nwarning_percent = 10\ncritical_percent = 100\n"
                          "[flush]\ncheck_interval_seconds = 0\n")
    with ServerProcess(config) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        for table, rows in (("small", 100), ("large", 14_000)):
            server.sql(root, f"CREATE SHARED TABLE app.{table} (id BIGINT PRIMARY KEY, body TEXT)")
            for begin in range(0, rows, 100):
                values = ", ".join(f"({i}, '{os.urandom(2000).hex()}')" for i in range(begin, begin + 100))
                server.sql(root, f"INSERT INTO app.{table} (id, body) VALUES {values}")

        def flushed():
            return server.rows(root, "SELECT parameters FROM system.jobs WHERE job_type = 'flush' AND status = 'completed'")

        # A server that has just started is left in peace for a minute.
        wait_for(flushed)
        jobs = [json.loads(row[0])["table_id"] for row in flushed()]
        assert jobs == ["app.large"], jobs
        assert server.rows(root, "SELECT COUNT(*) FROM app.large WHERE id >= 0") == [["14000"]]


if __name__ == "__main__":
    run_tests(globals())

"""Connections cannot take the descriptors that the database needs.

    descriptors_test.py <folder of the binaries>
"""
import resource
import socket
import time

from server_process import UNLIMITED, ServerProcess, run_tests

LIMIT = 1200


def test_writes_go_on_when_clients_take_all_connections():
    with ServerProcess(UNLIMITED + "[storage.rocksdb]\nwrite_buffer_size = \"1MiB\"\n") as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE = 'SHARED')")
        crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(LIMIT - 100)]
        deadline, refused = time.monotonic() + 4, 0
        while refused == 0:
            assert time.monotonic() < deadline, "nobody was refused"
            for one in crowd:
                one.setblocking(False)
                try:
                    refused += one.recv(1000).startswith(b"HTTP/1.1 503")
                except OSError:
                    pass
        # Once everybody was looked at, some who came in make room for who writes; files are opened as ever.
        time.sleep(1)
        for one in crowd[:50]:
            one.close()
        time.sleep(0.5)
        for first in range(0, 20000, 1000):
            server.sql(root, "INSERT INTO app.t VALUES " + ",".join(f"({i}, '{'x' * 200}')" for i in range(first, first + 1000)))
        assert server.rows(root, "SELECT COUNT(*) FROM app.t")[0][0] == "20000"
        assert server.process.poll() is None
        print(f"        {refused} of {len(crowd)} connections were refused at once, 20,000 rows written")
        for one in crowd[50:]:
            one.close()


if __name__ == "__main__":
    # Of this process and of the server that it starts.
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    run_tests(globals())

"""Many clients that lose their connections at once, come back at once and miss nothing; others are served meanwhile."""
import asyncio
import threading
import time

from server_process import UNLIMITED, LiveClient, ServerProcess, run_tests

CLIENTS = 400
MISSED = 5


async def test_a_storm_of_clients_that_resume_is_served_whole():
    with ServerProcess(UNLIMITED + f"max_subscriptions_per_user = {CLIENTS}\n") as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.items (id BIGINT PRIMARY KEY, room INT)")
        server.sql(root, "INSERT INTO app.items VALUES (0, 0)")

        async def join(number, options):
            client = await LiveClient.connect(server, root)
            ack = await client.subscribe(f"client-{number}", "SELECT * FROM app.items", options)
            assert ack["type"] == "subscription_ack", ack
            return client

        clients = await asyncio.gather(*(join(number, {"last_rows": 0}) for number in range(CLIENTS)))
        cursor = server.rows(root, "SELECT _seq FROM app.items WHERE id = 0")[0][0]
        for client in clients:
            client.socket.transport.abort()
        for i in range(1, MISSED + 1):
            server.sql(root, f"INSERT INTO app.items VALUES ({i}, {i})")

        worst, answered, ended = 0.0, 0, threading.Event()

        def somebody_else():
            nonlocal worst, answered
            while not ended.is_set():
                begin = time.monotonic()
                assert server.rows(root, "SELECT room FROM app.items WHERE id = 3") == [[3]]
                worst = max(worst, time.monotonic() - begin)
                answered += 1

        other = threading.Thread(target=somebody_else)
        other.start()
        begin = time.monotonic()

        async def come_back(number):
            client = await join(number, {"from": str(cursor)})
            ready = await client.receive(30)
            assert ready["rows"] == [] and ready["batch_control"]["status"] == "ready", ready
            ids = []
            while len(ids) < MISSED:
                change = await client.receive(30)
                assert change["type"] == "change" and change["change_type"] == "insert", change
                ids.extend(int(row["id"]) for row in change["rows"])
            assert ids == list(range(1, MISSED + 1)), ids
            return client

        clients = await asyncio.gather(*(come_back(number) for number in range(CLIENTS)))
        seconds = time.monotonic() - begin
        ended.set()
        other.join()
        print(f"        {CLIENTS} resumed in {seconds:.2f} s; {answered} SELECTs of somebody else meanwhile, worst {worst * 1000:.0f} ms",
              flush=True)
        assert answered > 0
        # Everybody is level again: the next change comes once.
        server.sql(root, f"INSERT INTO app.items VALUES ({MISSED + 1}, 0)")
        for client in clients:
            change = await client.receive(30)
            assert [int(row["id"]) for row in change["rows"]] == [MISSED + 1], change
        assert len(server.rows(root, "SELECT live_id FROM system.live")) == CLIENTS
        for client in clients:
            await client.close()


if __name__ == "__main__":
    run_tests(globals())

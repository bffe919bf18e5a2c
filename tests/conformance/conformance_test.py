"""What the first KalamDB's clients rely on, asked of a running server: every function `test_*` of every `*_checks.py`.

    conformance_test.py <folder of the binaries> [part of a name]
"""
import asyncio
import glob
import importlib
import os
import sys
import time
import traceback

from world import World, new_server


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    failed = []
    ran = 0
    with new_server() as server:
        world = World(server)
        for path in sorted(glob.glob(os.path.join(here, "*_checks.py"))):
            module = importlib.import_module(os.path.basename(path)[:-3])
            for name, check in list(vars(module).items()):
                if not name.startswith("test_") or wanted not in name:
                    continue
                begin = time.monotonic()
                ran += 1
                try:
                    outcome = check(world)
                    if asyncio.iscoroutine(outcome):
                        asyncio.run(outcome)
                    print(f"ok      {name} ({time.monotonic() - begin:.2f} s)", flush=True)
                except Exception:  # noqa: BLE001 - a failing check must not hide the others
                    failed.append(name)
                    print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{ran} checks, {len(failed)} failed", *failed, sep="\n  ")
    sys.exit(1 if failed or not ran else 0)


if __name__ == "__main__":
    main()

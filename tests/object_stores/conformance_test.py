"""Runs the conformance suite of storages against an S3 server and Azurite, started here. Gets the suite's binary."""
import json
import os
import subprocess
import sys

from stores import AzureServer, S3Server

binary = sys.argv[1]
with S3Server() as s3, AzureServer() as azure:
    candidates = s3.candidates() + azure.candidates()
    environment = dict(os.environ, KALAM_TEST_STORAGES=json.dumps(candidates), NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    done = subprocess.run([binary, "--gtest_filter=*/ConformanceTest.*", *sys.argv[2:]], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500)
    print(done.stdout)
    assert done.returncode == 0, f"the suite failed with {done.returncode}"
    passed = done.stdout.count("[       OK ]")
    assert len(sys.argv) > 2 or passed >= 12 * len(candidates), f"only {passed} cases ran"
    # The large files went up in parts: three each, in four ways to reach the server.
    parts = s3.counts()["parts"]
    assert len(sys.argv) > 2 or parts == 12, f"{parts} parts"
print("conformance of object stores: ok")

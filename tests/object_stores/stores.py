"""Starts the object stores that tests run against, and says how to open them."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse

FOLDER = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(FOLDER))
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def fetch():
    subprocess.run([os.path.join(ROOT, "tools", "fetch_test_stores.sh")], check=True)


class S3Server:
    """An S3 server that checks signatures; also a Google token endpoint. `with` starts and stops it."""

    def __enter__(self):
        fetch()
        # s3rver makes the tokens of its listings with DES, which only the legacy provider has.
        self.process = subprocess.Popen(["node", "--openssl-legacy-provider", os.path.join(FOLDER, "s3_server.js")],
                                        stdout=subprocess.PIPE, text=True)
        told = json.loads(self.process.stdout.readline())
        self.port = told["port"]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.keys = {"access_key_id": told["accessKeyId"], "secret_access_key": told["secretAccessKey"]}
        self.session_token = told["sessionToken"]
        self.service_account = {"type": "service_account", "client_email": told["serviceAccount"], "private_key_id": "k1",
                                "private_key": told["privateKey"], "token_uri": self.endpoint + "/token"}
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def config(self, **more):
        return {"type": "s3", "endpoint": self.endpoint, "allow_http": True, **more}

    def control(self, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", path, json.dumps(body))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def fail_next(self, faults):
        """Statuses, "reset" or "hang", one for each of the next requests."""
        return self.control("/_faults", faults)

    def counts(self):
        return self.control("/_counts")

    def names(self, prefix):
        """Objects whose `bucket/path` begins so."""
        return sorted(self.control("/_list", prefix))

    def flip(self, prefix):
        """Changes one bit of each such object."""
        return self.control("/_flip", prefix)

    def lose(self, prefix):
        return self.control("/_lose", prefix)

    def candidates(self):
        """Settings of every way to reach a bucket of this server."""
        return [
            {"name": "s3", "type": "s3", "base_directory": "s3://kalam/some/prefix", "config": self.config(),
             "credentials": self.keys},
            {"name": "s3_session", "type": "s3", "base_directory": "s3://second",
             "config": self.config(region="eu-central-1"),
             "credentials": {**self.keys, "session_token": self.session_token}},
            {"name": "gcs_keys", "type": "gcs", "base_directory": "gs://kalam/gcs",
             "config": {**self.config(), "type": "gcs"}, "credentials": self.keys},
            {"name": "gcs_account", "type": "gcs", "base_directory": "gcs://kalam/account",
             "config": {**self.config(), "type": "gcs"},
             "credentials": {"service_account_json": json.dumps(self.service_account)}},
        ]


class AzureServer:
    """The Azurite emulator with a container `kalam`. `with` starts and stops it."""

    def __enter__(self):
        fetch()
        self.folder = tempfile.mkdtemp(prefix="kalam-azure-")
        command = ["node", os.path.join(FOLDER, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
                   "--location", self.folder, "--blobHost", "127.0.0.1", "--blobPort", "0", "--silent", "--skipApiVersionCheck",
                   "--disableTelemetry"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = 0
        for line in self.process.stdout:
            if "successfully listen" in line:
                self.port = int(line.strip().rsplit(":", 1)[1])
                break
        assert self.port, "azurite did not start"
        self.endpoint = f"http://127.0.0.1:{self.port}/{AZURE_ACCOUNT}"
        self.make_container("kalam")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sas_token(self):
        """An account SAS for all of the blob service, good for a day. Version 2021-12-02."""
        parts = {"sp": "rwdlac", "ss": "b", "srt": "sco", "st": "", "se": time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400)), "sip": "", "spr": "https,http", "sv": "2021-12-02", "ses": ""}
        text = "".join(value + "\n" for value in [AZURE_ACCOUNT, *parts.values()])
        signature = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
        given = {name: value for name, value in parts.items() if value}
        return urllib.parse.urlencode({**given, "sig": base64.b64encode(signature).decode()})

    def make_container(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("PUT", f"/{AZURE_ACCOUNT}/{name}?restype=container&{self.sas_token()}",
                           headers={"x-ms-version": "2021-12-02", "Content-Length": "0"})
        answer = connection.getresponse()
        assert answer.status == 201, (answer.status, answer.read())
        connection.close()

    def candidates(self):
        config = {"type": "azure", "endpoint": self.endpoint, "allow_http": True}
        return [
            {"name": "azure_key", "type": "azure", "base_directory": "az://kalam/some/prefix", "config": config,
             "credentials": {"account_name": AZURE_ACCOUNT, "access_key": AZURE_KEY}},
            {"name": "azure_sas", "type": "azure", "base_directory": "azure://kalam", "config": config,
             "credentials": {"account_name": AZURE_ACCOUNT, "sas_token": self.sas_token()}},
        ]

"""`unmask serve` with an HTTP port on free loopback ports, for the tests of this folder."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["UNMASK_BIN_DIR"])
CACHE = pathlib.Path(os.environ.get("UNMASK_CLUSTER_CACHE", pathlib.Path.home() / ".cache/unmask-cluster"))


class Missing(Exception):
    """What a test needs cannot be had here."""


class Service:
    def __init__(self, *flags):
        self.folder = tempfile.TemporaryDirectory()
        self.log_path = pathlib.Path(self.folder.name) / "log"
        self.log = open(self.log_path, "w+")
        ready = pathlib.Path(self.folder.name) / "ready.json"
        self.process = subprocess.Popen(
            [BIN / "unmask", "serve", "--listen", "127.0.0.1:0", "--fleet-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
             "--http-listen", "127.0.0.1:0", "--ready-file", ready, *flags], stdout=self.log, stderr=self.log)
        wait_until(lambda: ready.exists() or self.process.poll() is not None, "the service")
        assert ready.exists(), self.log_path.read_text()
        self.address = json.loads(ready.read_text())
        self.url = f"http://{self.address['http']}"

    def logged(self):
        return self.log_path.read_text()

    def command(self, *arguments):
        return json.loads(subprocess.run([BIN / "unmask", *arguments, "--server", self.address["grpc"], "--json"],
                                         capture_output=True, text=True, check=True).stdout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            assert self.process.wait(timeout=120) == 0, self.logged()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.log.close()
            self.folder.cleanup()


def wait_until(condition, what, limit=300):
    give_up = time.time() + limit
    while not condition():
        assert time.time() < give_up, f"waited in vain: {what}"
        time.sleep(0.05)


def virtual_environment(name, *packages):
    """The Python of an environment of its own with these packages, made once."""
    environment = CACHE / name
    if not (environment / "done").exists():
        shutil.rmtree(environment, ignore_errors=True)
        for command in ([sys.executable, "-m", "venv", environment],
                        [environment / "bin/pip", "install", "-q", "--disable-pip-version-check", *packages]):
            done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                raise Missing(f"{' '.join(map(str, command[:3]))} failed: {done.stdout[-500:]}")
        (environment / "done").touch()
    return environment / "bin/python"


def run_in(name, packages, script):
    """Runs this script again with the packages at hand; exit code 77, and the reason, where they cannot be had."""
    try:
        python = virtual_environment(name, *packages)
    except Missing as reason:
        print(f"skipped: {reason}")
        return 77
    return subprocess.run([python, script, "inside"]).returncode

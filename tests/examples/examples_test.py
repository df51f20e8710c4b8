"""Every example client against a real service: it comes while there is no replica yet, is refused, asks again as its
service config says, and then prints the text that `unmask generate` prints for the same seed.

    examples_test.py python|go|cpp|node        Exit 77 and the reason where the language's tools are missing.
    examples_test.py --environment             Prints a Python that the Python client runs in."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["UNMASK_BIN_DIR"])
CACHE = pathlib.Path(os.environ.get("UNMASK_CLUSTER_CACHE", pathlib.Path.home() / ".cache/unmask-cluster"))
PROMPT = "What is a mask?"


class Missing(Exception):
    pass


def need(program, version=None, at_least=()):
    """The program is there, in the version that the pattern finds in what `version` prints."""
    if not shutil.which(program):
        raise Missing(f"there is no {program}")
    if version:
        printed = subprocess.run([program, *version], capture_output=True, text=True).stdout
        found = tuple(int(part) for part in re.search(r"(\d+)\.(\d+)", printed).groups())
        if found < at_least:
            raise Missing(f"{program} is {'.'.join(map(str, found))}, not {'.'.join(map(str, at_least))}")


def fetch(*command, **options):
    """A step that gets packages: what it cannot get is missing, not wrong."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command[:3]))} failed: {done.stdout[-500:]}")


def build(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, done.stdout


def python(work):
    need("python3", ["--version"], (3, 9))
    environment = CACHE / "example-python-1.71"
    if not (environment / "done").exists():
        shutil.rmtree(environment, ignore_errors=True)
        fetch(sys.executable, "-m", "venv", environment)
        fetch(environment / "bin/pip", "install", "-q", "--disable-pip-version-check", "grpcio-tools==1.71.0", "setuptools<81")
        (environment / "done").touch()
    return [environment / "bin/python", ROOT / "examples/python/generate.py"]


def go(work):
    need("go", ["version"], (1, 24))
    need("protoc")
    copy = work / "example/examples/go"
    shutil.copytree(ROOT / "examples/go", copy, ignore=shutil.ignore_patterns("unmaskpb"))
    (work / "example/proto").symlink_to(ROOT / "proto")
    fetch("go", "mod", "download", cwd=copy)
    build("go", "generate", cwd=copy)
    build("go", "build", "-o", work / "generate", ".", cwd=copy)
    return [work / "generate"]


def cpp(work):
    build("cmake", "-B", work / "client", ROOT / "examples/cpp")
    build("cmake", "--build", work / "client")
    return [work / "client/generate"]


def node(work):
    need("node", ["--version"], (18, 0))
    need("npm")
    copy = work / "example/examples/node"
    shutil.copytree(ROOT / "examples/node", copy, ignore=shutil.ignore_patterns("node_modules"))
    (work / "example/proto").symlink_to(ROOT / "proto")
    fetch("npm", "install", "--silent", "--no-audit", "--no-fund", cwd=copy)
    return ["node", copy / "generate.js"]


class Service:
    """A coordinator, and on request its replica; both end with the object."""

    def __init__(self, work):
        self.model = work / "model"
        build(BIN / "unmask-make-checkpoint", "--preset", "demo", "--out", self.model)
        self.log = open(work / "log", "w+")
        addresses = work / "addresses.json"
        self.processes = [self._start("unmask-coordinator", "--model", self.model, "--listen", "127.0.0.1:0", "--fleet-listen",
                                      "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--address-file", addresses)]
        wait_until(addresses.exists, "the coordinator")
        self.address = json.loads(addresses.read_text())

    def _start(self, *command):
        return subprocess.Popen([BIN / command[0], *command[1:]], stdout=self.log, stderr=self.log)

    def start_replica(self):
        self.processes.append(self._start("unmask", "replica", "--coordinator", self.address["fleet"], "--model", self.model))

    def refused(self):
        with urllib.request.urlopen(f"http://{self.address['admin']}/metrics", timeout=10) as page:
            return sum(float(line.split()[-1]) for line in page.read().decode().splitlines()
                       if line.startswith("unmask_requests_total") and 'code="UNAVAILABLE"' in line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()


def wait_until(condition, what, limit=120):
    give_up = time.time() + limit
    while not condition():
        assert time.time() < give_up, f"waited in vain: {what}"
        time.sleep(0.05)


def main(language):
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        try:
            command = [str(word) for word in (python if language == "--environment" else globals()[language])(work)]
        except Missing as reason:
            print(f"skipped: {reason}")
            return 77
        if language == "--environment":
            print(command[0])
            return 0
        with Service(work) as service:
            client = subprocess.Popen([*command, service.address["grpc"], PROMPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                wait_until(lambda: service.refused() >= 1 or client.poll() is not None, "a refused request")
                assert client.poll() is None, f"it gave up: {client.communicate()}"
                service.start_replica()
                printed, complaints = client.communicate(timeout=300)
            finally:
                client.kill()
            assert client.returncode == 0, complaints
            expected = json.loads(subprocess.run(
                [BIN / "unmask", "generate", "--server", service.address["grpc"], "--json", "--gen-length", "64", "--block-length", "32",
                 "--remasking", "confidence-threshold", "--threshold", "0.9", "--seed", "7", PROMPT],
                capture_output=True, text=True, check=True).stdout)
            assert expected["text"], "the service generates nothing"
            assert expected["text"].strip() in printed, f"{printed!r} is not {expected['text']!r}"
            assert f"{expected['usage']['steps']} steps, exact: {'True' if language == 'python' else 'true'}, seed 7" in printed, printed
            print(f"{language}: refused {service.refused():.0f} times, then the same text as the command")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

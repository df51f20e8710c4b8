"""The real ghz with the configurations of bench/ghz, short, against a coordinator with replicas without a model: the codes
are those that they should be, with reflection and without it, and the report shows the runs."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GHZ = ROOT / "bench/ghz"
sys.path.insert(0, str(GHZ))
import report
import run
from service import Service

BUILD = pathlib.Path(os.environ["UNMASK_BIN_DIR"]).parent
# Keys of runner/config.go of ghz 0.121 that the configurations may use; it ignores others, typos too.
KEYS = {"name", "host", "insecure", "call", "total", "concurrency", "connections", "timeout", "data", "async", "rps", "duration",
        "duration-stop", "load-schedule", "load-start", "load-end", "load-step", "load-step-duration", "stream-call-count"}


def unknown_keys(config):
    return set(config) - KEYS


class ConfigurationsTest(unittest.TestCase):
    def test_ghz_knows_every_key(self):
        files = sorted((GHZ / "configs").glob("*.json"))
        self.assertGreaterEqual(len(files), 9)
        for file in files:
            self.assertEqual(unknown_keys(json.loads(file.read_text())), set(), file.name)
        self.assertEqual(unknown_keys({"total": 1, "concurency": 2}), {"concurency"})


class GhzTest(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)
        self.binary = os.environ["GHZ"]

    def measure(self, service, name, *flags):
        return run.measure(self.binary, name, service.address["grpc"], service.address["admin"], self.folder, flags)[0]

    def test_calls_end_as_they_should(self):
        with Service(BUILD, run.MODEL) as service:
            for name, total in (("calls", 500), ("unary", 40), ("stream", 40), ("mixed", 45)):
                # A machine that is busy with other things may take long, and then nothing is to be refused.
                done = self.measure(service, name, "--total", str(total), "--timeout", "10m")
                self.assertEqual(done["statusCodeDistribution"], {"OK": total}, f"{name}: {done['errorDistribution']}")
        # Slow enough that a caller can be gone before its answer.
        with Service(BUILD, run.MODEL, step_us=20000) as service:
            done = self.measure(service, "deadline", "--total", "16")
            # Once the service knows how long they take, it refuses at once what cannot be done in time.
            self.assertEqual(sum(done["statusCodeDistribution"].values()), 16)
            self.assertGreater(done["statusCodeDistribution"]["DeadlineExceeded"], 0)
            self.assertLessEqual(set(done["statusCodeDistribution"]), {"DeadlineExceeded", "ResourceExhausted"}, done["errorDistribution"])
            done = self.measure(service, "cancel", "--total", "16", "--timeout", "10m")
            self.assertEqual(sum(done["statusCodeDistribution"].values()), 16)
            self.assertLessEqual(set(done["statusCodeDistribution"]), {"OK", "Canceled"}, done["errorDistribution"])
            self.assertEqual(self.measure(service, "unary", "--total", "8", "--timeout", "10m")["statusCodeDistribution"], {"OK": 8})  # It lives on.

        page = self.folder / "report.html"
        report.main(page, *[self.folder / f"{name}.json" for name in ("unary", "mixed", "deadline")])
        text = page.read_text()
        self.assertEqual(text.count("<section"), 3)
        self.assertIn("Latency", text)
        self.assertIn("DeadlineExceeded", text)

    def test_without_reflection_the_published_descriptors_do(self):
        token = "a-token-for-load"
        tokens = self.folder / "tokens"
        tokens.write_text(f"infer {hashlib.sha256(token.encode()).hexdigest()}\n")
        with Service(BUILD, run.MODEL, flags=["--auth-tokens", tokens]) as service:
            with self.assertRaises(RuntimeError) as raised:
                self.measure(service, "unary", "--total", "2")
            self.assertIn("does not support the reflection API", str(raised.exception))
            shown = ["--metadata", json.dumps({"authorization": f"Bearer {token}"})]
            protoset = ["--protoset", str(BUILD / "share/unmask.protoset")]
            done = self.measure(service, "unary", "--total", "8", *protoset, *shown)
            self.assertEqual(done["statusCodeDistribution"], {"OK": 8}, done["errorDistribution"])
            done = self.measure(service, "unary", "--total", "8", *protoset)
            self.assertEqual(done["statusCodeDistribution"], {"Unauthenticated": 8})


if __name__ == "__main__":
    found = subprocess.run([GHZ / "fetch.sh"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        print(found.stdout.strip())
        sys.exit(found.returncode)
    os.environ["GHZ"] = found.stdout.strip()
    unittest.main()

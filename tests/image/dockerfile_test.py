"""The Dockerfile as hadolint sees it, and what it copies held against what the build installs. Building it needs a registry of images;
scripts/image.sh builds its last stages without one.

    dockerfile_test.py DOCKERFILE BUILD-DIRECTORY      $HADOLINT names the linter."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

# Debian's versions are those of its release; what a pipe hides here is the check itself.
IGNORED = ["DL3008", "DL4006"]
TARGETS = ("cpu", "cuda")
PROGRAMS = ("built", "prebuilt")  # What the argument PROGRAMS may be.


def lint(text):
    """What hadolint has to say; a syntax error is a finding too."""
    done = subprocess.run([os.environ["HADOLINT"], "--no-color", "--format=json", *[f"--ignore={rule}" for rule in IGNORED], "-"],
                          input=text, capture_output=True, text=True)
    return [f"{found['line']}: {found['code']} {found['message']}" for found in json.loads(done.stdout)]


def parse(text, programs="built"):
    """{stage: (what it begins with, [(instruction, words)])} in order."""
    text = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ").replace("${PROGRAMS}", programs)
    stages = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()
            stages[name] = (base, [])
        elif stages:
            stages[name][1].append((word, rest))
    return stages


def lineage(stages, name):
    """All instructions that make the stage, the first ones first."""
    base, own = stages[name]
    return (lineage(stages, base) if base in stages else []) + own


def copies(stages, name):
    """(from which stage or "", source) of each COPY."""
    for word, rest in stages[name][1]:
        if word == "COPY":
            *sources, _ = [part for part in shlex.split(rest) if not part.startswith("--")]
            stage = re.search(r"--from=(\S+)", rest)
            yield from ((stage.group(1) if stage else "", source) for source in sources)


class DockerfileTest(unittest.TestCase):
    def test_the_linter_has_nothing_to_say_and_would_say_it(self):
        self.assertEqual(lint(TEXT), [])
        self.assertTrue(lint(TEXT.replace("USER 65532:65532\n\nFROM", "USER 65532:65532\n\nFORM")))
        self.assertTrue(lint(TEXT.replace("--from=programs-cuda", "--from=cuda")))  # Itself.

    def test_stages_and_copies_name_what_is_there(self):
        for programs in PROGRAMS:
            stages = parse(TEXT, programs)
            self.assertEqual(list(stages)[-1], "cpu")  # Without --target.
            self.assertLessEqual(set(TARGETS), set(stages))
            external = {base for base, _ in stages.values() if base not in stages}
            self.assertEqual(external, {"rust:1.95.0-bookworm", "scratch", "${DEBIAN}"})
            seen = []
            for name in stages:
                for stage, source in copies(stages, name):
                    self.assertTrue(stage in seen or not stage, f"{name} copies from {stage}, which is no stage before it")
                seen.append(name)

    def test_each_target_has_its_own_programs(self):
        for programs in PROGRAMS:
            stages = parse(TEXT, programs)
            for target in TARGETS:
                ((chosen, source),) = copies(stages, target)
                suffix = "" if target == "cpu" else "-cuda"
                self.assertEqual((stages[chosen][0], source), (f"{programs}{suffix}", "/image"))

    def test_all_are_built_alike_but_for_what_differs(self):
        stages = parse(TEXT)
        for target in TARGETS:
            made = lineage(stages, target)
            last = dict(made)
            self.assertEqual(last["USER"], "65532:65532")
            self.assertIn("--uid 65532", " ".join(rest for word, rest in made if word == "RUN"))
            self.assertEqual(json.loads(last["ENTRYPOINT"])[0], "/usr/bin/tini")
            self.assertIn("sbom.cdx.json", last["RUN"])
            for label in ("title", "version", "revision", "created"):
                self.assertIn(f"org.opencontainers.image.{label}=", last["LABEL"])
        cuda = " ".join(rest for _, rest in lineage(stages, "built-cuda"))
        self.assertIn("scripts/cuda.sh", cuda)  # What `make cuda` runs.
        self.assertIn("--component cuda", cuda)

    def test_what_is_copied_from_here_is_sent_and_made(self):
        sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        script = (ROOT / "scripts/image.sh").read_text()
        stages, made = parse(TEXT), set()
        for name in stages:
            for stage, source in copies(stages, name):
                if stage or source == ".":
                    continue
                if source.startswith("build/"):
                    made.add(source)
                else:
                    self.assertTrue((ROOT / source).is_file(), source)
        self.assertEqual(made, sent)
        self.assertEqual(made, {"build/image/root", "build/image/root-cuda"})
        self.assertIn("work=$PWD/build/image\n", script)
        self.assertIn("root=$work/root$suffix\n", script)

    def test_what_is_named_within_is_what_the_build_installs(self):
        stages = parse(TEXT)
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(["cmake", "--install", BUILD, "--prefix", f"{scratch}/usr"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            named = {path for target in TARGETS for word, rest in stages[target][1] if word == "RUN" for path in re.findall(r"/usr/\S+", rest)}
            named -= {"/usr/share/unmask/sbom.sh", "/usr/share/unmask/sbom.cdx.json", "/usr/lib/unmask/*"}
            self.assertGreaterEqual(len(named), 4)
            # NVIDIA's libraries, where the worker looks for them.
            self.assertIn("CMAKE_INSTALL_PREFIX}/lib/unmask", (ROOT / "cmake/UnmaskInstall.cmake").read_text())
            self.assertIn('INSTALL_RPATH "$ORIGIN/../lib/unmask"', (ROOT / "worker/CMakeLists.txt").read_text())
            for path in sorted(named | {"/usr/share/unmask/unmask.protoset", "/usr/share/unmask/models/demo/config.json"}):
                self.assertTrue(pathlib.Path(scratch + path).exists(), path)

    def test_the_bill_of_materials_holds_libraries_by_their_bytes(self):
        with tempfile.TemporaryDirectory() as scratch:
            library = pathlib.Path(scratch, "libnccl.so.2")
            library.write_bytes(b"")
            done = subprocess.run(["sh", ROOT / "scripts/sbom.sh", ROOT / "text/rust/Cargo.lock", library], capture_output=True, text=True)
        found = json.loads(done.stdout)["components"]
        self.assertIn({"type": "library", "name": "libnccl", "version": "2", "purl": "pkg:generic/libnccl@2", "hashes": [
            {"alg": "SHA-256", "content": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}, found)
        self.assertLess({"pkg:cargo", "pkg:generic"}, {part["purl"].split("/")[0] for part in found})


if __name__ == "__main__":
    DOCKERFILE, BUILD = map(pathlib.Path, sys.argv[1:3])
    ROOT, TEXT = DOCKERFILE.parent, DOCKERFILE.read_text()
    unittest.main(argv=sys.argv[:1])

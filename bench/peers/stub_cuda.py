#!/usr/bin/env python3
"""Lets PyPI's PyTorch, which is linked against CUDA, start on a machine without it: beside its libraries goes an empty one
for each CUDA library that is missing, with every symbol that is asked of it. Nothing of them is ever called."""

import collections
import importlib.util
import os
import subprocess
import tempfile

FOLDER = os.path.join(os.path.dirname(importlib.util.find_spec("torch").origin), "lib")
CUDA = ("libcu", "libnccl", "libnv")


def lines(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def main():
    own = [name for name in os.listdir(FOLDER) if name.startswith(("libtorch", "libc10", "libcaffe2"))]
    needed, defined, loose = set(), set(), set()
    versioned = collections.defaultdict(set)
    for name in own:
        path = os.path.join(FOLDER, name)
        needed |= {line.split("[")[1][:-1] for line in lines("readelf", "-d", path) if "NEEDED" in line}
        for line in lines("nm", "-D", path):
            kind, symbol = line.split()[-2:]
            symbol, _, version = symbol.partition("@")
            if kind != "U":
                defined.add(symbol)
            elif version:
                versioned[version.lstrip("@")].add(symbol)
            else:
                loose.add(symbol)
    loose = {symbol for symbol in loose - defined if symbol.startswith(("cu", "nccl", "nv"))}
    for library in sorted(needed - set(own)):
        if not library.startswith(CUDA) or os.path.exists(os.path.join(FOLDER, library)):
            continue
        version = "NVSHMEM" if "nvshmem" in library else library
        symbols = sorted(versioned[version]) or sorted(loose)
        with tempfile.TemporaryDirectory() as scratch:
            source, script = os.path.join(scratch, "stub.c"), os.path.join(scratch, "stub.map")
            with open(source, "w") as out:
                out.write("".join(f"int {symbol}(void) {{ return 999; }}\n" for symbol in symbols))
            with open(script, "w") as out:
                out.write(f"{version} {{ global: *; }};")
            command = ["gcc", "-w", "-shared", "-fPIC", "-fno-builtin", "-o", os.path.join(FOLDER, library),
                       f"-Wl,-soname,{library}", source]
            subprocess.run(command + ([f"-Wl,--version-script={script}"] if versioned[version] else []), check=True)


if __name__ == "__main__":
    main()

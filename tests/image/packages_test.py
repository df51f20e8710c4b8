"""The packages that the Dockerfile installs hold every library that the programs are linked with: an image cannot be built
in every test run, but this goes wrong each time a library is added.

    packages_test.py DOCKERFILE PROGRAM...     Exit 77 where the system is not Debian 12, whose packages these are."""

import functools
import os
import pathlib
import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def installed_by(dockerfile):
    stage = dockerfile.split(" AS runtime\n")[1]
    return set(re.search(r"--no-install-recommends((?:[^&]|&(?!&))*)&&", stage).group(1).replace("\\\n", " ").split())


@functools.lru_cache(None)
def depends(package):
    fields = run("dpkg-query", "-W", "-f=${Depends}, ${Pre-Depends}", package)
    return {re.split(r"[ :(]", choice.strip())[0] for part in fields.split(",") for choice in part.split("|") if choice.strip()}


def closure(packages):
    found, left = set(), set(packages)
    while left:
        package = left.pop()
        found.add(package)
        left |= depends(package) - found
    return found


def missing(packages, programs):
    """Libraries of the programs that neither the packages nor what they depend on hold."""
    have, lacks = closure(packages | {"libc6"}), []
    cache = dict(re.findall(r"^\s+(\S+) \(.*\) => (\S+)$", run("/sbin/ldconfig", "-p"), re.M)[::-1])
    for program in programs:
        for library in re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", program)):
            path = os.path.realpath(cache.get(library, "/lib64/" + library))
            owner = run("dpkg", "-S", path) or run("dpkg", "-S", path.removeprefix("/usr")) or run("dpkg", "-S", "*/" + os.path.basename(path))
            if owner.split(":")[0] not in have:
                lacks.append(f"{os.path.basename(program)} needs {library}, of the package {owner.split(':')[0] or '(unknown)'}")
    return lacks


def main(dockerfile, *programs):
    if 'VERSION_CODENAME=bookworm' not in pathlib.Path("/etc/os-release").read_text():
        print("skipped: this is not Debian 12")
        return 77
    packages = installed_by(pathlib.Path(dockerfile).read_text())
    assert "libgrpc++1.51" in packages, packages
    lacks = missing(packages, programs)
    assert not lacks, "the Dockerfile lacks packages:\n" + "\n".join(lacks)
    planted = missing(packages - {"libdnnl2"}, programs)
    assert any("libdnnl" in line for line in planted), f"a missing package goes unnoticed: {planted}"
    print(f"{len(packages)} packages hold all that {len(programs)} programs need")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

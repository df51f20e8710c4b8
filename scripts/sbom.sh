#!/bin/sh
# Prints a CycloneDX bill of materials of the system it runs in: its Debian packages, the crates of a Cargo.lock, and
# libraries of other origin by their bytes. sbom.sh CARGO-LOCK [LIBRARY...]
set -eu
{
  dpkg-query -W -f='deb ${Package} ${Version} ${Architecture}\n'
  awk -F'"' '/^name = /{n=$2} /^version = /{v=$2} /^checksum = /{print "cargo", n, v, $2}' "$1"
  shift
  for library in "$@"; do  # libcublasLt.so.13: of that name and that version.
    name=${library##*/}
    echo "file ${name%%.so.*} ${name#*.so.} $(sha256sum <"$library" | cut -c1-64)"
  done
} | LC_ALL=C sort | awk '
  function encoded(text) { gsub(/%/, "%25", text); gsub(/:/, "%3A", text); gsub(/\+/, "%2B", text); gsub(/~/, "%7E", text); return text }
  BEGIN {
    print "{\n \"bomFormat\": \"CycloneDX\", \"specVersion\": \"1.5\", \"version\": 1,"
    print " \"metadata\": {\"component\": {\"type\": \"application\", \"name\": \"unmask\"}},"
    printf " \"components\": ["
  }
  {
    where = $1 == "deb" ? "deb/debian" : $1 == "cargo" ? "cargo" : "generic"
    purl = "pkg:" where "/" encoded($2) "@" encoded($3) ($1 == "deb" ? "?arch=" $4 "&distro=bookworm" : "")
    hash = $1 != "deb" ? ", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"" $4 "\"}]" : ""
    printf "%s\n  {\"type\": \"library\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"%s}", (NR > 1 ? "," : ""), $2, $3, purl, hash
  }
  END { print "\n ]\n}" }'

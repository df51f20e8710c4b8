#!/usr/bin/env bash
# fetch.sh BUILD: gets what bench/run.py compares with, into BUILD/peers: PyTorch from PyPI in a virtual environment, and
# llama.cpp's diffusion example, built from the source in PyPI's sdist of llama-cpp-python. What cannot be had is reported and
# left out. A second run does nothing.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: fetch.sh BUILD}" && pwd)
peers=$build/peers
model=$build/bench/model
torch=2.15.0
llama=0.3.36
mkdir -p "$peers"

pytorch() {
  [ -x "$peers/venv/bin/python" ] || python3 -m venv "$peers/venv" || return 1
  "$peers/venv/bin/python" -c 'import torch, safetensors' 2>/dev/null && return 0
  # Without its dependencies: these are gigabytes of CUDA, which a comparison on the CPU does not call.
  "$peers/venv/bin/pip" install -q --no-deps "torch==$torch" &&
    "$peers/venv/bin/pip" install -q numpy==2.4.6 safetensors==0.8.0 filelock==4.3.1 typing-extensions sympy==1.14.0 networkx==3.6.1 \
      jinja2==3.1.6 fsspec==2026.9.0 tqdm==4.70.1 pyyaml==6.0.4 requests==2.34.2 &&
    "$peers/venv/bin/python" "$here/stub_cuda.py" &&
    "$peers/venv/bin/python" -c 'import torch'
}

llama_cpp() {
  local folder=$peers/llama.cpp
  mkdir -p "$folder"
  if [ ! -x "$folder/out/bin/llama-diffusion-cli" ]; then
    "$peers/venv/bin/pip" download -q "llama-cpp-python==$llama" --no-deps --no-binary llama-cpp-python -d "$folder" &&
      tar xzf "$folder"/llama_cpp_python-*.tar.gz -C "$folder" &&
      rm -rf "$folder/src" && mv "$folder"/llama_cpp_python-*/vendor/llama.cpp "$folder/src" &&
      cmake -S "$folder/src" -B "$folder/out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TOOLS=OFF >"$folder/build.log" 2>&1 &&
      ninja -C "$folder/out" llama-diffusion-cli >>"$folder/build.log" 2>&1 || return 1
  fi
  local kind
  for kind in f32 bf16; do
    [ -f "$folder/bench-$kind.gguf" ] ||
      "$peers/venv/bin/python" "$here/to_gguf.py" "$folder/src/gguf-py" "$model" "$kind" "$folder/bench-$kind.gguf" || return 1
  done
}

echo "Peers: PyTorch $torch (a download of half a gigabyte the first time) ..."
pytorch || echo "PyTorch is not here: what needs it is left out"
echo "Peers: llama.cpp of llama-cpp-python $llama (minutes to build the first time) ..."
llama_cpp || echo "llama.cpp is not here: what needs it is left out"

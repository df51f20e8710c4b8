#!/usr/bin/env bash
# Makes unmaskpb/ from proto/ with protoc and the plugins of go.mod.
set -euo pipefail
cd "$(dirname "$0")"
protos=(unmask/v1/options.proto unmask/v1/inference.proto)
package=unmask.example/generate/unmaskpb
options=(--go_opt=module="${package%/*}" --go-grpc_opt=module="${package%/*}")
for file in "${protos[@]}"; do options+=(--go_opt="M$file=$package" --go-grpc_opt="M$file=$package"); done
protoc -I ../../proto --go_out=. --go-grpc_out=. "${options[@]}" \
  --plugin=protoc-gen-go="$(go tool -n protoc-gen-go)" --plugin=protoc-gen-go-grpc="$(go tool -n protoc-gen-go-grpc)" "${protos[@]}"

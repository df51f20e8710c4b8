"""Asks an Unmask service and prints the canvas after every denoising step.

    python3 -m venv ~/unmask-venv && ~/unmask-venv/bin/pip install grpcio-tools
    ~/unmask-venv/bin/python examples/python/generate.py 127.0.0.1:50051 "What is a diffusion language model?"

The stubs are made from proto/ as the program starts. A program that cannot ship grpcio-tools makes them once:

    python -m grpc_tools.protoc -I proto --python_out=OUT --grpc_python_out=OUT proto/unmask/v1/*.proto
"""

import json
import pathlib
import sys

import grpc

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
inference_pb2, inference_pb2_grpc = grpc.protos_and_services("unmask/v1/inference.proto")
options_pb2 = grpc.protos("unmask/v1/options.proto")

# Waits while nobody is there, asks again when refused for the moment. A stream that has begun is never repeated.
SERVICE_CONFIG = json.dumps({"methodConfig": [{
    "name": [{"service": "unmask.v1.InferenceService"}],
    "waitForReady": True,
    "retryPolicy": {"maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "30s", "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]})
# An attempt to connect to a machine or pod that is gone is given up after five seconds, not twenty.
CHANNEL_OPTIONS = [("grpc.service_config", SERVICE_CONFIG), ("grpc.min_reconnect_backoff_ms", 5000)]


def main(server: str, prompt: str) -> None:
    request = inference_pb2.GenerateRequest(
        chat={"messages": [{"role": "user", "content": prompt}]},
        options=options_pb2.GenerationOptions(
            gen_length=64,
            block_length=32,
            remasking=options_pb2.REMASKING_CONFIDENCE_THRESHOLD,
            threshold=0.9,
            seed=7,
        ),
    )
    canvas = []
    with grpc.insecure_channel(server, options=CHANNEL_OPTIONS) as channel:
        service = inference_pb2_grpc.InferenceServiceStub(channel)
        for event in service.GenerateStream(request, timeout=300):
            if event.HasField("accepted"):
                prompt_length = event.accepted.prompt_length
                canvas = ["░"] * (event.accepted.canvas_length - prompt_length)
            elif event.HasField("step"):
                for commit in event.step.commits:  # Revealed in any order, for good.
                    canvas[commit.position - prompt_length] = commit.text
                print(f"{event.step.masks_left:4} masks left  {''.join(canvas)!r}")
            elif event.HasField("completed"):
                done = event.completed
                print(f"\n{done.text}\n\n{done.usage.steps} steps, exact: {done.exactness.exact}, seed {done.options.seed}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: generate.py HOST:PORT PROMPT")
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")

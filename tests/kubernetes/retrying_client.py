"""Callers with the retry policy of examples/python, each asking for the same text over and over until standard input ends. Prints a line
of JSON for each call as it ends: [begin, end, code, text], with times of time.time().

    retrying_client.py SERVER CALLERS"""

import concurrent.futures
import json
import pathlib
import sys
import threading
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples/python"))
import generate  # noqa: E402


def main(server, callers):
    ended, printing = threading.Event(), threading.Lock()

    def ask(seed):
        request = generate.inference_pb2.GenerateRequest(
            text="Once upon a time", options=generate.options_pb2.GenerationOptions(gen_length=64, seed=seed, temperature=1, logits_eos_inf=True, confidence_eos_eot_inf=True))
        while not ended.is_set():
            begin, code, text = time.time(), "OK", ""
            try:
                text = service.Generate(request, timeout=600).text
            except grpc.RpcError as error:
                code = f"{error.code().name}: {error.details()}"
            with printing:
                print(json.dumps([begin, time.time(), code, f"{seed} {text}"]), flush=True)

    with grpc.insecure_channel(server, options=generate.CHANNEL_OPTIONS) as channel:
        service = generate.inference_pb2_grpc.InferenceServiceStub(channel)
        with concurrent.futures.ThreadPoolExecutor(callers) as pool:
            asked = [pool.submit(ask, seed) for seed in range(callers)]
            sys.stdin.read()
            ended.set()
            for one in asked:
                one.result()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

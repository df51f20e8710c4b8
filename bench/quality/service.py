"""A running service, asked by many at once: `unmask serve` on free loopback ports, spoken to over gRPC."""

import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "proto"))
inference, services = grpc.protos_and_services("unmask/v1/inference.proto")
options = grpc.protos("unmask/v1/options.proto")

COMPANY = 160  # Requests at once: the scheduler batches them.


def generation_options(changes):
    """`changes`: GenerationOptions by name; enums by the end of their names ("RANDOM", "DUAL")."""
    fields = dict(changes)
    for name, enum in (("remasking", options.Remasking), ("cache", options.Cache)):
        if name in fields:
            fields[name] = enum.Value(f"{name.upper()}_{fields[name]}")
    return options.GenerationOptions(**fields)


class Service:
    def __init__(self, unmask, model, *flags):
        self.scratch = tempfile.TemporaryDirectory()
        ready = pathlib.Path(self.scratch.name) / "ready.json"
        local = [f"--{name}=127.0.0.1:0" for name in ("listen", "fleet-listen", "admin-listen")]
        self.log = open(pathlib.Path(self.scratch.name) / "log", "w+")
        self.process = subprocess.Popen([unmask, "serve", "--model", str(model), *local, f"--ready-file={ready}", *flags],
                                        stdout=self.log, stderr=self.log)
        while not ready.exists():
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(f"unmask serve ended with {self.process.returncode}:\n{self.log.read()}")
            time.sleep(0.05)
        self.channel = grpc.insecure_channel(json.loads(ready.read_text())["grpc"])
        self.stub = services.InferenceServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        self.scratch.cleanup()

    def together(self, ask, questions):
        with concurrent.futures.ThreadPoolExecutor(COMPANY) as company:
            return list(company.map(ask, questions))

    def generate(self, prompts, **changes):
        """`prompts`: a list of messages [(role, content)], or a plain text. GenerateResponses in their order."""
        def ask(prompt):
            request = inference.GenerateRequest(options=generation_options(changes))
            if isinstance(prompt, str):
                request.text = prompt
            else:
                for role, content in prompt:
                    request.chat.messages.add(role=role, content=content)
            return self.stub.Generate(request)
        return self.together(ask, prompts)

    def reveals(self, prompts, **changes):
        """The texts of each answer's tokens in the order in which they were revealed."""
        def ask(prompt):
            request = inference.GenerateRequest(options=generation_options(changes))
            for role, content in prompt:
                request.chat.messages.add(role=role, content=content)
            return [commit.text for event in self.stub.GenerateStream(request)
                    for commit in sorted(event.step.commits, key=lambda c: -c.confidence)]
        return self.together(ask, prompts)

    def infill(self, texts, **changes):
        """`texts`: lists of segments, each a text, a number of masks or a list of ids."""
        def ask(segments):
            request = inference.InfillRequest(options=generation_options(changes))
            for segment in segments:
                if isinstance(segment, str):
                    request.segments.add(text=segment)
                elif isinstance(segment, int):
                    request.segments.add(masks=segment)
                else:
                    request.segments.add(token_ids={"ids": segment})
            return self.stub.Infill(request)
        return self.together(ask, texts)

    def score(self, pairs, **fields):
        """`pairs`: a prompt (messages, or a plain text) and a text that follows it. ScoreResponses in their order."""
        def ask(pair):
            prompt, target = pair
            request = inference.ScoreRequest(targets=[inference.ScoreInput(text=target)], greedy_match=False, **fields)
            if isinstance(prompt, str):
                request.prompt.text = prompt
            else:
                for role, content in prompt:
                    request.prompt.chat.messages.add(role=role, content=content)
            return self.stub.Score(request)
        return self.together(ask, pairs)

    def tokenize(self, text):
        return list(self.stub.Tokenize(inference.TokenizeRequest(text=text)).token_ids)

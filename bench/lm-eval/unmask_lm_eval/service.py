"""What the adapter asks of a service, over gRPC. Stubs are made from proto/ of this clone as the program starts."""

import json
import pathlib
import sys

import grpc

sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "proto"))
inference, services = grpc.protos_and_services("unmask/v1/inference.proto")
options = grpc.protos("unmask/v1/options.proto")

# Waits while nobody is there, and asks again when refused for the moment.
SERVICE_CONFIG = json.dumps({"methodConfig": [{
    "name": [{"service": "unmask.v1.InferenceService"}],
    "waitForReady": True,
    "retryPolicy": {"maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "30s", "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]})
MOST_TARGETS = 64  # Of a ScoreRequest.
MOST_STOPS, LONGEST_STOP = 4, 64  # Of a GenerateRequest; bytes.


def enum(kind, name):
    """REMASKING_LOW_CONFIDENCE, from "low-confidence"."""
    return options.DESCRIPTOR.enum_types_by_name[kind].values_by_name[f"{kind.upper()}_{name.replace('-', '_').upper()}"].number


class Service:
    def __init__(self, server, timeout):
        self.channel = grpc.insecure_channel(server, options=[("grpc.service_config", SERVICE_CONFIG)])
        self.stub = services.InferenceServiceStub(self.channel)
        self.timeout = timeout

    def tokenize(self, text):
        """Ids of a text as it is: what looks like a control token is text."""
        if not text:
            return []
        return list(self.stub.Tokenize(inference.TokenizeRequest(text=text), timeout=self.timeout).token_ids)

    def generate(self, prompt, generation_options):
        """The text, which ends before the first EOS or EOT. prompt: {"text": …} or {"chat": …}."""
        request = inference.GenerateRequest(**prompt, options=generation_options, priority=inference.PRIORITY_BATCH)
        return self.stub.Generate(request, timeout=self.timeout).text

    def score(self, prompt, targets, **how):
        """[(ln p(target | prompt), whether greedy decoding gives it)]. prompt: {"token_ids": …} or {"chat": …}; targets: ids."""
        scores = []
        for first in range(0, len(targets), MOST_TARGETS):
            some = [inference.ScoreInput(token_ids={"ids": ids}) for ids in targets[first:first + MOST_TARGETS]]
            request = inference.ScoreRequest(prompt=inference.ScoreInput(**prompt), targets=some, priority=inference.PRIORITY_BATCH, **how)
            scores += self.stub.Score(request, timeout=self.timeout).scores
        return [(score.log_likelihood, score.greedy_match) for score in scores]

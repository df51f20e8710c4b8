"""The `openai` package, as people use it, and curl, against a real service."""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading

from service import Service, run_in, wait_until

PROMPT = "What is a mask?"
DIFFUSION = {"block_length": 16, "steps": 32, "remasking": "confidence-threshold", "threshold": 0.9}


def text_of_grpc(service, prompt, *flags):
    return service.command("generate", prompt, "--gen-length", "32", "--block-length", "16", "--steps", "32", "--remasking",
                           "confidence-threshold", "--threshold", "0.9", "--seed", "7", *flags)


def a_completion_is_the_commands(client, service):
    expected = text_of_grpc(service, PROMPT, "--raw")
    got = client.completions.create(model="demo", prompt=PROMPT, max_tokens=32, seed=7, extra_body={"diffusion": DIFFUSION})
    assert got.choices[0].text == expected["text"] != "", (got, expected)
    assert got.usage.completion_tokens == expected["usage"]["completion_tokens"]
    assert got.choices[0].finish_reason == {"FINISH_REASON_EOS": "stop", "FINISH_REASON_LENGTH": "length"}[expected["finish_reason"]]
    assert got.model_extra["diffusion"]["numerics"] == expected["numerics"]


def a_chat_streams_its_blocks(client, service):
    expected = text_of_grpc(service, PROMPT)
    messages = [{"role": "user", "content": PROMPT}]
    whole = client.chat.completions.create(model="demo", messages=messages, max_tokens=32, seed=7, extra_body={"diffusion": DIFFUSION})
    assert whole.choices[0].message.content == expected["text"] != ""
    chunks = list(client.chat.completions.create(model="demo", messages=messages, max_completion_tokens=32, seed=7, stream=True,
                                                 stream_options={"include_usage": True}, extra_body={"diffusion": DIFFUSION}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected["text"]
    assert chunks[-2].choices[0].finish_reason in ("stop", "length")
    assert chunks[-1].usage.completion_tokens == expected["usage"]["completion_tokens"]


def every_reveal_comes_once(client, service):
    stream = client.completions.create(model="demo", prompt=PROMPT, max_tokens=32, seed=7, stream=True,
                                       extra_body={"diffusion": {**DIFFUSION, "stream": "steps", "output": {"proposals": True}}})
    chunks = [chunk.model_extra["diffusion"] for chunk in stream]
    accepted, completed = chunks[0]["accepted"], chunks[-1]["completed"]
    steps = [chunk["step"] for chunk in chunks if "step" in chunk]
    revealed = [commit["position"] for step in steps for commit in step["commits"]]
    assert len(revealed) == len(set(revealed)) > 0
    assert min(revealed) == accepted["prompt_length"]
    assert any(step["proposals"] for step in steps) and len(steps) == completed["usage"]["steps"]
    assert all(0 < commit["confidence"] <= 1 for step in steps for commit in step["commits"])


def a_suffix_is_led_up_to(client, service):
    got = client.completions.create(model="demo", prompt="A mask hides", suffix=" of the text.", max_tokens=4, seed=7)
    assert got.choices[0].text and "of the text" not in got.choices[0].text, got
    assert [span["segment"] for span in got.model_extra["diffusion"]["spans"]] == [1]


def models_are_listed(client, service):
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id == "demo"


def errors_are_the_packages(client, service):
    import openai
    for arguments, kind, param in [
        ({"prompt": PROMPT, "max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"prompt": PROMPT, "temperature": -1}, openai.BadRequestError, "temperature"),
        ({"prompt": PROMPT, "n": 3}, openai.BadRequestError, "n"),
        ({"prompt": PROMPT, "extra_body": {"diffusion": {"block_length": 7}}}, openai.BadRequestError, "diffusion.block_length"),
        ({"prompt": PROMPT, "model": "gpt"}, openai.NotFoundError, None),
    ]:
        for stream in (False, True):
            try:
                client.completions.create(**{"model": "demo", "stream": stream, **arguments})
                raise AssertionError(f"{arguments} was taken")
            except kind as error:
                assert error.param == param and error.code, error


def curl(service, *arguments):
    done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    body, code = done.stdout.rsplit("\n", 1)
    return int(code), body


def curl_gets_clear_answers(client, service):
    url = f"{service.url}/v1/completions"
    as_json = ["-H", "Content-Type: application/json"]
    code, body = curl(service, url, *as_json, "-d", json.dumps({"prompt": PROMPT, "max_tokens": 8}))
    assert code == 200 and json.loads(body)["object"] == "text_completion", body
    code, body = curl(service, url, "-N", *as_json, "-d", json.dumps({"prompt": PROMPT, "max_tokens": 8, "stream": True}))
    assert code == 200 and body.rstrip().endswith("data: [DONE]"), body
    with tempfile.NamedTemporaryFile() as large:
        large.write(b'{"prompt": "' + b"a" * (10 << 20) + b'"}')
        large.flush()
        wrong = [(400, [*as_json, "-d", '{"prompt": '], "line 1, column"), (400, [*as_json, "-d", '{"prompt": NaN}'], "not JSON"),
                 (415, ["-d", '{"prompt": "a"}'], "application/json"), (413, [*as_json, "--data-binary", f"@{large.name}"], "too large"),
                 (400, [*as_json, "-d", "[" * 100_000], "nested deeper")]
        for expected, arguments, says in wrong:
            code, body = curl(service, url, *arguments)
            assert code == expected and says in json.loads(body)["error"]["message"], (arguments[-1][:40], code, body)
    code, body = curl(service, f"{service.url}/v2/nothing")
    assert code == 404 and json.loads(body)["error"]["code"] == "not_found"


def leaving_ends_the_work(client, service):
    lines = lambda: [line for line in service.logged().splitlines() if "CANCELLED" in line]
    before = len(lines())
    long = {"prompt": PROMPT, "max_tokens": 192, "stream": True, "diffusion": {"block_length": 192, "logits_eos_inf": True, "stream": "steps"}}
    process = subprocess.Popen(["curl", "-sN", f"{service.url}/v1/completions", "-H", "Content-Type: application/json", "-d",
                                json.dumps(long)], stdout=subprocess.PIPE)
    assert b"accepted" in process.stdout.readline()
    process.kill()
    process.wait()
    wait_until(lambda: len(lines()) == before + 1, "the log's line of the cancelled request")


def each_request_has_its_line(client, service):
    client.completions.create(model="demo", prompt=PROMPT, max_tokens=8, extra_headers={"X-Request-Id": "find-me"})
    wait_until(lambda: "find-me" in service.logged(), "the log's line")
    assert PROMPT not in service.logged()


CHECKS = [a_completion_is_the_commands, a_chat_streams_its_blocks, every_reveal_comes_once, a_suffix_is_led_up_to, models_are_listed,
          errors_are_the_packages, curl_gets_clear_answers, leaving_ends_the_work, each_request_has_its_line]


def main():
    import openai
    with Service() as service:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)
        for check in CHECKS:
            check(client, service)
            print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)
        # Eight at once: each gets its own text.
        words = ["cat", "book", "river", "moon", "tree", "lamp", "horse", "star"]
        def answer(word):
            return client.completions.create(model="demo", prompt=f"bird -> birds\n{word} ->", max_tokens=4).choices[0].text
        expected = {word: answer(word) for word in words}
        got = {}
        def ask(word):
            got[word] = answer(word)
        threads = [threading.Thread(target=ask, args=(word,)) for word in expected]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == expected and len(set(expected.values())) == len(words), (got, expected)
        print("ok: eight at once")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        sys.exit(main())
    sys.exit(run_in("openai-3.57", ["openai==3.57.0"], pathlib.Path(__file__)))

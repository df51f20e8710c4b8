"""Files and batches as people use them: the `openai` package and curl, against a real service with a store."""

import json
import pathlib
import sys
import tempfile
import time

from openai_test import curl
from service import Service, run_in

BODY = {"model": "demo", "max_tokens": 32, "diffusion": {"block_length": 16, "remasking": "confidence-threshold"}}


def line(number, **body):
    return json.dumps({"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions",
                       "body": {**BODY, "messages": [{"role": "user", "content": f"Write {number} in words."}], **body}}) + "\n"


def ended(client, batch):
    give_up = time.time() + 300
    while batch.status == "in_progress":
        assert time.time() < give_up, batch
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    return batch


def a_file_of_questions_becomes_a_file_of_answers(client, service):
    content = "".join(line(number, seed=7) for number in range(12)) + line("x", n=1, stop=["\n"] * 5)
    uploaded = client.files.create(file=("questions.jsonl", content.encode()), purpose="batch")
    assert uploaded.bytes == len(content.encode()) and uploaded.filename == "questions.jsonl", uploaded
    assert client.files.content(uploaded.id).text == content
    batch = client.batches.create(input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h",
                                  metadata={"for": "a test"})
    assert batch.metadata == {"for": "a test"} and batch.request_counts.total == 13, batch
    batch = ended(client, batch)
    assert batch.status == "completed" and (batch.request_counts.completed, batch.request_counts.failed) == (12, 1), batch
    answers = [json.loads(text) for text in client.files.content(batch.output_file_id).text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == [f"q{number}" for number in range(12)]
    # Each is what the same question gets at once.
    for number in (0, 11):
        asked = json.loads(line(number, seed=7))["body"]
        alone = client.chat.completions.create(extra_body={"diffusion": asked.pop("diffusion")}, **asked)
        assert answers[number]["response"]["body"]["choices"][0]["message"]["content"] == alone.choices[0].message.content
    (error,) = client.files.content(batch.error_file_id).text.splitlines()
    assert json.loads(error)["error"]["code"] == "too_many_stops", error
    client.files.delete(batch.output_file_id)
    client.files.delete(uploaded.id)
    assert uploaded.id not in [file.id for file in client.files.list()]
    assert client.batches.retrieve(batch.id).output_file_id is None


def pages_are_turned(client, service):
    files = [client.files.create(file=(f"{number}.jsonl", line(number).encode()), purpose="batch").id for number in range(5)]
    assert [file.id for file in client.files.list(limit=2, order="asc", purpose="batch")] == files  # By three pages.
    batches = [client.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h").id for file in files]
    listed = [batch.id for batch in client.batches.list(limit=2)]
    assert listed[:5] == batches[::-1], listed


def a_batch_is_cancelled(client, service):
    content = "".join(line(number, max_tokens=128) for number in range(500))
    uploaded = client.files.create(file=("long.jsonl", content.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(batch.id).status == "cancelled"
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "cancelled" and batch.request_counts.completed < 500, batch


def errors_are_the_packages(client, service):
    import openai
    def fails(kind, call, *says):
        try:
            call()
        except kind as error:
            assert all(word in error.message for word in says), error
            return error
        raise AssertionError(f"{kind.__name__} was expected")
    def create(content, **arguments):
        file = client.files.create(file=("a.jsonl", content.encode()), purpose="batch").id
        return client.batches.create(**{"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h", **arguments})
    bad = fails(openai.BadRequestError, lambda: create(line(1) + line(2, steps=4)), "line 2, column", "steps is not a field")
    assert bad.code == "batch_input_invalid", bad
    fails(openai.BadRequestError, lambda: create(line(1) + line(1)), "line 2, column", "custom_id is that of line 1")
    fails(openai.BadRequestError, lambda: create(line(1), endpoint="/v1/completions"), "endpoint")
    fails(openai.BadRequestError, lambda: client.files.create(file=b"{}", purpose="vision"), "purpose")
    fails(openai.NotFoundError, lambda: client.files.retrieve("file-0"))
    fails(openai.NotFoundError, lambda: client.files.content("file-0"))
    fails(openai.NotFoundError, lambda: client.batches.retrieve("batch_0"))
    fails(openai.NotFoundError, lambda: client.batches.cancel("batch_0"))


def curl_does_it_too(client, service):
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write("".join(line(number) for number in range(3)).encode())
        file.flush()
        code, body = curl(service, f"{service.url}/v1/files", "-F", "purpose=batch", "-F", f"file=@{file.name}")
    assert code == 200, body
    create = {"input_file_id": json.loads(body)["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    code, body = curl(service, f"{service.url}/v1/batches", "-H", "Content-Type: application/json", "-d", json.dumps(create))
    assert code == 200, body
    code, body = curl(service, f"{service.url}/v1/batches/{json.loads(body)['id']}/cancel", "-H", "Content-Type: application/json",
                      "-X", "POST")
    assert code == 200 and json.loads(body)["status"] in ("cancelled", "completed"), body


def too_much_is_refused_and_takes_no_memory(client, service):
    with tempfile.NamedTemporaryFile() as large:
        # A hole: what is sent are zeros.
        large.truncate(190_000_000)
        before = resident(service)
        code, body = curl(service, f"{service.url}/v1/files", "-F", "purpose=batch", "-F", f"file=@{large.name}")
        assert code == 200 and json.loads(body)["bytes"] == 190_000_000, body
        taken = resident(service) - before
        assert taken < 40e6, f"{taken / 1e6:.0f} MB for an upload"
        code, deleted = curl(service, "-X", "DELETE", f"{service.url}/v1/files/{json.loads(body)['id']}")
        assert code == 200, deleted
        large.truncate(300_000_000)
        code, body = curl(service, f"{service.url}/v1/files", "-F", "purpose=batch", "-F", f"file=@{large.name}")
        assert code == 413 and json.loads(body)["error"]["code"] == "request_too_large", (code, body)


def resident(service):
    """The most that the coordinator has had in memory, in bytes."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            status = (process / "status").read_text()
            if f"PPid:\t{service.process.pid}\n" in status and status.startswith("Name:\tunmask-coordina"):
                return int(status.split("VmHWM:")[1].split()[0]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError("the coordinator is not found")


CHECKS = [a_file_of_questions_becomes_a_file_of_answers, pages_are_turned, a_batch_is_cancelled, errors_are_the_packages, curl_does_it_too,
          too_much_is_refused_and_takes_no_memory]


def main():
    import openai
    with tempfile.TemporaryDirectory() as store, Service("--store", store) as service:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)
        for check in CHECKS:
            check(client, service)
            print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        sys.exit(main())
    sys.exit(run_in("openai-3.57", ["openai==3.57.0"], pathlib.Path(__file__)))

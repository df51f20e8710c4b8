"""bench/lm-eval with the real harness against a real service with models/demo: what the harness counts is what the service says."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests" / "http"), str(ROOT / "bench" / "lm-eval"), str(ROOT / "bench" / "lm-eval" / "tasks")]

from service import Service, run_in


def accuracy(results, metric):
    ((_, found),) = results["results"].items()
    return found[f"{metric},none"]


def texts_are_the_services(address):
    """Right answers, counted by the harness and by hand."""
    import demo
    import run
    from unmask_lm_eval import service

    row = run.rows()["demo/reversing"]
    counted = accuracy(run.run(row, address, limit=None), "exact_match")
    documents = demo.reversing()["test"]
    options = run.model_args(row)
    direct = service.Service(address, timeout=600)
    right = 0
    for number, document in enumerate(documents):
        text = direct.generate({"chat": {"messages": [{"role": "user", "content": document["question"]}]}},
                               service.options.GenerationOptions(gen_length=32, steps=32, block_length=32, seed=options["seed"] + number,
                                                                 remasking=service.enum("Remasking", options["remasking"])))
        right += text == document["answer"]
    assert counted == right / len(documents), (counted, right, len(documents))
    assert counted >= 0.7, counted  # 52 of 64 here.
    # A model that is asked for something else is told apart.
    fooled = run.run({**row, "chat": False}, address, limit=16)
    assert accuracy(fooled, "exact_match") < counted, "the chat template makes no difference"


def likelihoods_tell_the_line_that_follows(address):
    import run
    from unmask_lm_eval import UnmaskLM

    row = run.rows()["demo/poems"]
    assert accuracy(run.run(row, address, limit=None), "acc") >= 0.85
    # Without the question the four lines are equally good.
    encode, UnmaskLM.encode = UnmaskLM.encode, lambda self, context, continuations: encode(self, "", continuations)
    try:
        assert accuracy(run.run(row, address, limit=None), "acc") < 0.7
    finally:
        UnmaskLM.encode = encode


def a_pair_is_encoded_as_the_reference_does(address):
    from unmask_lm_eval import UnmaskLM, service

    model = UnmaskLM(server=address)
    whole = service.Service(address, timeout=60).tokenize("The quiet fox sings by the sea")
    prompt, (target,) = model.encode("The quiet fox ", ["sings by the sea"])
    assert prompt["token_ids"]["ids"] + target == whole, "context and continuation are not one text"
    assert prompt == model.encode("The quiet fox", [" sings by the sea"])[0]


def options_are_the_tasks_where_the_model_says_nothing(address):
    from unmask_lm_eval import UnmaskLM

    model = UnmaskLM(server=address)
    options = model.options(0, {"max_gen_toks": 100, "until": ["a", "b" * 65, "c", "d", "e", "f"]})
    assert (options.gen_length, list(options.stop)) == (128, ["a", "c", "d", "e"]), options
    assert UnmaskLM(server=address, gen_length=64).options(0, {"max_gen_toks": 100}).gen_length == 64
    try:
        UnmaskLM(server=address, gen_lenght=64)
        raise AssertionError("a misspelt argument was taken")
    except ValueError as error:
        assert "gen_lenght" in str(error)


def every_published_row_has_its_task(address):
    import run
    from lm_eval.tasks import TaskManager

    known = set(TaskManager(include_path=str(ROOT / "bench" / "lm-eval" / "tasks")).all_tasks)
    rows = run.rows()
    assert len(rows) > 40
    assert [name for name, row in rows.items() if row["task"] is not None and row["task"] not in known] == []


CHECKS = [a_pair_is_encoded_as_the_reference_does, options_are_the_tasks_where_the_model_says_nothing, every_published_row_has_its_task,
          texts_are_the_services, likelihoods_tell_the_line_that_follows]


def main():
    with Service("--model", ROOT / "models" / "demo") as service:
        for check in CHECKS:
            check(service.address["grpc"])
            print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        sys.exit(main())
    sys.exit(run_in("lm-eval-0.4.13", ["--no-deps", "-r", pathlib.Path(__file__).with_name("requirements.txt")], pathlib.Path(__file__)))

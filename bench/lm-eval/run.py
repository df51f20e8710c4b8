#!/usr/bin/env python3
"""Runs a row of published.yaml through lm-eval against a service, and prints its score beside the published one.

    python3 -m venv ~/lm-eval && ~/lm-eval/bin/pip install -e bench/lm-eval
    build/bin/unmask serve --model LLaDA-8B-Base …
    ~/lm-eval/bin/python bench/lm-eval/run.py base/gsm8k --server 127.0.0.1:50051        # --limit 20 for a first look
    ~/lm-eval/bin/python bench/lm-eval/run.py --list
"""

import argparse
import json
import os
import pathlib
import sys

import yaml

FOLDER = pathlib.Path(__file__).resolve().parent
SEED = 1234  # The authors'.


def rows():
    table = yaml.safe_load((FOLDER / "published.yaml").read_text())
    return {f"{model}/{name}": {"chat": model != "base", **row} for model, group in table.items() for name, row in group.items()}


def model_args(row):
    """length: the published settings have gen_length = steps, and one block unless they say otherwise."""
    args = {"is_check_greedy": False, "temperature": 0, "seed": SEED, **row["args"]}
    if length := args.pop("length", None):
        args = {"gen_length": length, "steps": length, "block_length": length, **args}
    return args


def run(row, server, limit, **more):
    sys.path.insert(0, str(FOLDER))
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    from unmask_lm_eval import UnmaskLM

    model = UnmaskLM(server=server, **model_args(row), **more)
    return simple_evaluate(model, tasks=[row["task"]], num_fewshot=row.get("shots"), apply_chat_template=row["chat"], limit=limit,
                           task_manager=TaskManager(include_path=str(FOLDER / "tasks")), bootstrap_iters=0,
                           confirm_run_unsafe_code=row.get("runs_code", False), random_seed=SEED, numpy_random_seed=SEED,
                           torch_random_seed=SEED, fewshot_random_seed=SEED)


def scores(results, task):
    """{metric: per cent} of the task, or of its group."""
    of_task = results.get("groups", {}).get(task) or results["results"][task]
    return {name: round(100 * value, 2) for name, value in of_task.items()
            if isinstance(value, (int, float)) and "stderr" not in name and name not in ("sample_len", "sample_count")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="?")
    parser.add_argument("--server", default=os.environ.get("UNMASK_SERVER", "127.0.0.1:50051"))
    parser.add_argument("--limit", type=float, help="documents of each task: a number, or a part below 1")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    table = rows()
    if asked.list or asked.row not in table:
        for name, row in table.items():
            print(f"{name:28} {row['task'] or 'no task in the harness':30} {row.get('published', '')}")
        return 0 if asked.list else 64
    row = table[asked.row]
    if row["task"] is None:
        print("the harness has no such task")
        return 64
    results = run(row, asked.server, asked.limit)
    print(json.dumps({"row": asked.row, "settings": model_args(row), "measured": scores(results, row["task"]),
                      "published": row.get("published"), "opencompass": row.get("opencompass"), "limit": asked.limit}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

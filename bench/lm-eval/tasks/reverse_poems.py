"""LLaDA's reversal test: data/poem_data.json of ML-GSAI/LLaDA, named by UNMASK_POEM_DATA."""

import json
import os

from datasets import Dataset


def load(**_):
    if "UNMASK_POEM_DATA" not in os.environ:
        raise FileNotFoundError("UNMASK_POEM_DATA does not name data/poem_data.json of ML-GSAI/LLaDA")
    with open(os.environ["UNMASK_POEM_DATA"], encoding="utf-8") as file:
        return {"test": Dataset.from_list(json.load(file))}


def said(document, results, answer):
    """The answer stands somewhere in the text."""
    return {"acc": float(document[answer] in results[0])}


def said_second(document, results):
    return said(document, results, "second")


def said_first(document, results):
    return said(document, results, "first")

"""The lm-evaluation-harness against an Unmask service: importing this registers the model `unmask`."""

from unmask_lm_eval.model import UnmaskLM

__all__ = ["UnmaskLM"]

"""`lm-eval` with the model `unmask`: python -m unmask_lm_eval run --model unmask --model_args server=HOST:PORT …"""

import unmask_lm_eval  # noqa: F401  (registers the model)
from lm_eval.__main__ import cli_evaluate

cli_evaluate()

"""The harness's model `unmask`: log-likelihoods by Score, texts by Generate, as LLaDA's own evaluation has them.

What the reference's eval_llada.py does with its options, this does with the service's: `mc_num` samples in batches of
`batch_size` strata, `cfg`, `is_check_greedy`, `gen_length`, `steps`, `block_length`, `remasking`. All else of
GenerationOptions goes by its own name.
"""

import json
from concurrent.futures import ThreadPoolExecutor

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from tqdm import tqdm

from unmask_lm_eval import service

# Options of a generation that are numbers or switches, by their own names.
NUMBERS = {"gen_length": int, "steps": int, "block_length": int, "threshold": float, "factor": float, "entropy_bound": float,
           "temperature": float}
SWITCHES = ("logits_eos_inf", "confidence_eos_eot_inf", "reference_parity")
ENUMS = {"remasking": "Remasking", "cache": "Cache"}
DEFAULT_BLOCK = 32


class ChatPrompt(str):
    """A conversation in JSON: the service, which has the chat template, renders it."""


def truth(value):
    return str(value).lower() in ("1", "true", "yes")


@register_model("unmask")
class UnmaskLM(LM):
    def __init__(self, server="127.0.0.1:50051", mc_num=128, strata=None, cfg=0.0, is_check_greedy=True, score_parity=False, seed=1234,
                 concurrency=32, timeout=3600, batch_size=None, max_batch_size=None, device=None, **generation):
        """server: HOST:PORT. mc_num: samples of a likelihood. strata: of a batch of them (eval_llada's batch_size). cfg: guidance.
        score_parity: the reference's rounding of mask counts. concurrency: requests at a time; the service batches them.
        generation: options of Generate. The harness's own batch_size, max_batch_size and device mean nothing here."""
        super().__init__()
        unknown = set(generation) - set(NUMBERS) - set(SWITCHES) - set(ENUMS)
        if unknown:
            raise ValueError(f"model_args: unmask has no {', '.join(sorted(unknown))}")
        self.service = service.Service(server, float(timeout))
        self.cfg, self.seed, self.concurrency = float(cfg), int(seed), int(concurrency)
        self.scoring = {"samples": int(mc_num), "cfg_scale": self.cfg, "greedy_match": truth(is_check_greedy),
                        "reference_parity": truth(score_parity)}
        if strata is not None:
            self.scoring["strata"] = int(strata)
        self.generation = {name: kind(generation[name]) for name, kind in NUMBERS.items() if name in generation}
        self.generation |= {name: truth(generation[name]) for name in SWITCHES if name in generation}
        self.generation |= {name: service.enum(kind, generation[name]) for name, kind in ENUMS.items() if name in generation}

    # --- Chats. The harness hands what apply_chat_template yields back as a request's context.

    @property
    def tokenizer_name(self):
        return "unmask"

    def chat_template(self, chat_template=False):
        return "the service's" if chat_template else ""

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        if not add_generation_prompt:
            raise NotImplementedError("an answer that is begun for the model (gen_prefix) is no prompt of a chat: use infilling")
        return ChatPrompt(json.dumps([{"role": turn["role"], "content": turn["content"]} for turn in chat_history]))

    @staticmethod
    def chat(context):
        return {"chat": {"messages": json.loads(context)}}

    def at_once(self, ask, jobs, what, disable_tqdm):
        """ask(job) of each, in order; `concurrency` at a time."""
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(tqdm(pool.map(ask, jobs), total=len(jobs), desc=what, disable=disable_tqdm))

    # --- Likelihoods.

    def encode(self, context, continuations):
        """What Score is asked: the prompt, and the ids of each continuation. As in eval_llada.py, a context's trailing spaces go
        with what follows, and both are encoded as one text, which is divided after as many tokens as the context has."""
        if isinstance(context, ChatPrompt):
            return self.chat(context), [self.service.tokenize(text) for text in continuations]
        stripped = context.rstrip()
        spaces = context[len(stripped):]
        prompt = self.service.tokenize(stripped)
        targets = [self.service.tokenize(stripped + spaces + text)[len(prompt):] for text in continuations]
        return {"token_ids": {"ids": prompt}}, targets

    def loglikelihood(self, requests, disable_tqdm=False):
        # Choices of one question share its prompt, and so one call.
        questions = {}
        for index, request in enumerate(requests):
            context, continuation = request.args
            questions.setdefault((isinstance(context, ChatPrompt), context), []).append((index, context, continuation))
        found = [None] * len(requests)

        def ask(numbered):
            number, asked = numbered
            prompt, targets = self.encode(asked[0][1], [continuation for _, _, continuation in asked])
            scores = self.service.score(prompt, targets, seed=self.seed + number, **self.scoring)
            for (index, context, continuation), score in zip(asked, scores, strict=True):
                found[index] = score
                self.cache_hook.add_partial("loglikelihood", (context, continuation), score)

        self.at_once(ask, list(enumerate(questions.values())), "Score", disable_tqdm)
        return found

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        raise NotImplementedError("LLaDA's evaluation has no rolling likelihood: its estimate is of a text after a prompt, not token by token")

    # --- Texts.

    def options(self, number, arguments):
        """Of a generation: the model's arguments, and what the task says where they say nothing."""
        chosen = {"cfg_scale": self.cfg, "seed": self.seed + number, **self.generation}
        if "gen_length" not in chosen and "max_gen_toks" in arguments:
            block = min(chosen.get("block_length", DEFAULT_BLOCK), int(arguments["max_gen_toks"]))
            chosen["gen_length"] = -(-int(arguments["max_gen_toks"]) // block) * block
        if "temperature" not in chosen and arguments.get("do_sample", False):
            chosen["temperature"] = float(arguments.get("temperature", 1.0))
        stops = [stop for stop in self.until(arguments) if len(stop.encode()) <= service.LONGEST_STOP]
        return service.options.GenerationOptions(**chosen, stop=stops[:service.MOST_STOPS])

    @staticmethod
    def until(arguments):
        until = arguments.get("until") or []
        return [stop for stop in ([until] if isinstance(until, str) else until) if stop]

    def generate_until(self, requests, disable_tqdm=False):
        def ask(numbered):
            number, request = numbered
            context, arguments = request.args
            prompt = self.chat(context) if isinstance(context, ChatPrompt) else {"text": context}
            text = self.service.generate(prompt, self.options(number, arguments))
            for stop in self.until(arguments):  # The service takes four.
                text = text.split(stop)[0]
            self.cache_hook.add_partial("generate_until", request.args, text)
            return text

        return self.at_once(ask, list(enumerate(requests)), "Generate", disable_tqdm)

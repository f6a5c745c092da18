"""Greedy decoding of the same weights by mychat and by transformers, in turn; prints tokens per second and the ratio.

Usage: python bench/generate_speed.py [CHECKPOINT] [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.events import ReplyEnd
from mychat.generate.engine import Engine
from mychat.model.checkpoint import load_checkpoint
from mychat.model.record import find_checkpoint

PROMPTS = ["hi", "what are you?", "what is a token?", "how do I train on my own text?", "tell me a story"]


def main(name: str = "milo", rounds: str = "5") -> None:
    path = find_checkpoint(name)
    engine = Engine(load_checkpoint(path))
    peer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    options = SamplingOptions(temperature=0, max_new_tokens=60)
    ours, theirs, same = [], [], 0
    for _ in range(int(rounds)):
        for prompt in PROMPTS:
            messages = [Message("user", prompt)]
            *_, end = engine.reply(messages, options)
            assert isinstance(end, ReplyEnd)
            ours.append(end.tokens_per_second)
            ids = torch.tensor([engine.prompt_ids(messages)])
            started = time.perf_counter()
            with torch.inference_mode():
                said = peer.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False,
                                     repetition_penalty=1.0)  # fmt: skip
            new = said.shape[1] - ids.shape[1]
            theirs.append(new / (time.perf_counter() - started))
            same += said[0, ids.shape[1] :].tolist()[: len(end.ids)] == list(end.ids)
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    print(f"mychat        {statistics.median(ours):7.0f} tokens/s")
    print(f"transformers  {statistics.median(theirs):7.0f} tokens/s")
    print(f"ratio         {ratio:7.2f}  (median of pairs; same text in {same} of {len(ours)})")


if __name__ == "__main__":
    main(*sys.argv[1:])

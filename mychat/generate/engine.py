"""The engine: a checkpoint that answers, token by token."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import CheckpointError, ContextError
from mychat.events import ReplyDelta, ReplyEnd, ReplyEvent
from mychat.generate.cache import KVCache, make_caches
from mychat.generate.sampling import next_id
from mychat.model.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from mychat.model.gpt import GPT
from mychat.model.host import pick_device
from mychat.tokenizer.bpe import StreamDecoder
from mychat.tokenizer.chat_format import ChatFormat


@torch.inference_mode()
def prefill(model: GPT, ids: Tensor, caches: Sequence[KVCache]) -> Tensor:
    """Run the prompt (B, T) through empty caches; return the logits after it, (B, V)."""
    return model.logits(model.hidden(ids, caches=caches)[:, -1])


@torch.inference_mode()
def decode_step(model: GPT, ids: Tensor, caches: Sequence[KVCache]) -> Tensor:
    """Run one more id each (B,); return the logits after it, (B, V)."""
    return model.logits(model.hidden(ids[:, None], start=caches[0].length, caches=caches)[:, -1])


def load_engine(name: str, device: str, *, chat: bool) -> Engine:
    """Load a checkpoint by name or path. Raises: CheckpointError, also when it cannot chat and must."""
    checkpoint = load_checkpoint(find_checkpoint(name))
    if chat and not checkpoint.is_chat:
        raise CheckpointError(
            f"{name}: continues text and cannot chat; type: mychat sample --raw --checkpoint {name} TEXT"
        )
    return Engine(checkpoint, pick_device(device))


class Engine:
    """Answers from one checkpoint. Not for use by two threads at once."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.device = device
        self.persona, self.defaults = checkpoint.persona, checkpoint.sampling
        self.model, self.tokenizer = checkpoint.build(device), checkpoint.tokenizer
        self.format = ChatFormat(self.tokenizer)

    @property
    def context_length(self) -> int:
        """Tokens that fit, prompt and reply together."""
        return self.model.config.context_length

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Render a conversation up to where the assistant speaks."""
        return self.format.render(messages, generation_prompt=True).ids

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens of `prompt_ids`."""
        return len(self.prompt_ids(messages))

    def reply(self, messages: Sequence[Message], options: SamplingOptions) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end. Raises: ContextError when the prompt does not fit."""
        return self._generate(self.prompt_ids(messages), options)

    def complete(self, text: str, options: SamplingOptions) -> Iterator[ReplyEvent]:
        """Continue plain text. Raises: ContextError when it does not fit."""
        return self._generate([self.format.bos, *self.tokenizer.encode(text)], options)

    def _generate(self, prompt: list[int], options: SamplingOptions) -> Iterator[ReplyEvent]:
        room = self.context_length - len(prompt)
        if room < 1:
            raise ContextError(
                f"the prompt is {len(prompt)} tokens, the context window holds {self.context_length} "
                f"with at least 1 for the reply; shorten it by {1 - room}"
            )
        seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
        started = time.perf_counter()
        ids: list[int] = []
        decoder, parts = StreamDecoder(self.tokenizer), []
        finish_reason = "length" if options.max_new_tokens <= room else "context"
        for id_ in self._ids(prompt, options, seed):
            if id_ == self.format.end:
                finish_reason = "stop"
                break
            ids.append(id_)
            if delta := decoder.push(id_):
                parts.append(delta)
                yield ReplyDelta(delta)
            if len(ids) == min(options.max_new_tokens, room):
                break
        if rest := decoder.finish():
            parts.append(rest)
            yield ReplyDelta(rest)
        seconds = time.perf_counter() - started
        yield ReplyEnd("".join(parts), tuple(ids), finish_reason, seed, len(prompt), seconds)

    def _ids(self, prompt: list[int], options: SamplingOptions, seed: int) -> Iterator[int]:
        """Yield ids without end; the caller knows when it has enough."""
        generator = torch.Generator().manual_seed(seed)
        caches = self._caches(1, self.context_length)
        logits = prefill(self.model, torch.tensor([prompt], device=self.device), caches)
        reply: list[int] = []
        while True:
            reply.append(next_id(logits[0], torch.tensor(reply, dtype=torch.long), options, generator))
            yield reply[-1]
            logits = decode_step(self.model, torch.tensor(reply[-1:], device=self.device), caches)

    def greedy(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch: int = 32) -> list[str]:
        """Answer many prompts greedily; those of one length run together.

        A prompt that leaves no room is answered with an empty reply.
        """
        replies = [""] * len(prompts)
        by_length: dict[int, list[int]] = {}
        for index, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(index)
        for length, members in by_length.items():
            most = min(max_new_tokens, self.context_length - length)
            for start in range(0, len(members) if most > 0 else 0, batch):
                group = members[start : start + batch]
                said = self._greedy_group([prompts[index] for index in group], most)
                for index, ids in zip(group, said, strict=True):
                    replies[index] = self.tokenizer.decode(ids)
        return replies

    def _greedy_group(self, prompts: list[Sequence[int]], most: int) -> list[list[int]]:
        caches = self._caches(len(prompts), len(prompts[0]) + most)
        said: list[list[int]] = [[] for _ in prompts]
        going = set(range(len(prompts)))
        logits = prefill(self.model, torch.tensor(prompts, device=self.device), caches)
        for step in range(most):
            ids = logits.argmax(-1)
            for row, id_ in enumerate(ids.tolist()):
                if row in going:
                    if id_ == self.format.end:
                        going.discard(row)
                    else:
                        said[row].append(id_)
            if not going or step == most - 1:
                break
            logits = decode_step(self.model, ids, caches)
        return said

    def _caches(self, batch: int, length: int) -> list[KVCache]:
        dtype = self.model.embed_tokens.weight.dtype
        return make_caches(batch, self.model.config, length, self.device, dtype)

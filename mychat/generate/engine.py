"""The engine: a checkpoint that answers, token by token."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import ContextError
from mychat.events import ReplyDelta, ReplyEnd, ReplyEvent, TokenScore
from mychat.generate.ban import BannedTexts
from mychat.generate.batch import generate_batch
from mychat.generate.beam import Beam, beam_search
from mychat.generate.decoder import Decoder
from mychat.generate.draft import MOST_DRAFTED, Drafter
from mychat.generate.sampling import Chooser
from mychat.generate.scores import score_tokens
from mychat.generate.stop import TextUntil
from mychat.generate.stream import Stream
from mychat.model.checkpoint import Checkpoint, load_checkpoint
from mychat.model.gpt import GPT
from mychat.model.host import pick_device
from mychat.model.record import Place
from mychat.tokenizer.chat_format import ChatFormat


def load_engine(place: Place, device: str) -> Engine:
    """Load a checkpoint's folder, or an earlier step of it. Raises: CheckpointError."""
    return Engine(load_checkpoint(*place), pick_device(device))


class Engine:
    """Answers from one checkpoint. Not for use by two threads at once."""

    def __init__(
        self, checkpoint: Checkpoint, device: str = "cpu", *, speculate: bool = True, native: bool = True
    ) -> None:
        self.device, self.speculate = device, speculate
        self.persona, self.defaults, self.tokenizer = checkpoint.persona, checkpoint.sampling, checkpoint.tokenizer
        self._checkpoint = checkpoint
        self.decoder = Decoder(checkpoint.build(device), native=native)
        self.format = ChatFormat(self.tokenizer)
        self.stream = Stream(self.decoder, self.context_length)
        self.drafter = Drafter(checkpoint.ngrams)

    @cached_property
    def model(self) -> GPT:
        """The network itself, built when it is asked for: replies do without."""
        return self._checkpoint.build(self.device)

    @property
    def context_length(self) -> int:
        """Tokens that fit, prompt and reply together."""
        return self.decoder.config.context_length

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Render a conversation up to where the assistant speaks."""
        return self.format.render(messages, generation_prompt=True).ids

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens of `prompt_ids`."""
        return len(self.prompt_ids(messages))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return self.tokenizer.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return self.tokenizer.decode(ids)

    def read(self, messages: Sequence[Message]) -> None:
        """Read messages, so that a reply after them need not. Raises: ContextError."""
        ids = self.prompt_ids(messages)
        self._room(ids)
        self.stream.resume(ids)

    def reply(
        self,
        messages: Sequence[Message],
        options: SamplingOptions,
        begun: Sequence[int] = (),
        *,
        alternatives: int | None = None,
    ) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end, with scores when `alternatives` says how many others to name.

        With `begun`, the reply begins with these ids, and is yielded as it goes on after them.
        Raises: ContextError when the prompt does not fit.
        """
        return self._answer(self.prompt_ids(messages), options, begun, alternatives=alternatives)

    def complete(self, text: str, options: SamplingOptions, *, alternatives: int | None = None) -> Iterator[ReplyEvent]:
        """Continue plain text. Raises: ContextError when it does not fit."""
        return self._answer([self.format.bos, *self.encode(text)], options, alternatives=alternatives)

    def _answer(
        self, prompt: list[int], options: SamplingOptions, begun: Sequence[int] = (), *, alternatives: int | None = None
    ) -> Iterator[ReplyEvent]:
        room = min(options.max_new_tokens, self._room([*prompt, *begun]))
        finish_reason = "length" if room == options.max_new_tokens else "context"
        seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
        started = time.perf_counter()
        text = TextUntil(self.tokenizer, options.stop)
        ids, parts = list(begun), [text.begin(begun)]
        for id_ in self._ids(prompt, options, seed, begun):
            if id_ == self.format.end:
                finish_reason = "stop"
                break
            ids.append(id_)
            if delta := text.push(id_):
                parts.append(delta)
                yield ReplyDelta(delta)
            if text.stopped:
                finish_reason = "stop"
                break
            if len(ids) - len(begun) == room:
                break
        if rest := text.finish():
            parts.append(rest)
            yield ReplyDelta(rest)
        seconds = time.perf_counter() - started
        end = ReplyEnd("".join(parts), tuple(ids), finish_reason, seed, len(prompt), seconds)
        if alternatives is not None:
            scores = self._scores([*prompt, *ids], alternatives)
            reply = len(prompt) - 1
            end = replace(end, scores=tuple(scores[reply:]), prompt_scores=tuple(scores[:reply]))
        yield end

    def _room(self, prompt: Sequence[int]) -> int:
        room = self.context_length - len(prompt)
        if room < 1:
            raise ContextError(
                f"the prompt is {len(prompt)} tokens, the context window holds {self.context_length} "
                f"with at least 1 for the reply; shorten it by {1 - room}"
            )
        return room

    def _ids(self, prompt: list[int], options: SamplingOptions, seed: int, begun: Sequence[int] = ()) -> Iterator[int]:
        """Yield ids without end; the caller knows when it has enough."""
        if options.beams > 1:
            yield from (*self.beams([*prompt, *begun], options, begun)[0].ids, self.format.end)
        elif options.best_of > 1:
            yield from (*self._best_of([*prompt, *begun], options, seed, begun), self.format.end)
        chooser = self._chooser(options, seed, begun)
        hidden = self.stream.resume([*prompt, *begun])[-1:]
        self.drafter.begin([*prompt, *begun])
        drafted: list[int] = []
        while True:
            held = len(self.stream.ids) - len(drafted)
            for accepted, logits in enumerate(self.decoder.logits(hidden).float().cpu().numpy()):
                id_ = chooser.choose(logits)
                yield id_
                self.drafter.push(id_)
                if accepted == len(drafted) or id_ != drafted[accepted]:
                    break
            self.stream.rewind(held + accepted)
            self.drafter.learn(len(drafted), accepted)
            room = self.context_length - len(self.stream.ids) - 1
            drafted = self.drafter.draft(min(MOST_DRAFTED, room)) if self.speculate else []
            hidden = self.stream.feed([id_, *drafted])

    def _chooser(self, options: SamplingOptions, seed: int, begun: Sequence[int] = ()) -> Chooser:
        biases = {tuple(self.encode(text)): bias for text, bias in options.biases().items()}
        banned = BannedTexts(self.tokenizer, options.ban).ids if options.ban else None
        return Chooser(options, seed, biases, banned, begun)

    def _scores(self, ids: Sequence[int], alternatives: int) -> list[TokenScore]:
        """Score every id but the first by what stands before it."""
        self.stream.rewind(0)
        logits = self.decoder.logits(self.stream.feed(list(ids))[:-1])
        return score_tokens(self.tokenizer, logits, ids[1:], alternatives)

    # --- many at once, and searches

    def replies(
        self, prompts: Sequence[Sequence[int]], options: SamplingOptions, seed: int = 0, begun: Sequence[int] = ()
    ) -> list[list[int]]:
        """Answer many prompts at once, each as it would be alone with the seeds `seed`, `seed` + 1, ...

        With `begun`, each prompt ends with these ids of its reply. One that leaves no room gets an empty reply.
        """
        choosers = [self._chooser(options, seed + number, begun) for number in range(len(prompts))]
        room = [min(options.max_new_tokens, self.context_length - len(prompt)) for prompt in prompts]
        return generate_batch(self.decoder, prompts, choosers, room, self.format.end)

    def beams(self, prompt: list[int], options: SamplingOptions, begun: Sequence[int] = ()) -> list[Beam]:
        """Return the best replies that a search with `beams` of them abreast finds, best first.

        With `begun`, the prompt ends with these ids of the reply.
        """
        most = min(options.max_new_tokens, self._room(prompt))
        chooser = self._chooser(options.updated({"temperature": 0.0}), 0)
        return beam_search(
            self.decoder, prompt, options.beams, end=self.format.end, most=most,
            length_penalty=options.length_penalty, adjust=lambda scores, reply: chooser.after(scores, [*begun, *reply]),
        )  # fmt: skip

    def _best_of(self, prompt: list[int], options: SamplingOptions, seed: int, begun: Sequence[int]) -> list[int]:
        most = min(options.max_new_tokens, self._room(prompt))
        said = self.replies([prompt] * options.best_of, options, seed, begun)
        ended = [ids if len(ids) >= most else [*ids, self.format.end] for ids in said]
        return max(zip(said, self.likelihood(prompt, ended), strict=True), key=lambda pair: pair[1][1])[0]

    def likelihood(self, prompt: Sequence[int], replies: Sequence[Sequence[int]]) -> list[tuple[float, float]]:
        """Return each reply's log-probability after the prompt, as a whole and per id."""
        found = []
        for ids in replies:
            if not ids:
                found.append((0.0, 0.0))
                continue
            logits = self.decoder.logits(self._read(prompt, ids))
            total = float(
                logits.float().log_softmax(-1).gather(1, torch.tensor(ids, device=logits.device)[:, None]).sum()
            )
            found.append((total, total / len(ids)))
        return found

    def _read(self, prompt: Sequence[int], ids: Sequence[int]) -> Tensor:
        """Return the hidden states (n, C) that tell `ids` (n) after a prompt; what is known of it is not run again."""
        last = self.stream.resume(prompt)[-1:]
        return torch.cat((last, self.stream.feed(ids[:-1]))) if len(ids) > 1 else last

    def choices(self, messages: Sequence[Message], texts: Sequence[str]) -> list[float]:
        """Return how probable each text is as the whole reply, among them. Raises: ContextError."""
        prompt = self.prompt_ids(messages)
        replies = [[*self.encode(text), self.format.end] for text in texts]
        self._room([*prompt, *max(replies, key=len)])
        totals = [total for total, _ in self.likelihood(prompt, replies)]
        return torch.tensor(totals, dtype=torch.float64).softmax(-1).tolist()

    def score(
        self, messages: Sequence[Message], reply: Sequence[int] = (), alternatives: int = 0
    ) -> tuple[list[list[TokenScore]], list[TokenScore]]:
        """Score every token of every message, and of a reply after them, given what stands before it.

        How expected was each word? Markers are left out of the messages. Raises: ContextError.
        """
        prompt = self.prompt_ids(messages)
        self._room([*prompt, *reply][1:])
        scores = self._scores([*prompt, *reply], alternatives)
        parts: list[list[TokenScore]] = [[]]
        for score in scores[: len(prompt) - 1]:
            if score.id == self.format.end:
                parts.append([])
            elif self.tokenizer.token_bytes(score.id):  # a marker is nobody's word
                parts[-1].append(score)
        return parts[: len(messages)], scores[len(prompt) - 1 :]

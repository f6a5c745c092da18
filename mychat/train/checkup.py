"""A persona's check-up: what the doctor finds in its words, and what a run would make of them."""

from __future__ import annotations

from mychat.config import BASE_CHECKPOINT, SAMPLING_NAMES, TrainSettings, find_words
from mychat.corpus.doctor import Checkup, Finding, examine, folder_of, in_order, written_texts
from mychat.corpus.split import split_words
from mychat.corpus.texts import sample_texts
from mychat.corpus.words import Words, load_words
from mychat.errors import CorpusError
from mychat.model.checkpoint import load_checkpoint
from mychat.model.host import matmul_flops, pick_device, pick_precision
from mychat.tokenizer.bpe import train_tokenizer
from mychat.train.recipe import chars_to_draw, choose_recipe
from mychat.train.start import find_base, misfit

FEW_TOKENS_PER_PARAMETER = 0.02
"""Fewer than these and a model says its lines well and little else."""
ENOUGH_CHARS = 2_000_000
"""Of expansions, to learn a tokenizer from."""


def check_up(source: str, settings: TrainSettings) -> Checkup:
    """Examine words by name or path, for a run of these settings. Raises: CorpusError, ConfigError."""
    words = load_words([find_words(source)], SAMPLING_NAMES)
    checkup = examine(words)
    try:
        counted, findings = _planned(words, settings)
    except CorpusError as error:
        counted, findings = {}, [Finding("problem", folder_of(words), str(error))]
    return Checkup(checkup.counts | counted, in_order([*checkup.findings, *findings]))


def _planned(words: Words, settings: TrainSettings) -> tuple[dict[str, int], list[Finding]]:
    """Count tokens, and the parameters of the model that a run would choose."""
    side = split_words(words, min(ENOUGH_CHARS, chars_to_draw(settings)), settings.seed).train
    folder = find_base()
    base = load_checkpoint(folder) if folder else None
    if base and not misfit(base, words, settings):
        tokenizer, config, size = base.tokenizer, base.config, BASE_CHECKPOINT
    else:
        said = [message.content for conversation in side.conversations for message in conversation.messages]
        device = pick_device(settings.device)
        peak = matmul_flops(device, pick_precision(settings.precision, device), 1024)
        chars = sum(map(len, said)) + sum(map(len, side.texts))
        recipe = choose_recipe(settings, chars, peak, drawn=bool(words.dialogues))
        tokenizer = train_tokenizer([*said, *sample_texts(side.texts)], recipe.vocab_size)
        config, size = recipe.shape(tokenizer.vocab_size), recipe.size
    tokens = sum(len(tokenizer.encode(text)) for text in written_texts(words))
    parameters = config.count_parameters()
    findings = []
    if size != BASE_CHECKPOINT and tokens < FEW_TOKENS_PER_PARAMETER * parameters:
        text = (
            f"{tokens:,} tokens were written for {parameters:,} parameters ({size}): it learns them by heart; "
            "write more, or start from a model that knows the language (--from)"
        )
        findings.append(Finding("advice", folder_of(words), text))
    return {"tokens": tokens, "parameters": parameters, "vocabulary": tokenizer.vocab_size}, findings

"""Figures, personas, tokens and checkpoints as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mychat.corpus.doctor import Checkup
from mychat.corpus.persona import Persona
from mychat.terminal.console import Terminal
from mychat.terminal.sanitise import sanitise

if TYPE_CHECKING:  # names only: drawing needs no torch
    from mychat.evaluate.accuracy import Answer
    from mychat.tokenizer.train import TrainedTokenizer

_FIGURES = {
    "bits_per_byte": "bits per byte",
    "perplexity_per_token": "perplexity per token",
    "perplexity_per_word": "perplexity per word",
    "loss": "loss (nats per token)",
    "persona_accuracy": "persona accuracy",
    "exam_questions": "exam questions",
}


def print_figures(terminal: Terminal, metrics: Mapping[str, float]) -> None:
    """Print a figure a line."""
    rows = [(_FIGURES.get(name, name), format_figure(name, value)) for name, value in metrics.items()]
    _print_pairs(terminal, rows)


def format_figure(name: str, value: float) -> str:
    """Write a figure with the digits that mean something."""
    if name == "persona_accuracy":
        return f"{100 * value:.1f}%"
    if name == "exam_questions":
        return f"{value:.0f}"
    return f"{value:.3f}" if value < 1000 else f"{value:,.0f}"


def print_wrong_answers(terminal: Terminal, answers: Sequence[Answer], most: int) -> None:
    """Print questions that were answered wrongly, with where the right answer stands."""
    for answer in [answer for answer in answers if not answer.right][:most]:
        dialogue = answer.exam.dialogue
        terminal.result(f"\n{dialogue.path.name}:{dialogue.turns[answer.exam.turn].line} ({dialogue.topic})")
        for message in answer.exam.asked:
            terminal.result(f"  {'>' if message.role == 'user' else ' '} {message.content}")
        terminal.result(f"  got: {answer.reply}")


def print_info(terminal: Terminal, about: Mapping[str, Any]) -> None:
    """Print what `describe_checkpoint` found."""
    model, data = about["model"], about["data"] or {}
    stages = ", ".join(f"{stage['name']} {stage['steps']} steps" for stage in about["stages"] or [])
    parent = f"fine-tuned from {about['parent']}" if about["parent"] else "trained from scratch"
    seconds = about["trained_seconds"]
    rows = [
        ("checkpoint", about["path"] + ("" if about["finished"] else " (a stopped run; --resume goes on)")),
        ("name", about["name"]),
        ("kind", "chat" if about["kind"] == "chat" else "continues text (mychat sample --raw)"),
        ("parameters", f"{about['parameters']:,} ({about['weights_bytes'] / 1e6:.1f} MB on disk)"),
        ("shape", f"{model['n_layer']} layers of {model['n_embd']}, {model['n_head']} heads ({model['n_kv_head']} kv), "
                  f"vocabulary {model['vocab_size']:,}, context {model['context_length']}"),
        ("made", f"{parent} by mychat {about['mychat_version']}: {stages}" + (f", {seconds} s" if seconds else "")),
        ("words", f"{data.get('name')} ({', '.join(data.get('files', []))})"),
        ("SHA-256", f"{data.get('fingerprint')}"),
        ("sampling", ", ".join(f"{key} {value}" for key, value in about["sampling"].items() if value is not None)),
    ]  # fmt: skip
    rows += [(_FIGURES.get(name, name), format_figure(name, value)) for name, value in (about["metrics"] or {}).items()]
    _print_pairs(terminal, rows)


def _print_pairs(terminal: Terminal, rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        terminal.result(f"{name:{width}}  {value}")


def print_personas(terminal: Terminal, personas: Sequence[Persona]) -> None:
    """Print a persona a line."""
    if not personas:
        terminal.note("no personas yet; type: mychat persona new NAME")
        return
    width = max(len(persona.name) for persona in personas)
    for persona in personas:
        terminal.result(f"{persona.name:{width}}  {persona.language}  {' '.join(persona.description[:2])}")


def print_persona(terminal: Terminal, summary: Mapping[str, Any]) -> None:
    """Print what `summarise` found."""
    keys = ("name", "display_name", "language", "greeting", "topics", "dialogues", "turns", "expansions",
            "conversations", "text_characters")  # fmt: skip
    rows = [("files", ", ".join(summary["files"]))]
    for key in keys:
        value = summary[key]
        if value:
            rows.append((key.replace("_", " "), value if isinstance(value, str) else _large(value)))
    rows += [("fact", fact) for fact in summary["description"]]
    _print_pairs(terminal, rows)
    for example in summary["examples"]:
        terminal.result("")
        for message in example:
            mark = {"user": "> ", "system": "@ "}.get(message["role"], "")
            terminal.result(f"  {mark}{message['content']}")


def print_checkup(terminal: Terminal, checkup: Checkup, name: str) -> None:
    """Print the counts, each finding a line, and what to do next."""
    rows = [(key.replace("_", " "), _large(value)) for key, value in checkup.counts.items() if value]
    if {"tokens", "parameters"} <= checkup.counts.keys():
        rows.append(("tokens per parameter", f"{checkup.counts['tokens'] / checkup.counts['parameters']:.2g}"))
    _print_pairs(terminal, rows)
    terminal.result("")
    for finding in checkup.findings:
        terminal.result(f"{finding.where}: {finding.kind}: {finding.text}")
    found = len(checkup.findings)
    if not found:
        terminal.note(f"nothing to complain about; now type: mychat train {name}", style="good")
    else:
        advice = found - checkup.problems
        terminal.note(
            f"{checkup.problems} problem{'s' * (checkup.problems != 1)}, {advice} piece{'s' * (advice != 1)} of advice"
        )


def _large(value: int) -> str:
    return f"{value:,}" if value < 10**15 else f"about 10^{len(str(value)) - 1}"


def print_tokens(terminal: Terminal, ids: Sequence[int], pieces: Sequence[bytes]) -> None:
    """Print each token with its id; bytes that are no text are shown as such."""
    for id_, piece in zip(ids, pieces, strict=True):
        terminal.result(f"{id_:>6}  {show_bytes(piece)}")
    size = sum(map(len, pieces))
    terminal.note(f"{len(ids)} tokens for {size} bytes ({size / max(1, len(ids)):.2f} bytes per token)")


def show_bytes(piece: bytes) -> str:
    """Write a token's bytes visibly: `b" hi"` -> `"·hi"`, half a character as hex."""
    text = piece.decode("utf-8", "backslashreplace").replace("\n", "\\n").replace("\t", "\\t")
    return sanitise(text).replace(" ", "·")


def describe_tokenizer(trained: TrainedTokenizer) -> str:
    """Say in a line how well it packs its own training text."""
    per_token = trained.text_bytes / max(1, trained.tokens)
    return f"{trained.tokenizer.vocab_size:,} ids; {per_token:.2f} bytes per token on the words it learnt from"

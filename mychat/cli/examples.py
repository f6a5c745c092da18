"""Examples for `--help`, a few for each command."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "train": (
        ("mychat train milo --minutes 3", "a persona, in three minutes"),
        ("mychat train talks.jsonl --minutes 10 --out me", "your own conversations"),
        ("mychat train notes.txt --plan", "what would be done, and no more"),
        ("mychat train milo --out me --resume", "go on after Ctrl-C"),
    ),
    "pretrain": (("mychat pretrain *.txt --minutes 20 --out base", "a model that continues text"),),
    "finetune": (("mychat finetune luna --from base --out luna", "teach it to speak as luna"),),
    "tune": (("mychat tune milo --minutes 60", "search for better settings, then train with --config"),),
    "chat": (
        ("mychat chat", "talk to milo"),
        ("mychat chat luna --temperature 0.4", "a persona of your own, less daring"),
        ('mychat chat --system "I am a baker. I live in Lyon."', "anybody, without training"),
        ("mychat chat --last", "go on with the latest conversation"),
        ("mychat chat --resume", "pick one"),
    ),
    "sample": (
        ('mychat sample "tell me a joke"', "one reply"),
        ("cat question.txt | mychat sample -n 3", "three replies to what a pipe says"),
        ('mychat sample "are you human?" --choices yes,no', "the more probable of the two"),
        ('mychat sample "hi" --json --probs 3', "every token with its probability and others"),
        ('mychat sample --raw -c notes "Once"', "go on with a text"),
    ),
    "replay": (
        ("mychat replay milo-2026-11-26-1", "show a conversation that was kept"),
        ("mychat replay milo-2026-11-26-1 --verify", "make every reply again and compare"),
    ),
    "eval": (
        ("mychat eval milo --show-wrong 20", "how good is it, and what goes wrong"),
        ("mychat eval milo --data other.jsonl", "on other words"),
    ),
    "info": (("mychat info milo", "what it is, from what, how good"),),
    "persona check": (("mychat persona check luna", "what to mend before training"),),
    "persona new": (
        ("mychat persona new luna", "answer a few questions, get a folder"),
        ('mychat persona new luna --fact "I live on the moon."', "without questions"),
    ),
    "tokenizer show": (('mychat tokenizer show milo "unbelievable"', "how a text is cut"),),
    "bench": (("mychat bench --size micro --size mini", "this machine against its limit"),),
}


def examples(command: str) -> str:
    """Return the end of a command's help."""
    rows = EXAMPLES[command]
    width = max(len(example) for example, _ in rows)
    lines = [f"  {example:{width}}  {does}" for example, does in rows]
    return "\b\nExamples:\n" + "\n".join(lines)

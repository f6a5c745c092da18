"""The model card: the README.md of a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mychat.corpus.persona import Persona


def render_card(persona: Persona, record: Mapping[str, Any]) -> str:
    """Write the card from what the record knows."""
    front = ["---", f"language: {persona.language}", "library_name: transformers", "tags: [mychat]", "---", ""]
    lines = [f"# {persona.display_name}", ""]
    lines += [" ".join(persona.description), ""] if persona.description else []
    parent = f", fine-tuned from {record['parent']}" if record.get("parent") else ", trained from scratch"
    kind = "chat model" if record.get("chat", True) else "model that continues text"
    lines += [
        f"A {kind} of {record['parameters']:,} parameters made with mychat {record['mychat_version']}{parent}.",
        f"Words: {record.get('data', {}).get('name', 'unknown')} "
        f"(SHA-256 {str(record.get('data', {}).get('fingerprint', ''))[:16]}).",
        "",
    ]
    if record.get("credits"):
        lines += ["It learnt from:", "", *(f"- {credit}" for credit in record["credits"]), ""]
    metrics = record.get("metrics") or {}
    if metrics:
        lines += ["| measured on held-out words | |", "| --- | --- |"]
        lines += [f"| {name} | {value:.4g} |" for name, value in metrics.items()]
        lines.append("")
    lines += ["It knows what its words taught it, and nothing else.", ""]
    return "\n".join(front + lines)

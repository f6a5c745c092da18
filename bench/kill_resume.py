"""Kill one run with SIGKILL at random moments, resume it each time, and compare with a run that was left alone.

Usage: python bench/kill_resume.py [KILLS] [STEPS]

It saves after every step, so that many kills fall into the middle of a save.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from mychat.model.checkpoint import load_checkpoint

CONFIG = "context_length = 64\nbatch_tokens = 512\nvocab_size = 512\ndropout = 0.1\nsave_every_seconds = 0\n"


def main(kills: str = "30", steps: str = "400") -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.toml"
        config.write_text(CONFIG)

        def command(name: str) -> list[str]:
            out = str(Path(folder) / name)
            run = [sys.executable, "-m", "mychat", "train", "milo", "--size", "nano", "--steps", steps, "--out", out]
            return [*run, "--config", str(config), "--resume"]

        print("a run that is left alone ...", flush=True)
        subprocess.run(command("whole"), check=True, stderr=subprocess.DEVNULL)
        moments = random.Random(0)
        done = saving = 0
        while not (Path(folder) / "cut").exists():
            process = subprocess.Popen(command("cut"), stderr=subprocess.PIPE, text=True)
            assert process.stderr is not None
            if done < int(kills):
                for line in process.stderr:
                    if line.startswith(("pretrain:", "finetune:")):
                        break
                time.sleep(moments.uniform(0.0, 1.5))
                process.kill()
                done += 1
                saving += bool(list(Path(folder).glob(".cut.partial.*")))
            process.communicate()
        whole, cut = (load_checkpoint(Path(folder) / name).weights for name in ("whole", "cut"))
        same = sum(torch.equal(whole[name], cut[name]) for name in whole)
        print(f"{done} kills, {saving} of them in the middle of a save; {same} of {len(whole)} tensors identical")
        sys.exit(same != len(whole))


if __name__ == "__main__":
    main(*sys.argv[1:])

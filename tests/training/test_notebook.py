"""Training in a notebook: a bar in the output, an interrupt that saves, a second run that resumes.

A real kernel executes the cells.
"""

import os

import pytest
from jupyter_client.manager import start_new_kernel

from nerf.foundation.files import write_json
from nerf.runs.checkpoints import Checkpoints
from tests.conftest import ROOT
from tests.training.test_training import synthetic

STEPS = 400
START = """
import json, time, warnings
warnings.simplefilter("error")
import nerf
config = json.loads(open("config.json").read())
"""
SLOWLY = 'nerf.train(config, None, "run", on_call=lambda call, session: time.sleep(0.05))'
TRAIN = 'run = nerf.train(config, None, "run"); run.step'


class Kernel:
    """A kernel and what its last cell showed."""

    def __init__(self, folder):
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.manager, self.client = start_new_kernel(
            cwd=str(folder), env={**os.environ, "PYTHONPATH": path}
        )

    def run(self, code, interrupt_at=None):
        """Execute a cell; interrupt it once when its bar shows the text `interrupt_at`."""
        self.bars, self.texts, self.other, interrupted = {}, [], [], False  # bars: all states

        def show(message):
            nonlocal interrupted
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self.texts.append(content["text"])
            elif kind in ("display_data", "update_display_data"):
                bar = content["data"]["text/plain"]
                self.bars.setdefault(content["transient"]["display_id"], []).append(bar)
                if interrupt_at and interrupt_at in bar and not interrupted:
                    interrupted = True
                    self.manager.interrupt_kernel()
            elif kind in ("error", "execute_result"):
                self.other.append(content)

        reply = self.client.execute_interactive(code, output_hook=show, timeout=120)
        return reply["content"]


@pytest.fixture
def kernel(tmp_path):
    write_json(tmp_path / "config.json", synthetic(steps=STEPS, save_every=STEPS))
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


def test_a_cell_shows_a_bar_is_interrupted_and_resumes(kernel, tmp_path):
    assert kernel.run(START)["status"] == "ok"

    # The stop button, once some steps are done.
    reply = kernel.run(SLOWLY, interrupt_at="step 1")
    assert reply["status"] == "error" and reply["ename"] == "KeyboardInterrupt"
    ((*_, bar),) = kernel.bars.values()
    assert bar.startswith("train") and "PSNR" in bar and "100%" not in bar
    assert "call train() with the same arguments to resume run" in "".join(kernel.texts)
    (step,) = Checkpoints(tmp_path / "run" / "checkpoints", read_only=True).steps()
    assert 0 < step < STEPS

    # The same cell again. Nothing but the bars is drawn over: every line is printed once.
    assert kernel.run(TRAIN)["status"] == "ok"
    train, evaluate = kernel.bars.values()
    assert train[0].startswith(f"train {100 * step // STEPS:3d}%")
    assert train[-1].startswith("train 100%") and evaluate[-1].startswith("evaluate: 100%")
    assert kernel.other[-1]["data"]["text/plain"] == str(STEPS)
    text = "".join(kernel.texts)
    assert "\r" not in text and "Warning" not in text

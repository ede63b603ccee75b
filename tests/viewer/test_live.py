"""Watching a training: a bounded share of the time, none when nobody looks, nothing lost."""

import signal
import subprocess
import sys
import threading
import time
import urllib.request
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import nerf
from configs import tiny
from nerf.scenes import load
from nerf.training.session import Call, Session
from nerf.viewer import live as live_module
from nerf.viewer.live import LiveView, show_session
from nerf.viewer.poses import pinhole
from nerf.viewer.turns import Turns
from tests.conftest import ROOT
from tests.support.browser import needs_browser, open_browser
from tests.support.small_scenes import write_small_tabletop

TAKEN = np.ones(1, bool)  # the only step of a call
NOBODY = object.__new__(Session)  # a session that no one reads


def watched(tmp_path, browsers, **options):
    """A live view whose server is made up, that holds the turn as after the first call."""
    live = LiveView(tmp_path / "run", **options)
    live.viewer = SimpleNamespace(browsers=browsers, stop=lambda: None)
    live._turn.enter_context(live._turns.turn())
    return live


class Looker:
    """A browser whose thread always wants another chunk, of some seconds."""

    def __init__(self, turns, seconds):
        self.turns, self.seconds, self.chunks = turns, seconds, 0
        self.at_rest, self.closed = False, False
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while not self.closed:
            with self.turns.turn():
                time.sleep(self.seconds)
                self.chunks += 1

    def redraw(self, quiet):
        assert quiet


@pytest.mark.long
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_frames_take_no_more_than_their_share(tmp_path, share):
    browsers = {}
    live = watched(tmp_path, browsers, share=share)
    looker = browsers[0] = Looker(live._turns, 0.005)
    seconds, wall = 0.0, 0.0
    for step in range(30):
        time.sleep(0.02)  # a call of the step
        seconds += 0.05
        began = time.perf_counter()
        live.after_call(Call(step, seconds, {}, TAKEN), NOBODY)
        wall += time.perf_counter() - began
    looker.closed = True
    live.close()
    # What a chunk takes beyond the credit is owed.
    allowed = share / (1.0 - share) * seconds
    assert looker.chunks >= 5
    assert live.spent <= allowed + 0.1 and wall <= allowed + 0.3
    assert live.spent > 0.3 * allowed


def test_nothing_is_given_when_nobody_looks_or_all_is_drawn(tmp_path):
    browsers = {}
    live = watched(tmp_path, browsers)
    for step in range(5):
        live.after_call(Call(step, float(step), {}, TAKEN), NOBODY)
    browsers[0] = SimpleNamespace(at_rest=True, redraw=lambda quiet: None)
    live.after_call(Call(6, 6.0, {}, TAKEN), NOBODY)
    assert live.spent == 0.0
    live.close()


def test_a_picture_at_rest_is_rendered_again_as_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(live_module, "REFRESH_SECONDS", 0.05)
    asked = []
    browsers = {0: SimpleNamespace(at_rest=True, redraw=lambda quiet: asked.append(quiet))}
    live = watched(tmp_path, browsers)
    for step in range(3):
        live.after_call(Call(step, float(step), {}, TAKEN), NOBODY)
        time.sleep(0.06)
    assert asked == [True] * 3
    live.close()


def test_an_error_ends_the_viewer_and_not_the_training(tmp_path):
    told = []

    def broken(quiet):
        raise RuntimeError("the browser\nbroke")

    browsers = {0: SimpleNamespace(at_rest=True, redraw=broken)}
    live = watched(tmp_path, browsers, tell=told.append)
    live.after_call(Call(1, 1.0, {}, TAKEN), NOBODY)
    live.after_call(Call(2, 2.0, {}, TAKEN), NOBODY)
    assert told == ["viewer ended, the training goes on: the browser broke"]
    assert live.viewer is None


@pytest.mark.whole
def test_frames_are_of_the_model_as_it_is_and_outlive_its_buffers(tmp_path):
    scene = load(write_small_tabletop(tmp_path / "scene"), "train")
    config = tiny.get_config()
    config.steps, config.batch_size = 20, 64
    config.schedule = {"name": "nerf.training.optimizers:Cosine", "final": 0.05}
    session = Session(config.to_dict(), scene)
    session.compile()
    shown = show_session(session, "run", Turns())
    camera = pinhole(np.asarray(scene.cameras.c2w[0], np.float64), 0.7, (20, 20))
    before = shown.renderer.still(camera).picture["rgb"]
    _, state = shown.renderer.source()
    for _ in session.calls(nerf.Budget(steps=20)):
        pass
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    after = shown.renderer.still(camera).picture["rgb"]
    assert np.abs(after - before).max() > 1e-3
    expected = nerf.rendering.images.make_render_image(session.model(), config.background)(camera)
    np.testing.assert_allclose(after, expected["rgb"], atol=1e-5)


@pytest.mark.whole
@needs_browser
def test_a_training_is_watched_in_a_browser(tmp_path):
    scene = write_small_tabletop(tmp_path / "scene")
    config = nerf.load_config("tiny", {"batch_size": 64, "eval_split": "test"})
    told, pictures, ended = [], [], threading.Event()
    live = LiveView(tmp_path / "run", port=0, tell=told.append)

    def seen(frames):
        return any(frames is other for other in pictures[-1:])

    def look():
        while not told and not ended.is_set():
            time.sleep(0.05)
        with open_browser(tmp_path / "profile", "enable-unsafe-swiftshader") as driver:
            driver.get(told[0].split()[1])
            while not ended.is_set():
                for browser in list(live.viewer.browsers.values()) if live.viewer else []:
                    if browser.latest is not None and not seen(browser.latest):
                        pictures.append(browser.latest)
                time.sleep(0.05)

    thread = threading.Thread(target=look)
    thread.start()
    seconds = 0.0

    def after_call(call, session):
        nonlocal seconds
        live.after_call(call, session)
        seconds = call.seconds
        if len(pictures) >= 3:
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            nerf.train(config, scene, tmp_path / "run", max_seconds=90, on_call=after_call)
    finally:
        ended.set()
        live.close()
        thread.join()
    first, last = (frames[0].picture["rgb"] for frames, _ in (pictures[0], pictures[-1]))
    assert first.shape == last.shape and np.abs(first - last).max() > 0.02
    assert told[0].startswith("viewer: http://127.0.0.1:") and "ssh -L" in told[1]
    assert 0.0 < seconds < 90.0
    assert (tmp_path / "run" / "checkpoints").exists() and "viser" in sys.modules


@pytest.mark.whole
def test_the_command_serves_the_page_until_it_is_interrupted_and_saves(tmp_path):
    scene = write_small_tabletop(tmp_path / "scene")
    arguments = ["--config=tiny", f"--scene={scene}", f"--workdir={tmp_path / 'run'}", "--view"]
    arguments += ["--view_port=0", "--config.batch_size=64", "--max_seconds=120"]
    child = subprocess.Popen(
        [sys.executable, "train.py", *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    lines = []
    for line in child.stderr:
        lines.append(line)
        if line.startswith("viewer: "):
            with urllib.request.urlopen(line.split()[1], timeout=60) as answer:
                assert b"<html" in answer.read()
            child.send_signal(signal.SIGINT)
    assert child.wait() == 130, "".join(lines)
    assert any(line.startswith("the viewer ended with the training") for line in lines)
    assert list((tmp_path / "run" / "checkpoints").iterdir())

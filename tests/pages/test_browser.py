"""The page in a browser, from disk: it shows what JAX renders, and its controls move the camera."""

import base64
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.pages import page as pages
from nerf.pages.baking import make_model
from nerf.pages.bricks import BRICK
from nerf.paths.paths import look_at
from nerf.rendering.images import make_render_image
from nerf.runs.read import Run
from nerf.sampling.spaces import Box, Contracted
from nerf.scenes import Similarity
from tests.support.browser import as_phone, move_fingers, needs_browser, open_browser

# Draws a camera with the functions of the page and returns the pixels, the first row at the bottom.
DRAW = """
const [pose, width, height, focal] = arguments;
draw(poseOf(pose), width, height, focal);
const pixels = new Uint8Array(4 * width * height);
gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
return btoa(String.fromCharCode(...pixels));
"""
SIZE = 48

pytestmark = [pytest.mark.whole, needs_browser]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    with open_browser(profile, "enable-unsafe-swiftshader", "window-size=600,500") as driver:
        yield driver


def ring():
    """Return cameras all around the origin."""
    angles = np.linspace(0.0, 2.0 * np.pi, 6, endpoint=False)
    eyes = np.stack([2.5 * np.cos(angles), 2.5 * np.sin(angles), np.full(6, 0.8)], -1)
    c2w = look_at(eyes, np.zeros(3), np.array([0.0, 0.0, 1.0])).astype(np.float32)
    K = intrinsics(np.full(6, 60.0), 60.0, SIZE / 2, SIZE / 2).astype(np.float32)
    return Cameras(c2w, K, np.zeros((6, 8), np.float32), np.full((6, 2), SIZE, np.int32))


def cloudy(space):
    """Return a model of bricks with smooth random colours, and holes between bricks."""
    rng = np.random.default_rng(0)
    stored = rng.uniform(size=(8, 8, 8)) < 0.4
    model = make_model(stored, space, steps=96)
    field = model.stages[0].field
    values = np.zeros(field.values[...].shape, np.float32)
    waves = np.sin(field.vertices() @ rng.normal(size=(3, 8)) * 3.0 + rng.uniform(size=8))
    values[BRICK**3 :] = 0.5 + 0.4 * waves
    field.values[...] = jnp.asarray(values)
    field.basis[...] = 0.05 * jax.random.normal(jax.random.key(1), field.basis[...].shape)
    return model


@pytest.fixture(scope="module", params=[Box(), Contracted()], ids=["bounded", "contracted"])
def shown(request, browser, tmp_path_factory):
    """A page just opened, its model and its cameras."""
    model, cameras = cloudy(request.param), ring()
    run = Run(
        folder=tmp_path_factory.mktemp("run"),
        config={"background": [1.0, 0.9, 0.8], "chunk": 4096},
        model=model,
        step=0,
        transform=Similarity(),
        cameras={"train": cameras},
        names={"train": [f"view {i}.png" for i in range(6)]},
        stamp="",
        unbounded=isinstance(request.param, Contracted),
    )
    out = run.folder / "a page.html"
    pages.write_page(run, model, out)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(out.as_uri())
    for _ in range(300):
        if browser.execute_script("return document.body.dataset.ready"):
            break
        time.sleep(0.05)
    yield browser, model, cameras
    # Reading pixels back, which only this test does, is reported as slow.
    log = [entry for entry in browser.get_log("browser") if "ReadPixels" not in entry["message"]]
    assert log == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    urls = [one["request"]["url"] for one in asked if not one["documentURL"].startswith("chrome:")]
    assert urls and all(url.startswith(("file:", "blob:", "data:")) for url in urls), urls


def test_the_browser_draws_what_jax_renders(shown):
    browser, model, cameras = shown
    render = make_render_image(model, [1.0, 0.9, 0.8])
    for camera in (cameras[0], cameras[2]):
        pose = np.asarray(camera.c2w, float).reshape(-1).tolist()
        drawn = base64.b64decode(browser.execute_script(DRAW, pose, SIZE, SIZE, 60.0))
        drawn = np.frombuffer(drawn, np.uint8).reshape(SIZE, SIZE, 4)[::-1, :, :3] / 255.0
        expected = np.clip(render(camera)["rgb"], 0.0, 1.0)
        assert expected.std() > 0.05, "something is seen"
        error = np.abs(drawn - expected)
        # A few samples fall into the other brick by rounding.
        assert error.mean() < 0.004 and np.quantile(error, 0.99) < 0.03


def eye(browser):
    return np.array(browser.execute_script("return controls.pose.eye"))


def test_a_bookmark_shows_its_view_and_a_drag_turns_around_the_focus(shown):
    from selenium.webdriver import ActionChains

    browser, _, cameras = shown
    browser.execute_script(
        "const views = document.getElementById('views');"
        "views.value = 3; views.dispatchEvent(new Event('change'))"
    )
    np.testing.assert_allclose(eye(browser), cameras.position[3], atol=1e-4)
    canvas = browser.find_element("id", "view")
    ActionChains(browser).drag_and_drop_by_offset(canvas, 80, 0).perform()
    moved = eye(browser)
    assert np.linalg.norm(moved - cameras.position[3]) > 0.2
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(cameras.position[3]), rel=1e-2)
    assert moved[2] == pytest.approx(cameras.position[3][2], abs=1e-2)


def test_keys_move_the_camera_and_the_tour_follows_its_path(shown):
    browser, _, _ = shown
    canvas = browser.find_element("id", "view")
    before = eye(browser)
    browser.execute_script(
        "const c = document.getElementById('view'); c.focus();"
        "c.dispatchEvent(new KeyboardEvent('keydown', {key: 'w'}));"
    )
    time.sleep(0.5)
    browser.execute_script(
        "document.getElementById('view').dispatchEvent(new KeyboardEvent('keyup', {key: 'w'}))"
    )
    assert canvas.is_displayed() and np.linalg.norm(eye(browser)) < np.linalg.norm(before)
    browser.find_element("id", "tour").click()
    time.sleep(0.5)
    first = eye(browser)
    time.sleep(0.5)
    assert np.linalg.norm(eye(browser) - first) > 1e-3
    browser.find_element("id", "tour").click()


def test_fingers_turn_and_zoom_on_the_screen_of_a_phone(shown):
    browser, _, cameras = shown
    with as_phone(browser):
        browser.execute_script(
            "const views = document.getElementById('views');"
            "views.value = 3; views.dispatchEvent(new Event('change'))"
        )
        wide = "return document.documentElement.scrollWidth - window.innerWidth"
        assert browser.execute_script(wide) <= 0
        for control in browser.find_elements("css selector", "button, select"):
            box = control.rect
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
            assert box["y"] + box["height"] <= 844
        move_fingers(browser, ((150, 400), (230, 400)))
        turned = eye(browser)
        away = np.linalg.norm(cameras.position[3])
        assert np.linalg.norm(turned - cameras.position[3]) > 0.2
        assert np.linalg.norm(turned) == pytest.approx(away, rel=1e-2)
        move_fingers(browser, ((160, 400), (120, 400)), ((230, 400), (270, 400)))
        assert np.linalg.norm(eye(browser)) < 0.8 * away

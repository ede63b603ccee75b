"""The viewer in a headless browser: it shows what the renderer gives, and follows its user."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from nerf.foundation.png import to_bytes
from nerf.output.frames import RenderOptions
from nerf.output.parts import Part
from nerf.output.video_plan import plan
from nerf.output.video_rendering import render_video
from nerf.paths.crops import read_crop
from nerf.rendering.images import make_render_image
from nerf.viewer.crop_box import CropBox
from nerf.viewer.frames import fitted
from nerf.viewer.modes import colour_error
from nerf.viewer.player import show_frame
from nerf.viewer.poses import fitting_fov
from nerf.viewer.views import score_colours
from tests.support.browser import as_phone, move_fingers, needs_browser, open_browser
from tests.viewer.ball_run import make_run, open_viewer

pytestmark = [pytest.mark.whole, needs_browser]
WAIT = 60.0  # seconds for a browser that shares its cores with other tests
STILL = 0.2  # seconds without moving, after which a control stays where it is


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    with open_browser(profile, "enable-unsafe-swiftshader", "window-size=900,640") as driver:
        yield driver


def until(condition, what):
    """Wait for a condition and return its value."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {WAIT:.0f} s: {what}")


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    viewer = open_viewer(make_run(tmp_path_factory.mktemp("runs") / "ball"))
    yield viewer
    viewer.stop()


@pytest.fixture
def browser(viewer, driver):
    """The viewer's side of a page that was just opened."""
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(f"http://127.0.0.1:{viewer.port}")
    found = until(lambda: list(viewer.browsers.values()), "the page connects")[-1]
    # The page begins with a field of view of its own, and may still send it after it was told ours.
    until(lambda: found.latest and found.at_rest and has_our_view(found), "a complete picture")
    yield found
    driver.close()
    driver.switch_to.window(first)
    until(lambda: not viewer.browsers, "the browser is gone")


def has_our_view(browser):
    """Report whether the newest picture has the field of view that a page is opened with."""
    camera = browser.latest[0][0].camera
    width, height = camera.size
    fov = 2.0 * np.arctan(0.5 * height / camera.K[1, 1])
    return abs(fov - fitting_fov(browser.runs[0].train[0], width / height)) < 0.02


def canvas_of(driver):
    return max(driver.find_elements("tag name", "canvas"), key=lambda c: c.size["width"])


def shown_in(driver):
    """Return the pixels of the page's canvas in [0, 1], without those below the panel."""
    image = Image.open(io.BytesIO(canvas_of(driver).screenshot_as_png)).convert("RGB")
    return np.asarray(image) / 255.0


def drag(driver, x, y):
    from selenium.webdriver import ActionChains

    chain = ActionChains(driver).move_to_element_with_offset(canvas_of(driver), -250, 100)
    chain.click_and_hold().move_by_offset(x // 2, y // 2).move_by_offset(x - x // 2, y - y // 2)
    chain.release().perform()


def difference(driver, browser, run):
    """Return the mean error between the page and a render from its camera, left of the panel."""
    frames, _ = browser.latest
    render = make_render_image(run.model, run.config["background"], 1024)
    expected = np.clip(render(frames[0].camera)["rgb"], 0.0, 1.0)
    shown = shown_in(driver)
    size = shown.shape[1], shown.shape[0]
    resized = Image.fromarray(np.uint8(255 * expected)).resize(size)
    error = np.abs(np.asarray(resized) / 255.0 - shown).mean(-1)
    return error[200:, : size[0] // 2].mean(), expected


def test_the_page_shows_the_render_of_its_camera_before_and_after_a_drag(
    viewer, driver, browser, tmp_path
):
    run = make_run(tmp_path / "ball")
    until(lambda: difference(driver, browser, run)[0] < 0.02, "the page shows the render")
    before = browser.client.camera.position
    frames = browser.latest
    assert difference(driver, browser, run)[1].std() > 0.05
    drag(driver, 120, 0)
    until(lambda: browser.latest is not frames and browser.at_rest, "another picture")
    after = browser.client.camera.position
    assert np.linalg.norm(after - before) > 0.3
    # A drag to the side orbits about the scene's vertical.
    assert after[2] == pytest.approx(before[2], abs=0.05)
    until(lambda: difference(driver, browser, run)[0] < 0.02, "the page shows the render")
    log = [e for e in driver.get_log("browser") if e["level"] == "SEVERE"]
    assert log == []


def test_the_panel_tells_resolution_and_time_and_has_a_hint_for_each_control(driver, browser):
    text = driver.find_element("tag name", "body").text
    width, height = browser.latest[1]
    assert f"{width}×{height}, " in text and " s" in text
    labels = [e.text for e in driver.find_elements("tag name", "label")]
    assert {"Show", "Field of view", "Finest", "Moving"} <= set(labels)


def test_fingers_orbit_and_zoom_on_the_screen_of_a_phone(driver, browser):
    def distance():
        return np.linalg.norm(browser.client.camera.position - browser.client.camera.look_at)

    with as_phone(driver):
        until(lambda: browser.client.camera.aspect < 1.0, "the screen is upright")
        until(lambda: browser.at_rest, "a complete picture")
        before, frames = browser.client.camera.position, browser.latest
        move_fingers(driver, ((150, 250), (230, 250)))
        until(lambda: np.linalg.norm(browser.client.camera.position - before) > 0.3, "it turns")
        until(lambda: browser.latest is not frames and browser.at_rest, "another picture")
        assert browser.latest[1][0] < browser.latest[1][1]
        away = distance()
        move_fingers(driver, ((160, 250), (120, 250)), ((230, 250), (270, 250)))
        until(lambda: distance() < 0.97 * away, "it comes nearer")
        for label in driver.find_elements("tag name", "label"):
            if label.is_displayed():
                assert label.rect["x"] >= 0 and label.rect["x"] + label.rect["width"] <= 390


def test_two_browsers_fly_on_their_own_and_one_that_goes_away_stops_no_other(
    viewer, driver, browser, tmp_path
):
    with open_browser(tmp_path / "second", "enable-unsafe-swiftshader") as other:
        other.get(f"http://127.0.0.1:{viewer.port}")
        until(lambda: len(viewer.browsers) == 2, "the second page connects")
        second = max(viewer.browsers.items())[1]
        until(lambda: second.latest and second.at_rest, "a picture for the second")
        here = browser.client.camera.position
        drag(other, 100, 0)
        until(lambda: np.linalg.norm(second.client.camera.position - here) > 0.2, "it moves")
        np.testing.assert_array_equal(browser.client.camera.position, here)
    until(lambda: len(viewer.browsers) == 1, "the second is gone")
    frames = browser.latest
    drag(driver, 60, 0)
    until(lambda: browser.latest is not frames and browser.at_rest, "the first still draws")


def press(driver, text):
    """Click the control that has a text."""
    path = f"//*[normalize-space(text())='{text}']"
    shown = until(
        lambda: [e for e in driver.find_elements("xpath", path) if e.is_displayed()], text
    )
    driver.execute_script("arguments[0].scrollIntoView()", shown[0])
    # The mouse would miss a control that moves while a folder unfolds.
    places = [shown[0].rect]

    def still():
        time.sleep(STILL)
        places.append(shown[0].rect)
        return places[-1] == places[-2]

    until(still, f"{text} stands still")
    shown[0].click()


def rest(browser, frames):
    until(lambda: browser.latest is not frames and browser.at_rest, "another picture")


def test_keyframes_become_a_film_whose_frames_are_those_of_the_viewer(
    viewer, driver, browser, tmp_path
):
    run = make_run(viewer.film.run_folder)
    editor = viewer.film.editor
    press(driver, "Film")
    for number in range(3):
        press(driver, "Add")
        until(lambda number=number: len(editor.path.keys) == number + 1, "a keyframe")
        frames = browser.latest
        drag(driver, 90, 10)
        rest(browser, frames)
    press(driver, "Files")
    press(driver, "Save")
    file = viewer.film.folder / "film.json"
    until(file.exists, "the file")
    planned = plan(run, str(file), frames=None, shape={"width": 48, "height": 32})
    assert len(planned.cameras) == 180
    out = tmp_path / "film.mp4"
    numbers = [0, 60, 179]
    parts = [Part(run, planned.cameras)]
    render_video(parts, out, RenderOptions(fps=planned.fps), numbers=numbers)
    for number in numbers:
        frames = browser.latest
        show_frame(browser, editor.cameras(), number)
        rest(browser, frames)
        here = fitted(browser.latest[0][0].camera, 48, 32)
        shown = to_bytes(browser.runs[0].renderer.still(here).picture["rgb"])
        film = np.asarray(Image.open(tmp_path / "film_frames" / f"rgb_{number:05d}.png"))
        assert film.std() > 10 and np.abs(shown.astype(int) - film).mean() < 0.3
        assert difference(driver, browser, run)[0] < 0.03
    # What was edited is there for a browser that connects later.
    assert [key.name for key in editor.path.keys] == ["key 1", "key 2", "key 3"]


def test_a_film_is_played_to_its_last_frame(viewer, driver, browser):
    editor = viewer.film.editor
    assert len(editor.path.keys) == 3
    editor.change(seconds=1.0)
    press(driver, "Film")
    press(driver, "Play")
    until(lambda: viewer.film.player.playing, "it plays")
    until(lambda: not viewer.film.player.playing, "it ends")
    last = editor.cameras()[-1]
    until(lambda: np.allclose(browser.client.camera.position, last.position, atol=1e-3), "there")


def test_a_mistake_in_a_path_is_a_line_in_the_panel(viewer, driver, browser):
    viewer.film.editor.time_evenly()
    viewer.film.editor.edit(0, time=99.0)
    press(driver, "Film")
    until(lambda: "does not increase" in driver.find_element("tag name", "body").text, "the line")
    viewer.film.editor.undo()


def look_through(viewer, driver, browser, view):
    """Fly to a view and wait for its picture; there may be others on the way."""
    viewer.panel_of(browser).fly_to(view)

    def there():
        shown = browser.latest[0][0].camera.c2w
        return browser.at_rest and np.allclose(shown, view.camera.c2w, atol=1e-3)

    until(there, "the view's picture")


def test_a_click_on_a_camera_shows_its_photo_render_and_error(viewer, driver, browser):
    from selenium.webdriver import ActionChains

    panel, view = viewer.panel_of(browser), viewer.views.views[1]
    # Look at the camera from behind, so that it is in the middle of the page.
    c2w = np.array(view.camera.c2w, np.float64)
    c2w[:, 3] += 0.5 * c2w[:, 2]
    frames = browser.latest
    browser.place(c2w)
    rest(browser, frames)
    ActionChains(driver).move_to_element(canvas_of(driver)).click().perform()
    until(lambda: "Fly there" in driver.find_element("tag name", "body").text, "the window")
    assert f"PSNR {viewer.views.scores[view.label]:.2f} dB" in driver.page_source
    pictures = [e for e in driver.find_elements("tag name", "img") if e.size["width"] > 300]
    assert len(pictures) == 1 and pictures[0].size["width"] > 2.5 * pictures[0].size["height"]
    frames = browser.latest
    press(driver, "Fly there")
    rest(browser, frames)
    np.testing.assert_allclose(browser.client.camera.position, view.camera.position, atol=1e-4)
    assert panel.frusta[view.label].color == score_colours(viewer.views.scores)[view.label]


def test_the_error_is_that_against_the_photo_where_the_camera_stands(viewer, driver, browser):
    view = viewer.views.views[3]
    look_through(viewer, driver, browser, view)
    panel = viewer.panel_of(browser)
    panel.show_mode("error")
    until(lambda: browser.look.photo is not None, "the photo")
    frame = browser.latest[0][0]
    truth, known = viewer.views.photo_from(view)(frame.camera)
    expected = np.where(known[..., None], colour_error(frame.picture["rgb"], truth), 96) / 255.0

    def error():
        shown = shown_in(driver)
        size = shown.shape[1], shown.shape[0]
        resized = np.asarray(Image.fromarray(np.uint8(255 * expected)).resize(size)) / 255.0
        # The frustum of the camera that one stands in has lines over the picture.
        return np.median(np.abs(resized - shown)[200:, : size[0] // 2])

    assert expected.std() > 0.02
    until(lambda: error() < 0.02, "the page shows the error")
    panel.show_mode("colour")


def test_two_clicks_measure_in_units_of_the_file(viewer, driver, browser):
    frames = browser.latest
    browser.place(np.asarray(viewer.views.views[0].camera.c2w, np.float64))
    rest(browser, frames)
    press(driver, "Measure")
    ruler = viewer.panel_of(browser).ruler
    from selenium.webdriver import ActionChains

    canvas = canvas_of(driver)
    for x in (-40, 40):
        ActionChains(driver).move_to_element_with_offset(canvas, x, 0).click().perform()
        time.sleep(0.5)
    until(lambda: len(ruler.points) == 2, "two points")
    transform = browser.runs[0].transform
    one, two = (transform.points_back(point) for point in ruler.points)
    told = f"distance {np.linalg.norm(two - one):.4g} "
    until(lambda: told in driver.find_element("tag name", "body").text, told)
    assert np.linalg.norm(two - one) == pytest.approx(
        np.linalg.norm(ruler.points[1] - ruler.points[0]) / transform.scale
    )
    press(driver, "Measure")
    until(lambda: not ruler.points, "the ruler is gone")


def test_a_box_limits_the_picture_and_is_saved_for_exports(viewer, driver, browser, tmp_path):
    run = make_run(tmp_path)
    render = make_render_image(run.model, run.config["background"])
    center = viewer.box.transform.points_back(np.array([0.0, 0.0, 0.6]))
    press(driver, "Box")
    viewer.box.change(CropBox(tuple(center.tolist()), (3.0, 2.0, 3.0)))
    frames = browser.latest
    press(driver, "Only the box")
    until(lambda: viewer.box.limits, "the page tells that it was pressed")
    rest(browser, frames)
    frame = browser.latest[0][0]
    whole = render(frame.camera)["opacity"].mean()
    assert 0.0 < frame.picture["opacity"].mean() < 0.8 * whole
    press(driver, "Save box")
    file = viewer.box.folder / "box.json"
    until(file.exists, "the file")
    assert repr(read_crop(file)) == repr(viewer.box.box.crop())
    frames = browser.latest
    press(driver, "Only the box")
    rest(browser, frames)
    assert browser.latest[0][0].picture["opacity"].mean() == pytest.approx(whole, rel=0.02)


def test_two_runs_are_under_one_slider(driver, tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", radius=0.4)
    viewer = open_viewer(one, two, points=0)
    try:
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        driver.get(f"http://127.0.0.1:{viewer.port}")
        browser = until(lambda: list(viewer.browsers.values()), "the page connects")[-1]
        until(lambda: browser.latest and browser.at_rest, "a complete picture")
        assert "A | B" in driver.find_element("tag name", "body").text
        panel = viewer.panel_of(browser)
        for share, run in ((1.0, one), (0.0, two)):
            panel.show_share(share)
            until(lambda run=run: difference(driver, browser, run)[0] < 0.02, "one run alone")
        panel.show_mode("difference")
        small, large = (frame.picture["rgb"] for frame in browser.latest[0][::-1])
        expected = np.abs(np.clip(small, 0, 1) - np.clip(large, 0, 1)).mean(-1).mean()
        until(
            lambda: shown_in(driver)[200:, :300].mean() < 0.6 and expected > 0.01,
            "the difference is dark where the runs agree",
        )
        # Without points, pictures follow the camera while it moves.
        frames = browser.latest
        drag(driver, 80, 0)
        rest(browser, frames)
        driver.close()
        driver.switch_to.window(first)
    finally:
        viewer.stop()


def test_every_control_has_a_hint(viewer, driver, browser):
    scopes = (viewer.server.gui, browser.client.gui)
    controls = [c for gui in scopes for c in gui._gui_input_handle_from_uuid.values()]
    assert len(controls) > 25
    for control in controls:
        assert control.hint and control.hint[0].isupper(), control.label

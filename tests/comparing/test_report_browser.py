"""The page in a browser, from disk.

What a reader does with it works, with no error and no request to a network.
"""

import json
import re
import shutil
import time

import numpy as np
import pytest

from nerf.comparing.report.page import write_page
from nerf.output.video import encode
from tests.comparing.test_report import groups_of, study_of
from tests.support.browser import needs_browser, open_browser

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    groups = groups_of(folder, labels=("first", "second", "third"), seeds=2, size=32, surface=True)
    # The third config is older: it has neither normals nor their errors.
    for result in groups["third"]:
        shutil.rmtree(result.folder / "eval" / "normals")
        for score in result.results["per_image"].values():
            del score["normal_degrees"]
    videos = {}
    for i, label in enumerate(groups):
        frames = np.random.default_rng(i).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
        videos[label] = folder / f"{i}.mp4"
        encode(list(frames), videos[label], 12)
    write_page(study_of(groups, {"broken": "seed 0: no memory"}, videos), folder / "a report.html")
    return folder / "a report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile"), "window-size=1200,900") as driver:
        yield driver


@pytest.fixture
def reader(browser, page):
    """A page just opened; at the end, nothing failed in it and nothing was asked of a network."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    yield Reader(browser)
    assert browser.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    # A slow browser may still be loading what it starts with, which is its own affair.
    urls = [one["request"]["url"] for one in asked if not one["documentURL"].startswith("chrome:")]
    assert urls and all(url.startswith(("file:", "blob:", "data:")) for url in urls), urls


class Reader:
    def __init__(self, browser):
        self.browser = browser

    def js(self, code, *values):
        return self.browser.execute_script(code, *values)

    def until(self, code, *values):
        for _ in range(200):
            if found := self.js(f"return {code}", *values):
                return found
            time.sleep(0.05)
        raise AssertionError(f"never true: {code}")

    def find(self, css):
        return self.browser.find_element("css selector", css)

    def press(self, css, keys=None):
        element = self.find(css)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.send_keys(keys) if keys else element.click()

    def choose(self, css, value):
        from selenium.webdriver.support.ui import Select

        Select(self.find(css)).select_by_value(value)

    def drawn(self):
        return self.js("return document.getElementById('stage').dataset.drawn")

    def pixels(self, css="#stage"):
        code = (
            "const c = document.createElement('canvas'); c.width = c.height = 48;"
            "const d = c.getContext('2d', {willReadFrequently: true});"
            " d.imageSmoothingEnabled = false;"
            "d.drawImage(document.querySelector(arguments[0]), 0, 0, 48, 48);"
            "return [...d.getImageData(0, 0, 48, 48).data]"
        )
        return np.array(self.js(code, css))

    def to_pictures(self):
        self.js("document.getElementById('pictures').scrollIntoView()")
        self.until("document.getElementById('stage').dataset.drawn")


def test_the_verdict_comes_first_and_pictures_are_not_decoded_before_they_are_seen(reader):
    assert reader.find("h1").text.startswith("third is better than every other config")
    assert reader.js("return document.querySelectorAll('#grid canvas').length") == 0
    assert reader.js("return document.querySelectorAll('video').length") == 0
    reader.to_pictures()
    assert reader.js("return document.querySelectorAll('#grid canvas').length") == 4


def test_the_table_sorts_by_mouse_and_keyboard_and_tells_how(reader):
    def column():
        return reader.js(
            "return [...document.querySelectorAll('#table tbody th')]"
            ".map((x) => x.textContent.trim())"
        )

    reader.press("#table th:nth-child(3) button")
    assert column() == ["third", "second", "first", "broken"]
    assert (
        reader.js("return document.querySelector('#table th:nth-child(3)').ariaSort")
        == "descending"
    )
    reader.press("#table th:nth-child(3) button", "\ue007")  # Enter
    assert column() == ["first", "second", "third", "broken"], "what failed stays last"
    assert (
        reader.js("return document.querySelector('#table th:nth-child(3)').ariaSort") == "ascending"
    )
    reader.press("#table th:nth-child(1) button", " ")
    assert column() == ["first", "second", "third", "broken"]
    assert reader.js("return document.querySelectorAll('th[aria-sort=none]').length") > 8


def test_the_slider_moves_by_keyboard_and_the_picture_follows(reader):
    reader.to_pictures()
    before, pixels = reader.drawn(), reader.pixels()
    reader.press("#split", "\ue011")  # Home
    reader.until("document.getElementById('stage').dataset.drawn !== arguments[0]", before)
    assert " 0 1" in reader.drawn() and (reader.pixels() != pixels).any()


def test_view_layer_and_sides_change_what_is_shown(reader):
    reader.to_pictures()
    seen = [reader.pixels()]
    for action in (
        lambda: reader.press("#next"),
        lambda: reader.choose("#layer", "error"),
        lambda: reader.choose("#layer", "depth"),
        lambda: (reader.choose("#layer", "picture"), reader.choose("#left", "truth")),
        lambda: reader.press("#zoom-in"),
    ):
        before = reader.drawn()
        action()
        reader.until("document.getElementById('stage').dataset.drawn !== arguments[0]", before)
        time.sleep(0.1)
        seen.append(reader.pixels())
        assert (seen[-1] != seen[-2]).any()


def shown_by_grid(reader, layer):
    """Choose a layer; return captions and middle pixels of the truth and all configs."""
    reader.to_pictures()
    reader.choose("#layer", layer)
    reader.until(f"document.getElementById('stage').dataset.drawn.includes('{layer}')")
    time.sleep(0.2)
    captions = reader.js(
        "return [...document.querySelectorAll('#grid figcaption')].map((x) => x.textContent)"
    )
    figures = [f"#grid figure:nth-child({i}) canvas" for i in range(1, 1 + len(captions))]
    pixels = [reader.pixels(css).reshape(48, 48, 4)[24, 24].tolist() for css in figures]
    return captions, pixels


def test_normals_are_shown_beside_the_true_ones_with_their_errors_and_their_source(reader):
    captions, pixels = shown_by_grid(reader, "normals")
    view = int(reader.drawn().split()[0])
    scores = reader.js(
        "return JSON.parse(document.getElementById('numbers').textContent).per_image.psnr"
    )
    error = 60.0 - scores["first"][0][view]
    source = "normals of the rendered depth"
    assert captions[:2] == ["truth", f"first with seed 0, {source}, {error:.1f}° off"]
    assert captions[3] == f"third with seed 0, {source}", "nothing was measured"
    assert pixels[:3] == [[200, 200, 200, 255], [60, 60, 60, 255], [60, 60, 60, 255]]
    assert pixels[3][3] == 0, "there is no picture"


def test_depth_is_shown_beside_the_true_one_with_its_error(reader):
    captions, pixels = shown_by_grid(reader, "depth")
    view = int(reader.drawn().split()[0])
    scores = reader.js(
        "return JSON.parse(document.getElementById('numbers').textContent).per_image.psnr"
    )
    assert captions[0] == "truth"
    assert captions[1] == f"first with seed 0, {50.0 / scores['first'][0][view]:.2f} % off"
    # In the middle of a picture, the true depth and that of the runs are 2.5.
    assert np.abs(np.subtract(pixels[0], pixels[1])).max() <= 6 and pixels[0][3] == 255


def test_errors_are_those_of_the_pixels_on_one_scale(reader, page):
    reader.to_pictures()
    reader.choose("#layer", "error")
    reader.until("document.getElementById('stage').dataset.drawn.includes('error')")
    truth, config = "#grid figure:nth-child(1) canvas", "#grid figure:nth-child(2) canvas"
    assert reader.pixels(truth).reshape(-1, 4)[:, :3].max() <= 4, "no error of the truth"
    faint = reader.pixels(config).reshape(-1, 4)[:, :3].mean()
    reader.press("#scale", "\ue011")
    reader.until("document.getElementById('scale-value').value === '0.02'")
    time.sleep(0.3)
    assert reader.pixels(config).reshape(-1, 4)[:, :3].mean() > faint + 20


def test_flipping_by_key_shows_one_side_then_the_other_and_zoom_is_linked(reader):
    reader.to_pictures()
    grid = reader.pixels("#grid figure:nth-child(2) canvas")
    reader.press("#stage", " ")
    said = "document.getElementById('stage-caption').textContent"
    caption = reader.until(f"{said}.startsWith('Shown: second') && {said}")
    reader.press("#stage", " ")
    reader.until(f"{said} !== arguments[0]", caption)
    reader.press("#stage", "+")
    reader.until("document.getElementById('stage').dataset.drawn.endsWith(' 2')")
    time.sleep(0.1)
    assert (reader.pixels("#grid figure:nth-child(2) canvas") != grid).any()
    before = reader.pixels()
    reader.press("#stage", "\ue014")  # arrow right
    time.sleep(0.3)
    assert (reader.pixels() != before).any()


def test_the_videos_play_together_and_stop_together(reader):
    reader.js("document.getElementById('film').scrollIntoView()")
    times = "[...document.querySelectorAll('video')].map((v) => v.currentTime)"
    reader.until(
        "document.querySelectorAll('video').length === 3 && "
        "[...document.querySelectorAll('video')].every((v) => v.readyState >= 3)"
    )
    reader.press("#play")
    assert reader.find("#play").text == "Pause"
    assert (
        reader.js("return [...document.querySelectorAll('video')].map((v) => v.paused)")
        == [False] * 3
    )
    reader.until(f"{times}.every((t) => t > 0.25)")
    reader.press("#play")
    stopped = reader.js(f"return {times}")
    time.sleep(0.3)
    assert max(stopped) - min(stopped) < 0.1 and reader.js(
        f"return {times}.every((t, i) => Math.abs(t - arguments[0][i]) < 0.1)", stopped
    )
    reader.press("#seek", "\ue010")  # End
    reader.until(f"{times}.every((t) => t > 1.9)")


def test_the_table_is_copied_or_shown_to_be_copied(reader):
    for kind, part in (
        ("Markdown", "| --- |"),
        ("LaTeX", "\\begin{tabular}"),
        ("CSV", "config,seeds,psnr"),
    ):
        reader.press(f"[data-copy={kind}]")
        reader.until("document.getElementById('copied').textContent !== ''")
        assert part in reader.js("return document.getElementById('copy-text').value")


LONG = "anamewithoutanyplaceatwhichitslinecouldbebrokenbutitmustbesomewhere"


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """A page of ten configs, of which one has a long name, with all columns."""
    folder = tmp_path_factory.mktemp("crowded")
    labels = [LONG, *(f"config {i}" for i in range(9))]
    groups = groups_of(folder, labels=labels, seeds=2, views=3)
    for result in (result for results in groups.values() for result in results):
        for score in result.results["per_image"].values():
            score.update(psnr_corrected=score["psnr"], psnr_aligned=score["psnr"])
            score.update(dict.fromkeys(("flip", "lpips", "lpips_vgg"), score["psnr"] / 100))
            score.update(normal_degrees=score["psnr"], depth_error=score["psnr"] / 100)
        result.results["seconds_per_frame"] += result.config["seed"]
    write_page(study_of(groups), folder / "page.html")
    return folder / "page.html"


def sized(reader, width, page):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    reader.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    reader.browser.get(page.as_uri())


@pytest.mark.parametrize("width", [1400, 900, 390])
def test_tables_of_numbers_are_not_cut_and_dots_stand_beside_their_names(reader, crowded, width):
    sized(reader, width, crowded)
    assert reader.js("return document.documentElement.scrollWidth") <= width
    cut = (
        "[...document.querySelectorAll('.sortable')]"
        ".filter((t) => t.scrollWidth > t.parentElement.clientWidth + 1)"
    )
    assert reader.js(f"return {cut}.length") == 0
    apart = reader.js(
        "return [...document.querySelectorAll('.name')].map((name) => {"
        "  const [dot, text] = [...name.children].map((x) => x.getClientRects()[0]);"
        "  return Math.abs(dot.top + dot.height / 2 - text.top - 12); })"
    )
    assert len(apart) == 3 * 10 and max(apart) < 8
    reader.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pictures_fill_the_width_of_a_wide_page(reader, page):
    sized(reader, 1400, page)
    reader.to_pictures()
    box = "document.querySelector(arguments[0]).getBoundingClientRect()"
    stage, grid, whole = (
        reader.js(f"return {box}", css) for css in ("#stage", "#grid", "#pictures")
    )
    assert stage["width"] + grid["width"] > 0.95 * whole["width"] and grid["left"] >= stage["right"]
    reader.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_the_menu_says_of_a_view_is_the_difference_of_what_the_captions_say(reader):
    reader.to_pictures()
    menu = reader.js("return document.getElementById('view').selectedOptions[0].textContent")
    captions = reader.js(
        "return [...document.querySelectorAll('#grid figcaption')].map((x) => x.textContent)"
    )
    apart = float(re.search(r"\(means ([\d.]+) dB apart\)", menu)[1])
    means = [float(re.search(r"mean of 2 seeds ([\d.]+)", caption)[1]) for caption in captions[1:]]
    assert captions[0] == "truth"
    view = int(reader.drawn().split()[0])
    scores = reader.js(
        "return JSON.parse(document.getElementById('numbers').textContent).per_image.psnr"
    )
    for caption, mean, (label, seeds) in zip(captions[1:], means, scores.items(), strict=True):
        first, second = (round(seed[view], 2) for seed in seeds)
        assert caption.startswith(f"{label}, {first:.2f} dB with seed 0 (")
        assert mean == pytest.approx((first + second) / 2, abs=0.011)
    assert apart == pytest.approx(max(means) - min(means), abs=0.011)


def test_paper_shows_pictures_whole_tables_and_open_lists_in_dark_ink(reader, crowded):
    from selenium.webdriver.common.print_page_options import PrintOptions

    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    reader.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": "print", "features": dark}
    )
    sized(reader, 700, crowded)
    cut = (
        "[...document.querySelectorAll('.sortable')]"
        ".filter((t) => t.getBoundingClientRect().right > innerWidth + 1)"
    )
    assert reader.js(f"return {cut}.length") == 0
    figure = reader.js(
        "const f = document.querySelector('.overview img'); return [f.clientWidth, f.naturalWidth]"
    )
    assert figure[0] > 300 and figure[1] > 600
    assert reader.js("return getComputedStyle(document.querySelector('.viewer')).display") == "none"
    assert "rgb(255, 255, 255)" in reader.js(
        "return getComputedStyle(document.body).backgroundColor"
    )
    reader.js(
        "window.stillClosed = -1;"
        " const lists = () => document.querySelectorAll('details:not([open])').length;"
        "addEventListener('beforeprint', () => { window.stillClosed = lists(); })"
    )
    reader.browser.print_page(PrintOptions())
    assert reader.js("return window.stillClosed") == 0
    assert reader.js("return document.querySelectorAll('details:not([open])').length") > 0, (
        "as they were"
    )
    reader.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    reader.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_without_scrolling_sideways_in_dark_and_light(reader, dark):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    reader.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    reader.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    reader.to_pictures()
    assert reader.js("return document.documentElement.scrollWidth") <= 360
    shades = reader.js(
        "const s = getComputedStyle(document.body);"
        " const f = (c) => c.match(/[0-9]+/g).slice(0, 3).map(Number);"
        "return [f(s.color), f(s.backgroundColor)]"
    )
    text, paper = (np.mean(shade) for shade in shades)
    assert (text > 200 and paper < 60) if dark else (text < 60 and paper > 200)
    reader.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_that_acts_has_a_name_for_a_screen_reader(reader):
    reader.to_pictures()
    reader.js("document.getElementById('film').scrollIntoView()")
    reader.until("document.querySelectorAll('video').length === 3")
    nameless = reader.js(
        "return [...document.querySelectorAll("
        "'button, select, input, textarea, canvas, video, svg[role=img]')]"
        ".filter((x) => !(x.ariaLabel || x.textContent.trim() && x.tagName === 'BUTTON'"
        " || (x.labels || []).length))"
        ".map((x) => x.outerHTML.slice(0, 80))"
    )
    assert nameless == []

"""A headless browser that asks the network for nothing, for tests of pages."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
CHROMEDRIVER = shutil.which("chromedriver")
QUIET = [
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
]

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="no chromium with chromedriver here: apt-get install chromium-driver",
)


@contextlib.contextmanager
def open_browser(profile: Path, *more: str) -> Iterator[Any]:
    """Yield a driver of Chromium that logs errors and requests.

    Args:
      profile: an empty folder for the browser.
      *more: further switches of Chromium, without dashes.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in [*QUIET, f"user-data-dir={profile}", *more]:
        options.add_argument(f"--{word}")
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


@contextlib.contextmanager
def as_phone(driver: Any, width: int = 390, height: int = 844) -> Iterator[None]:
    """Give the open page the screen of a phone, which is touched.

    Args:
      driver: of a browser.
      width: of the screen in CSS pixels.
      height: of the screen.
    """
    screen = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def move_fingers(driver: Any, *ways: tuple[tuple[float, float], tuple[float, float]]) -> None:
    """Move one finger or several from one place (x, y) each to another, in CSS pixels."""

    def touch(kind: str, part: float) -> None:
        points = [
            {"x": x + part * (to_x - x), "y": y + part * (to_y - y), "id": number}
            for number, ((x, y), (to_x, to_y)) in enumerate(ways)
        ]
        fingers = {"type": kind, "touchPoints": [] if kind == "touchEnd" else points}
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", fingers)

    touch("touchStart", 0.0)
    for part in np.linspace(0.1, 1.0, 10):
        touch("touchMove", float(part))
    touch("touchEnd", 1.0)

"""A headless browser that asks the network for nothing, for tests of pages."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

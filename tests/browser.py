"""A headless Chromium for tests of pages, and axe-core's accessibility rules."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CARRIER = "axe_playwright_python"

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # pages of this project need no network, nor may the browser
)
SECONDS = 60.0
"""How long a page may take to load, and a script to answer."""

DESKTOP, PHONE = (1200, 900), (360, 740)


def require() -> tuple[str, str]:
    """Return the paths of a browser and its driver; skip the test where there is none."""
    pytest.importorskip("selenium", reason="selenium is not installed: install the dev extra")
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if found is None or driver is None:
        pytest.skip("no chromium and chromedriver on PATH: apt-get install chromium chromium-driver")
    return found, driver


@contextlib.contextmanager
def browser(downloads: Path | None = None) -> Iterator[Any]:
    """Yield a headless browser that keeps its console, and saves files into ``downloads``.

    Browser and driver are given by path, so that selenium does not look for them in the network. A browser
    that does not start (another version than its driver, a stub of a package) skips the test.
    """
    binary, driver = require()
    from selenium import webdriver
    from selenium.common.exceptions import SessionNotCreatedException

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    try:
        opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    except SessionNotCreatedException as error:
        pytest.skip(f"{binary} does not start: {str(error.msg).splitlines()[0]}")
    opened.set_page_load_timeout(SECONDS)
    opened.set_script_timeout(SECONDS)
    try:
        yield opened
    finally:
        opened.quit()


def shape(driver: Any, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> None:
    """Give the browser the size of a screen, and the colours that its system prefers."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def open_page(driver: Any, page: Path) -> None:
    """Open a file and wait until its scripts have filled it."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get_log("browser")
    driver.get(page.as_uri())
    script = "return document.documentElement.dataset.ready === 'yes'"
    WebDriverWait(driver, SECONDS, poll_frequency=0.05).until(lambda found: found.execute_script(script))


def console(driver: Any) -> list[str]:
    """Return what the console was told since the page was opened."""
    return [entry["message"] for entry in driver.get_log("browser")]


def violations(driver: Any) -> list[str]:
    """Return what axe-core finds wrong with the page as it stands: rule, element and reason."""
    source = axe_source()
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": source})
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
        ".then((r) => done(r.violations), (e) => done([{id: String(e), nodes: []}]))"
    )
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def axe_source() -> str:
    """Return the script of axe-core that a package of the dev extra carries; skip the test without it."""
    package = importlib.util.find_spec(_CARRIER)
    if package is None or package.origin is None:
        pytest.skip(f"{_CARRIER} is not installed: install the dev extra")
    return (Path(package.origin).parent / "axe.min.js").read_text(encoding="utf-8")

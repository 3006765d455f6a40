"""The page in a browser: it draws, its search works by keyboard, no complaint, and nothing leaves the file."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs a browser: apt-get install chromium chromium-driver"
)
A4 = 718
"""Pixels between margins of a centimetre."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Chrome, run: Path) -> Iterator[Chrome]:
    """The page, loaded anew; logs begin with it."""
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get((run / "report.html").as_uri())
    yield browser
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def messages(browser: Chrome, method: str) -> list[dict[str, Any]]:
    found = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [message["params"] for message in found if message["method"] == method]


def focused(browser: Chrome) -> WebElement:
    return browser.switch_to.active_element


def shown(browser: Chrome) -> str:
    return browser.find_element(By.CSS_SELECTOR, "#recommendations h3").text


def test_it_draws_and_asks_nobody(page: Chrome) -> None:
    images = page.find_elements(By.TAG_NAME, "img")
    assert len(images) >= 6
    displayed = [image for image in images if image.is_displayed()]
    assert displayed
    assert min(int(image.get_property("naturalWidth")) for image in displayed) > 100
    Select(page.find_element(By.ID, "map-colour")).select_by_visible_text("topic")
    sent = {params["request"]["url"] for params in messages(page, "Network.requestWillBeSent")}
    assert {url.partition(":")[0] for url in sent} <= {"file", "data"}
    assert len({url for url in sent if url.startswith("file:")}) == 1
    assert page.get_log("browser") == []


def test_what_came_from_the_log_is_text(page: Chrome) -> None:
    # Every title ends so; were it HTML, an alert would be open, and reading on would fail.
    assert "</script><img src=x onerror=alert(1)>" in page.find_element(By.ID, "recommendations").text
    assert page.execute_script("return document.querySelectorAll('img[onerror]').length") == 0


@pytest.fixture
def renamed(browser: Chrome, run: Path, tmp_path: Path) -> Chrome:
    """The page, whose first query holds back two items, of which one has an odd title, as the query has."""
    head, block, tail = re.split('(?<=id="neighbours">)(.*?)(?=</script>)', (run / "report.html").read_text())
    neighbours = json.loads(block)
    query, items = neighbours["queries"][0], neighbours["items"]
    query["relevant"] = [0, 1]
    query["title"] = items[0][1] = f"\u2069\u202e{'t' * 5_000}"
    items[1][:2] = ["second", "another"]
    page = tmp_path / "renamed.html"
    page.write_text(f"{head}{json.dumps(neighbours).replace('<', chr(92) + 'u003c')}{tail}")
    browser.get(page.as_uri())
    return browser


def test_a_title_turns_nothing_around_that_stands_beside_it(renamed: Chrome) -> None:
    first, second = renamed.find_elements(By.CSS_SELECTOR, "#recommendations p:nth-of-type(2) span")
    # A range has a rectangle for each line: the last of the one, the first of the other.
    place = "const r = document.createRange(); r.selectNodeContents(arguments[0]); return [...r.getClientRects()]"
    before, after = renamed.execute_script(place, first)[-1], renamed.execute_script(place, second)[0]
    assert after["top"] == pytest.approx(before["top"])
    assert after["left"] >= before["right"]


def test_a_long_title_is_cropped_and_whole_where_one_points(renamed: Chrome) -> None:
    for name in ("#queries option", "#recommendations h3", "#recommendations p:nth-of-type(2) span"):
        shown = renamed.find_element(By.CSS_SELECTOR, name)
        text = str(shown.get_property("textContent"))
        assert re.match(r"\u2068t{117}\u2026\u2069 \(\u2068", text), name
        assert shown.get_attribute("title") == f"\u2069\u202e{'t' * 5_000}"
    search = renamed.find_element(By.ID, "search")
    search.send_keys("t" * 200)  # of which the list shows 117
    assert len(renamed.find_elements(By.CSS_SELECTOR, "#queries option")) == 1
    assert renamed.get_log("browser") == []


def test_a_script_from_elsewhere_would_not_run(page: Chrome) -> None:
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.body.append(s);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=https://example.org/x onerror=\"window.ran = true\">')"
    )
    assert page.execute_script("return window.ran") is None
    complaints = [entry["message"] for entry in page.get_log("browser")]
    assert any("Content Security Policy" in complaint for complaint in complaints)


def test_the_search_works_by_keyboard(page: Chrome) -> None:
    search = page.find_element(By.ID, "search")
    everything = page.find_element(By.ID, "matches").text
    for _ in range(100):
        focused(page).send_keys(Keys.TAB)
        if focused(page) == search:
            break
    assert focused(page) == search
    search.send_keys("title 1 ITEM-01")
    options = page.find_elements(By.CSS_SELECTOR, "#queries option")
    assert len(options) > 1
    assert all("Title 1" in option.text and "item-01" in option.text for option in options)
    assert page.find_element(By.ID, "matches").text == f"{len(options)} of {everything.split()[2]} queries"
    assert shown(page) == options[0].text
    search.send_keys(Keys.ARROW_DOWN)
    assert focused(page) == page.find_element(By.ID, "queries")
    focused(page).send_keys(Keys.ARROW_DOWN)
    assert shown(page) == options[1].text
    rankings = page.find_elements(By.CSS_SELECTOR, "#recommendations .ranking")
    assert len(rankings) == 3
    assert len(rankings[0].find_elements(By.TAG_NAME, "li")) == 10
    search.clear()
    search.send_keys("no such query")
    assert page.find_element(By.ID, "matches").text.startswith("0 of ")
    assert page.find_elements(By.CSS_SELECTOR, "#recommendations h3") == []
    assert page.get_log("browser") == []


def test_the_map_has_one_colour_at_a_time(page: Chrome) -> None:
    choice = Select(page.find_element(By.ID, "map-colour"))
    for name in ("training examples", "topic", "size"):
        choice.select_by_visible_text(name)
        figures = page.find_elements(By.CSS_SELECTOR, "#map figure")
        assert [figure.text for figure in figures if figure.is_displayed()] == [f"Coloured by {name}."]


def test_a_seed_frames_its_mask_group(page: Chrome) -> None:
    frame = "return getComputedStyle(document.querySelector('.heatmap tbody tr:first-child td.grouped')).boxShadow"
    assert page.execute_script(frame) == "none"
    page.execute_script("document.querySelector('.heatmap tbody th').focus()")
    assert "inset" in page.execute_script(frame)


def too_wide(browser: Chrome) -> bool:
    """Whether the page would have to be moved sideways."""
    return bool(browser.execute_script("const r = document.documentElement; return r.scrollWidth > r.clientWidth"))


def test_it_fits_a_phone(page: Chrome) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    assert page.execute_script("return innerWidth") == 360
    assert not too_wide(page)
    assert page.find_element(By.ID, "search").rect["width"] > 250


def test_it_prints(page: Chrome) -> None:
    paper = {"width": A4, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not too_wide(page)
    hidden = [page.find_element(By.CSS_SELECTOR, name).is_displayed() for name in ("nav", "#search", "#queries")]
    assert hidden == [False, False, False]
    assert page.find_element(By.CSS_SELECTOR, "#recommendations").is_displayed()

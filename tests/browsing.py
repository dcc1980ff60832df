"""Pages in a real browser: how it is started, how a page is opened, and what keeps a person from using one.

The checks are of the Web Content Accessibility Guidelines 2.2, level AA, as far as a program can judge: names,
landmarks, headings, tables, contrast, the keyboard. Any page can be given to them. Beside our own stand those of
axe-core: what it finds serious or critical counts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NARROW = 600
"""Windows of fewer CSS pixels than this stand for telephones."""

STRUCTURE = """
const mistakes = [];
const say = (what, element) => mistakes.push(what + ": " + (element ? element.outerHTML.slice(0, 160) : "page"));
const seen = (element) => element.checkVisibility({visibilityProperty: true});
const named = (element) => {
  const of = (element.getAttribute("aria-labelledby") || "").split(/\\s+/).filter(Boolean);
  const texts = of.map((id) => (document.getElementById(id) || {}).textContent || "");
  const labels = [...(element.labels || [])].map((label) => label.textContent);
  const inner = element.matches("button, a, summary") ? [element.textContent] : [];
  const pictures = [...element.querySelectorAll("img")].map((image) => image.alt);
  return [element.getAttribute("aria-label") || "", element.title, ...texts, ...labels, ...inner, ...pictures]
    .join("").trim() !== "";
};
const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);

if (!document.documentElement.lang) say("no language");
if (!document.title.trim()) say("no title");
for (const [selector, count] of [["main", 1], ["h1", 1], ["body > header", 1], ["body > footer", 1]])
  if (all(selector).length !== count) say(`${all(selector).length} of ${selector} where ${count} belongs`);
for (const child of document.body.children)
  if (seen(child) && !child.matches("header, main, footer, nav, aside, script, noscript, a.skip"))
    say("outside all landmarks", child);
const skip = document.querySelector("a.skip");
if (!skip || !document.querySelector(skip.getAttribute("href"))) say("no link that skips to the contents", skip);
let level = 0;
for (const heading of all("h1, h2, h3, h4, h5, h6")) {
  const own = Number(heading.tagName[1]);
  if (own > level + 1) say(`a heading of level ${own} follows one of level ${level}`, heading);
  if (!heading.textContent.trim()) say("an empty heading", heading);
  level = own;
}
for (const image of all("img, svg[role=img], canvas"))
  if (image.tagName === "IMG" ? !image.hasAttribute("alt") : !named(image)) say("no text in place of a picture", image);
for (const control of all("input:not([type=hidden]), select, textarea, button, a[href], summary"))
  if (!named(control)) say("a control without a name", control);
for (const region of all("[role=region], nav, [role=group], [role=slider], [role=application], fieldset"))
  if (!named(region) && !region.querySelector(":scope > legend")) say("a region without a name", region);
for (const table of all("table")) {
  if (!table.caption && !named(table)) say("a table without a caption", table);
  for (const cell of table.querySelectorAll("th")) if (!cell.scope) say("a heading cell without a scope", cell);
}
for (const element of document.querySelectorAll("[tabindex]"))
  if (element.tabIndex > 0) say("a place in the order of its own", element);
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of new Set(ids.filter((id, place) => ids.indexOf(id) !== place))) mistakes.push("an id twice: " + id);
for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"])
  for (const element of document.querySelectorAll(`[${attribute}]`))
    for (const id of element.getAttribute(attribute).split(/\\s+/).filter(Boolean))
      if (!document.getElementById(id)) say(`${attribute} leads nowhere`, element);
for (const link of document.querySelectorAll('a[href^="#"]'))
  if (!document.getElementById(decodeURIComponent(link.hash.slice(1)))) say("a link that leads nowhere", link);
for (const box of all("*")) {
  const style = getComputedStyle(box);
  const scrolls = (/(auto|scroll)/.test(style.overflowX) && box.scrollWidth > box.clientWidth + 1)
    || (/(auto|scroll)/.test(style.overflowY) && box.scrollHeight > box.clientHeight + 1);
  if (scrolls && box !== document.documentElement && box !== document.body && box.tabIndex < 0)
    say("it scrolls, but the keyboard cannot reach it", box);
}
for (const button of all("button, input, select, summary")) {
  const size = button.getBoundingClientRect();
  if (size.width && (size.height < 24 || size.width < 24) && !button.closest("label"))
    say(`too small to hit (${Math.round(size.width)} x ${Math.round(size.height)})`, button);
}
return mistakes;
"""

CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const colours = new Map();
const parse = (text) => {
  if (!colours.has(text)) {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    colours.set(text, [r, g, b, a / 255]);
  }
  return colours.get(text);
};
const over = (top, under, alpha) => under.map((value, place) => top[place] * alpha + value * (1 - alpha));
const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const backgrounds = new Map();
const behind = (element) => {  // null: a picture, which no formula can judge
  if (!element) return [255, 255, 255];
  if (!backgrounds.has(element)) {
    const style = getComputedStyle(element);
    const own = parse(style.backgroundColor);
    const under = own[3] === 1 ? own.slice(0, 3) : behind(element.parentElement);
    backgrounds.set(element, style.backgroundImage !== "none" || !under ? null : over(own, under, own[3]));
  }
  return backgrounds.get(element);
};
const found = new Map();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode, element = text.parentElement;
  if (!text.data.trim() || element.closest("script, style, noscript, option, [disabled], svg")) continue;
  if (!element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
  const box = element.getBoundingClientRect();
  if (box.width <= 1 || box.height <= 1 || box.right < 0) continue;
  const style = getComputedStyle(element), under = behind(element);
  if (!under) continue;
  const colour = parse(style.color);
  let opacity = colour[3];
  for (let one = element; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
  const [high, low] = [luminance(over(colour, under, opacity)), luminance(under)].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5))
    found.set(`${style.color} on ${under.map(Math.round)}`,
      `contrast ${ratio.toFixed(2)} of "${text.data.trim().slice(0, 40)}": ${element.outerHTML.slice(0, 120)}`);
}
return [...found.values()];
"""

AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  ({violations}) => done(violations.filter(({impact}) => ["serious", "critical"].includes(impact)).map(
    ({id, help, nodes}) => `${id}: ${help}: ${nodes.slice(0, 3).map(({html}) => html.slice(0, 120)).join(" | ")}`)),
  (error) => done(["axe failed: " + error]));
"""

REACHABLE = """
const every = "a[href], button, input, select, textarea, summary, [tabindex]";
return [...document.querySelectorAll(every)].filter((element) => element.checkVisibility({visibilityProperty: true})
  && element.tabIndex >= 0 && !element.disabled);
"""

FOCUS = """
const style = getComputedStyle(document.activeElement);
const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
return [document.activeElement, ring || document.activeElement.type === "range"];
"""


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """Yield a headless Chromium with a profile of its own; skips the test where there is none."""
    if not (CHROMIUM and DRIVER):
        reason = "needs the Debian packages chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def show(browser: Any, page: Path, width: int = 1400, height: int = 900) -> None:
    """Open a page in a window of a size in CSS pixels; what was logged before is thrown away.

    The reader wants no motion: a page that still glides to its place would be clicked where it no longer is.
    """
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < NARROW}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    still = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", still)
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())


def requests(browser: Any) -> list[str]:
    """Return the addresses that the page asked for since it was opened, its own and those inside it left out."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]
    return [url for url in asked[1:] if not url.startswith("data:")]


def open_details(browser: Any) -> None:
    """Open everything that folds."""
    browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")


def accessibility_mistakes(browser: Any) -> list[str]:
    """Says what on the open page keeps a person from using it: names, structure, contrast. Everything is unfolded."""
    open_details(browser)
    return [*browser.execute_script(STRUCTURE), *browser.execute_script(CONTRAST), *axe_mistakes(browser)]


def axe_mistakes(browser: Any) -> list[str]:
    """Says what axe-core finds serious or critical on the open page, as it stands."""
    import axe_core_python

    source = Path(axe_core_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    browser.execute_script(source)
    return browser.execute_async_script(AXE)


def keyboard_mistakes(browser: Any, most: int = 400) -> list[str]:
    """Press the tab key through the open page; says what it does not reach in order, or reaches without a ring.

    Args:
        browser: with the page open, from whose top the walk starts.
        most: presses of the key; a longer page is walked only so far.
    """
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    mistakes = []
    for expected in browser.execute_script(REACHABLE)[:most]:
        ActionChains(browser).send_keys(Keys.TAB).perform()
        found, ring = browser.execute_script(FOCUS)
        if found != expected:
            text = "return arguments[0].outerHTML.slice(0, 120)"
            there, wanted = (browser.execute_script(text, one) for one in (found, expected))
            return [*mistakes, f"the tab key leads to {there} where {wanted} is next"]
        if not ring:
            mistakes.append(f"no ring around {found.tag_name} {found.text[:40]!r}")
    return mistakes

"""The page, in a headless Chromium, against a real service: what people do with it, by pointer and by keyboard.

    page_test.py [--screenshots FOLDER]        Exit 77 and the reason where there is no Chromium."""

import pathlib
import shutil
import sys

from browser import Browser
from service import Service

CELLS = "return [...document.querySelectorAll(arguments[0] + ' .cell')].map(c => ({is: c.className, says: c.lastChild.textContent, title: c.title}))"
DONE = "return document.querySelector(arguments[0] + ' .facts strong') !== null"
FIRST, SECOND, NOISED = "#lanes .lane:nth-child(1)", "#lanes .lane:nth-child(2)", "#noised .lane"


def kinds(cells, kind):
    return [cell for cell in cells if kind in cell["is"].split()]


def at(browser, lane, step):
    browser.run("const s = document.querySelector(arguments[0] + ' .at'); s.value = arguments[1]; s.dispatchEvent(new Event('input'))", lane, step)


def last(browser, lane):
    return int(browser.run("return document.querySelector(arguments[0] + ' .at').max", lane))


def set_field(browser, lane, name, value):
    browser.run("const f = document.querySelector(arguments[0] + ' [name=' + arguments[1] + ']'); f.value = arguments[2];"
                "f.dispatchEvent(new Event('change'))", lane, name, value)


def a_text_emerges_and_is_the_services(browser, service):
    set_field(browser, FIRST, "gen_length", 32)
    set_field(browser, FIRST, "steps", 16)
    browser.fill("#prompt", "What is a mask?")
    # The first look at masks and proposals is while it runs, or at once after it: the slider shows the same.
    browser.click("#generate")
    browser.until(DONE, FIRST)
    expected = service.command("generate", "What is a mask?", "--gen-length", "32", "--steps", "16", "--seed", "7")
    cells = browser.run(CELLS, FIRST)
    assert len(cells) == 32, len(cells)
    shown = "".join(cell["says"] for cell in cells if "over" not in cell["is"].split() and cell["says"] != "∎")
    assert shown.replace("⏎", "\n") == expected["text"], (shown, expected["text"])
    assert f"{expected['usage']['completion_tokens']} tokens in {expected['usage']['steps']} steps" in browser.text(f"{FIRST} .facts")
    assert last(browser, FIRST) == expected["usage"]["steps"]


def its_steps_can_be_gone_through(browser, service):
    steps = last(browser, FIRST)
    hidden = []
    for step in range(steps + 1):
        at(browser, FIRST, step)
        cells = browser.run(CELLS, FIRST)
        hidden.append(len(kinds(cells, "mask")) + len(kinds(cells, "proposed")))
        if step > 0:
            assert kinds(cells, "fresh"), f"step {step} reveals nothing"
            # Nothing is known that a later step reveals.
            assert all(int(cell["title"].rsplit(" ", 1)[1]) <= step for cell in cells if "step" in cell["title"])
    assert hidden[0] == 32 and hidden == sorted(hidden, reverse=True) and hidden[-1] < hidden[0], hidden
    at(browser, FIRST, 1)
    proposed = kinds(browser.run(CELLS, FIRST), "proposed")
    assert proposed and any(cell["says"].strip() for cell in proposed), "what was predicted and hidden again is not shown"
    assert "hidden again" in proposed[0]["title"]


def nothing_moves_under_the_slider(browser, service):
    where = "return [...document.querySelectorAll(arguments[0] + ' .cell')].map(c => Math.round(c.getBoundingClientRect().top))"
    tops = []
    for step in (0, 3, last(browser, FIRST)):
        at(browser, FIRST, step)
        tops.append(browser.run(where, FIRST))
    # Proposals may be wider than what comes of them; lines may break elsewhere, but no line may be gained or lost twice.
    assert abs(max(tops[0]) - max(tops[-1])) <= 40, tops


def colour_is_confidence(browser, service):
    at(browser, FIRST, last(browser, FIRST))
    pairs = browser.run("return [...document.querySelectorAll(arguments[0] + ' .cell.known:not(.over)')].map(c => "
                        "[Number(c.style.getPropertyValue('--c')), getComputedStyle(c).backgroundColor])", FIRST)
    told = [float(cell["title"].split("confidence ")[1].split(",")[0])
            for cell in kinds(browser.run(CELLS, FIRST), "known") if "over" not in cell["is"].split()]
    assert len(told) == len(pairs) and all(abs(pair[0] - number) < 0.001 for pair, number in zip(pairs, told)), (pairs, told)
    assert len({colour for _, colour in pairs}) > 1, "all confidences look alike"


def keys_are_enough(browser, service):
    at(browser, FIRST, 0)
    browser.run("document.querySelector(arguments[0] + ' .at').focus()", FIRST)
    browser.press("right", "right", "right", "left")
    assert browser.text(f"{FIRST} .where").startswith("step 2 of"), browser.text(f"{FIRST} .where")
    browser.run("document.querySelector(arguments[0] + ' .canvas').focus()", FIRST)
    browser.press("right")
    assert browser.text(f"{FIRST} .where").startswith("step 3 of")
    browser.run("document.querySelector('#prompt').focus()")
    runs = "return Number(document.querySelector(arguments[0]).dataset.runs)"
    before = browser.run(runs, FIRST)
    browser.press("enter", holding="control")
    browser.until(DONE, FIRST)
    assert browser.run(runs, FIRST) == before + 1
    assert browser.run("return [...document.querySelectorAll('button, input, select, textarea')].filter(e => e.offsetParent && "
                       "!(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)") == []


def it_plays(browser, service):
    browser.click(f"{FIRST} .play")
    browser.until("return /^step [1-9] of/.test(document.querySelector(arguments[0] + ' .where').textContent)", FIRST)
    browser.until("return document.querySelector(arguments[0] + ' .play').textContent === '▶'", FIRST)
    assert browser.text(f"{FIRST} .where").startswith(f"step {last(browser, FIRST)} of")


def two_settings_stand_side_by_side(browser, service):
    browser.click("#compare")
    set_field(browser, SECOND, "remasking", "confidence-threshold")
    set_field(browser, SECOND, "threshold", "0.7")
    browser.click("#generate")
    browser.until("return [...document.querySelectorAll('#lanes .lane')].every(l => l.querySelector('.facts strong'))")
    assert last(browser, SECOND) < last(browser, FIRST), "the threshold has saved no steps"
    boxes = browser.run("return [...document.querySelectorAll('#lanes .lane')].map(l => { const b = l.getBoundingClientRect(); return [b.left, b.right, b.top] })")
    assert boxes[0][1] <= boxes[1][0] and boxes[0][2] == boxes[1][2], boxes


def what_is_wrong_is_said_by_name(browser, service):
    set_field(browser, SECOND, "block_length", 7)
    browser.click("#generate")
    browser.until("return !document.querySelector('#problem').hidden")
    assert "block_length 7 does not divide gen_length 32" in browser.text("#problem"), browser.text("#problem")
    browser.until(DONE, FIRST)
    browser.click("#compare")
    assert browser.complaints(), "the browser logs a refused request"
    browser.click("#generate")
    browser.until(DONE, FIRST)
    assert browser.run("return document.querySelector('#problem').hidden")


def own_text_is_noised_and_restored(browser, service):
    browser.run("document.querySelector('#tab-reverse').focus()")
    browser.press("right")
    browser.until("return document.querySelectorAll('#noised .cell').length > 10")
    set_t = "const t = document.querySelector('#t'); t.value = arguments[0]; t.dispatchEvent(new Event('input'))"
    counts = []
    for t in (0, 0.25, 0.5, 0.75, 1):
        browser.run(set_t, t)
        cells = browser.run(CELLS, NOISED)
        counts.append({i for i, cell in enumerate(cells) if "mask" in cell["is"].split()})
    assert len(counts[0]) == 0 and len(counts[-1]) == len(cells)
    assert all(less <= more for less, more in zip(counts, counts[1:])), "more noise has brought something back"
    browser.run(set_t, 0.5)
    given = [(i, cell["says"]) for i, cell in enumerate(browser.run(CELLS, NOISED)) if "given" in cell["is"].split()]
    assert given and len(given) < len(cells)
    browser.click("#restore")
    browser.until(DONE, NOISED)
    restored = browser.run(CELLS, NOISED)
    assert not kinds(restored, "mask") and not kinds(restored, "proposed")
    assert all(restored[i]["says"] == says for i, says in given), "what was given has changed"
    assert kinds(restored, "same") or kinds(restored, "other")
    assert f"of {len(cells) - len(given)} hidden tokens as they were" in browser.text(f"{NOISED} .facts")
    browser.run("document.querySelector('#tab-forward').focus()")
    browser.press("left")
    assert browser.run("return document.querySelector('#forward').hidden && !document.querySelector('#reverse').hidden")


def it_is_legible(browser, service):
    """WCAG's contrast of text and what is behind it, in both themes: 4.5 for what is read."""
    contrast = """
      const rgba = (c) => { const p = new OffscreenCanvas(1, 1).getContext('2d'); p.fillStyle = c; p.fillRect(0, 0, 1, 1); return [...p.getImageData(0, 0, 1, 1).data]; };
      const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
      const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 0) return c; } return [255, 255, 255, 255]; };
      const ratio = (e) => { const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x); return (a + .05) / (b + .05); };
      return [...document.querySelectorAll('.cell.known:not(.over), #model, .hint, .facts, label, button.main, [role=tab], .where')].filter(e => e.offsetParent).map(e => [ratio(e), e.outerHTML.slice(0, 80)]).filter(([r]) => r < 4.5)"""
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        assert browser.run(contrast) == [], (scheme, browser.run(contrast))
    browser.prefer("light")
    before = browser.run("return getComputedStyle(document.body).backgroundColor")
    browser.click("#theme")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") != before
    browser.click("#theme")
    browser.resize(420, 800)
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), "a telephone scrolls sideways"
    browser.resize(1280, 900)


def nothing_comes_from_elsewhere(browser, service):
    fetched = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert fetched and all(name.startswith(f"{service.url}/v1/") for name in fetched), fetched


CHECKS = [a_text_emerges_and_is_the_services, its_steps_can_be_gone_through, nothing_moves_under_the_slider, colour_is_confidence,
          keys_are_enough, it_plays, two_settings_stand_side_by_side, what_is_wrong_is_said_by_name, own_text_is_noised_and_restored,
          it_is_legible, nothing_comes_from_elsewhere]


def photograph(browser, folder):
    browser.resize(1280, 860)
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        if not browser.run("return document.querySelector('#compare').checked"):
            browser.click("#compare")
        for lane, steps, strategy in ((FIRST, 64, "low-confidence"), (SECOND, 64, "confidence-threshold")):
            for name, value in (("gen_length", 64), ("steps", steps), ("block_length", 32), ("remasking", strategy)):
                set_field(browser, lane, name, value)
        browser.fill("#prompt", "How do you write a text?")
        browser.click("#generate")
        browser.until("return [...document.querySelectorAll('#lanes .lane')].every(l => l.querySelector('.facts strong'))")
        at(browser, FIRST, last(browser, FIRST) * 2 // 3)
        at(browser, SECOND, last(browser, SECOND) * 2 // 3)
        browser.run("document.activeElement.blur()")
        browser.screenshot(folder / f"page-{scheme}.png")
        browser.click("#tab-forward")
        browser.until("return document.querySelectorAll('#noised .cell').length > 10")
        browser.click("#restore")
        browser.until(DONE, NOISED)
        browser.screenshot(folder / f"forward-{scheme}.png")
        browser.click("#tab-reverse")


def main(arguments):
    if not shutil.which("chromedriver") or not shutil.which("chromium"):
        print("skipped: there is no chromium with its driver; scripts/setup.sh page installs them")
        return 77
    with Service() as service, Browser() as browser:
        browser.open(service.url)
        browser.until("return document.querySelector('#model').textContent.includes('demo')")
        assert browser.complaints() == []
        if arguments[:1] == ["--screenshots"]:
            folder = pathlib.Path(arguments[1])
            folder.mkdir(parents=True, exist_ok=True)
            photograph(browser, folder)
            return 0
        for check in CHECKS:
            check(browser, service)
            print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

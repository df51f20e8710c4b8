"""A headless Chromium through its driver: WebDriver is JSON over HTTP, so the standard library is enough."""

import base64
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1"]
KEYS = {"left": "\ue012", "right": "\ue014", "tab": "\ue004", "enter": "\ue007", "control": "\ue009", "space": " "}


class Browser:
    def __init__(self, width=1280, height=900):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.driver = subprocess.Popen([shutil.which("chromedriver"), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            port = None
            for line in self.driver.stdout:
                if found := re.search(r"started successfully on port (\d+)", line):
                    port = found[1]
                    break
            assert port, "the driver has not started"
            self.session = f"http://127.0.0.1:{port}/session"
            self.session += f"/{self._start(width, height)['sessionId']}"
        except BaseException:
            self._end()
            raise

    # The driver gives a browser a minute to start, which on a busy machine may not be enough.
    def _start(self, width, height, attempts=4):
        for attempt in range(1, attempts + 1):
            folder = pathlib.Path(self.folder.name) / str(attempt)
            folder.mkdir()
            options = {"args": [*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={folder}"]}
            logs = {"goog:loggingPrefs": {"browser": "ALL"}}
            try:
                return self._call("", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options, **logs}}})
            except AssertionError as error:
                if attempt == attempts or "session not created" not in str(error):
                    raise
                print(f"the browser has not started: {error}", flush=True)

    def _call(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.session + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def open(self, url):
        self._call("/url", {"url": url})

    def run(self, script, *arguments):
        return self._call("/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        return self._call("/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self._call(f"/element/{self.find(selector)}/click", {})

    # Into whatever has the focus.
    def press(self, *keys, holding=None):
        strokes = [KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": key} for key in strokes for kind in ("keyDown", "keyUp")]
        if holding:
            actions = [{"type": "keyDown", "value": KEYS[holding]}, *actions, {"type": "keyUp", "value": KEYS[holding]}]
        self._call("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def fill(self, selector, text):
        element = self.find(selector)
        self._call(f"/element/{element}/clear", {})
        self._call(f"/element/{element}/value", {"text": text})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def until(self, script, *arguments, limit=300):
        give_up = time.time() + limit
        while not (value := self.run(script, *arguments)):
            assert time.time() < give_up, f"waited in vain for {script}; the page says: {self.run('return document.body.innerText')}"
            time.sleep(0.05)
        return value

    def prefer(self, scheme):
        self._call("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia",
                                         "params": {"features": [{"name": "prefers-color-scheme", "value": scheme},
                                                                 {"name": "prefers-reduced-motion", "value": "reduce"}]}})

    def resize(self, width, height):
        self._call("/window/rect", {"width": width, "height": height})

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self._call("/screenshot")))

    # What the page has complained of in the console since the last look.
    def complaints(self):
        return [entry["message"] for entry in self._call("/se/log", {"type": "browser"}) if entry["level"] in ("SEVERE", "WARNING")]

    def _end(self):
        self.driver.terminate()
        self.driver.wait(timeout=30)
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._call("", method="DELETE")
        finally:
            self._end()

"""The page in a browser: no error on the console, everything drawn, nothing fetched."""

import json
import re
import shutil
import subprocess

import pytest

from caloforge.validation import evaluate, read_report, write_comparison, write_report

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

PROBE = """
<script>
addEventListener("load", () => {
  const painted = (canvas) => {
    const { width, height } = canvas;
    const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    const colours = new Set();
    for (let i = 0; i < pixels.length; i += 4) {
      colours.add(pixels[i] + 256 * pixels[i + 1] + 65536 * pixels[i + 2]);
    }
    return colours.size;
  };
  const select = document.querySelector("#event-display select");
  const before = [...document.querySelectorAll(".display canvas")].map((c) => c.toDataURL());
  if (select) { select.value = 0; select.dispatchEvent(new Event("change")); }
  const found = {
    images: [...document.images].map((image) => image.complete && image.naturalWidth > 0),
    canvases: [...document.querySelectorAll("canvas")].map(painted),
    changed: [...document.querySelectorAll(".display canvas")].map((c, k) => c.toDataURL() !== before[k]),
    options: select ? select.options.length : 0,
    fetched: performance.getEntriesByType("resource").map((r) => r.name)
      .filter((name) => !name.startsWith("data:")),
  };
  const note = document.createElement("pre");
  note.id = "probe";
  note.textContent = JSON.stringify(found);
  document.body.append(note);
});
</script>
"""


@pytest.fixture(scope="module")
def report(toy_showers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    found = evaluate(toy_showers(300, 1), toy_showers(300, 2), classifier=False)
    return write_report(found, folder / "report")


def visit(page, tmp_path):
    """Open a page without a network; return what the probe saw and the messages of the console."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    ran = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--window-size=1200,900",
            "--virtual-time-budget=10000",
            "--dump-dom",
            copy.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    seen = re.search(r'<pre id="probe">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert seen, ran.stderr[-2000:]
    messages = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(seen[1].replace("&amp;", "&").replace("&lt;", "<")), messages


def test_the_report_in_a_browser(report, tmp_path):
    seen, messages = visit(report, tmp_path)
    assert messages == []
    assert len(seen["images"]) >= 10
    assert all(seen["images"])
    assert len(seen["canvases"]) == 3
    assert min(seen["canvases"]) > 20
    assert seen["options"] == 6
    assert seen["changed"] == [True, True]
    assert seen["fetched"] == []


def test_the_comparison_in_a_browser(report, tmp_path):
    reports = [read_report(report.parent, name) for name in ("one", "two")]
    seen, messages = visit(write_comparison(reports, tmp_path / "comparison"), tmp_path)
    assert messages == []
    assert len(seen["images"]) == 4
    assert all(seen["images"])
    assert seen["fetched"] == []


def test_the_console_is_listened_to(report, tmp_path):
    """A page with an error must not pass."""
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text().replace("</body>", "<script>nothing.there()</script></body>"))
    assert visit(broken, tmp_path)[1]

"""Have Lighthouse judge the front page and the heaviest chapter (`make lighthouse`).

Its scores for speed are timed, so that they say as much of the machine: no test asks
for them. Its simulated phone has a slow network and a slow processor.
"""

import json
import os
import subprocess
import sys

from book import ROOT, chromium_path, heaviest, served

LIGHTHOUSE = ROOT / "_build/npm-test/node_modules/lighthouse/cli/index.js"
WANTED = {"desktop": 95, "phone": 85}
CATEGORIES = ("performance", "accessibility")


def judge(address: str, device: str) -> tuple[float, float, float]:
    """Return a page's scores for speed and accessibility, and its layout shift."""
    done = subprocess.run(
        [
            *("node", LIGHTHOUSE, address, "--quiet", "--output=json"),
            "--only-categories=performance,accessibility",
            "--chrome-flags=--headless=new --no-sandbox --disable-dev-shm-usage",
            *(["--preset=desktop"] if device == "desktop" else []),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "CHROME_PATH": chromium_path() or ""},
    )
    if done.returncode:
        sys.exit(f"Lighthouse failed:\n{done.stderr}")
    report = json.loads(done.stdout)
    scores = [100 * report["categories"][name]["score"] for name in CATEGORIES]
    return *scores, report["audits"]["cumulative-layout-shift"]["numericValue"]


def main() -> None:
    """Print a table; exit with 1 where a score is too low."""
    good = True
    with served() as root:
        for page in ("index.html", heaviest()):
            for device, wanted in WANTED.items():
                speed, access, shift = judge(f"{root}/{page}", device)
                good &= speed >= wanted and access == 100 and shift < 0.05
                print(
                    f"{page:28} {device:8} performance {speed:3.0f} (of {wanted}) "
                    f"accessibility {access:3.0f}  layout shift {shift:.3f}",
                    flush=True,
                )
    sys.exit(not good)


if __name__ == "__main__":
    main()

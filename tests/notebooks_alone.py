"""Execute the chapters' notebooks as a reader would who has nothing but Jupyter.

`make notebooks-alone` takes each (or those named as arguments) into an empty folder,
and into an environment without the course. That is published at an address of its own:
this repository, as committed.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))

from notebooks import is_chapter, write  # noqa: E402


def main(names: list[str]) -> None:
    """Print a line a notebook; exit with 1 if one fails."""
    chapters = [path for path in sorted((ROOT / "chapters").glob("*.md"))]
    chapters = [
        path
        for path in chapters
        if is_chapter(path) and (not names or path.stem in names)
    ]
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # Neither what lies here nor what is set for it; but the versions known to work.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        clean |= {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
        clean |= {"VIRTUAL_ENV": f"{folder / 'env'}"}
        clean |= {"PATH": f"{folder / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        address = folder / "published"
        subprocess.run(["git", "clone", "-q", "--bare", ROOT, address], check=True)
        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / "bin" / "python"
        install = [python, "-m", "pip", "install", "-q", "nbclient", "ipykernel"]
        subprocess.run(install, check=True, env=clean)
        for chapter in chapters:
            alone = folder / chapter.stem
            write(chapter, alone / f"{chapter.stem}.ipynb", address.as_uri())
            execute = [python, "-m", "jupyter", "execute", "--timeout=1200"]
            done = subprocess.run(
                [*execute, alone / f"{chapter.stem}.ipynb"],
                cwd=alone,
                env=clean,
                capture_output=True,
                text=True,
            )
            print(f"{chapter.stem}: {'failed' if done.returncode else 'works'}")
            if done.returncode:
                failed += 1
                print(done.stderr[-2000:])
    sys.exit(bool(failed or not chapters))


if __name__ == "__main__":
    main(sys.argv[1:])

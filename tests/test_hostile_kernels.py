"""Kernels that attack the grader: each ends, with a message, and leaves nothing.

``tests/hostile/kernels/<name>.cu`` says what it does and what must be said of it. What
a kernel is not to see is looked for in `test_workshop`.
"""

import os
import re
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from sandboxes import SANDBOXES, needs
from test_workshop import HONEST, LAUNCHES, TRUTH

from grading.isolation import session
from grading.isolation.folder import PrivateFolder
from grading.isolation.sandbox import Limits, choose
from grading.isolation.session import Interruption
from grading.isolation.workshop import Workshop

pytestmark = pytest.mark.hostile

ATTACKS = sorted(Path(__file__).with_name("hostile").glob("kernels/*.cu"))


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
def test_an_attack_ends_with_a_message_and_leaves_nothing(attack, sandbox, monkeypatch):
    needs(sandbox)
    folders = []

    def note(owner):
        folders.append(PrivateFolder(owner))
        return folders[-1]

    monkeypatch.setattr(session, "PrivateFolder", note)
    source = attack.read_text()
    says = re.search("^// says: (.+)$", source, re.MULTILINE)[1]
    before = set(os.listdir())
    workshop = Workshop(choose(sandbox), Limits())
    start = time.monotonic()
    try:
        [reply] = workshop.launch(source, "row_sums", LAUNCHES[:1])
        said = f"{reply[0]}: {reply[1]}"
    except Interruption as stopped:
        said = f"stopped: {stopped}"
    finally:
        workshop.close()
    assert time.monotonic() - start < 100  # 20 seconds, and what a busy machine adds
    assert re.search(says, said, re.DOTALL) and not said.startswith("ran"), said
    assert psutil.Process().children(recursive=True) == []
    assert folders and not any(os.path.lexists(folder.name) for folder in folders)
    assert set(os.listdir()) == before
    try:  # the next one finds a place in order
        replies = workshop.launch(HONEST, "row_sums", LAUNCHES)
    finally:
        workshop.close()
    np.testing.assert_allclose(replies[0][1][1], TRUTH[0], rtol=1e-5)

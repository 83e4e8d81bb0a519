"""Hands in what is no notebook, or more than a notebook."""

import json
import os
import socket

import nbformat

from grading.notebooks import grade_id
from hostile.corpus import Kind

KIND = Kind("files")
NAME = "ps1_forward.ipynb"
no_notebook = KIND.submission(status="not graded", says="not a notebook|no notebook")


def good(folder, notebook):
    nbformat.write(notebook, folder / NAME)


# Files that cannot be read as a notebook


@no_notebook
def cut_off(folder, notebook, places):
    (folder / NAME).write_text(nbformat.writes(notebook)[:5000])


@no_notebook
def binary_junk(folder, notebook, places):
    (folder / NAME).write_bytes(bytes(range(256)) * 1000)


@no_notebook
def python_script(folder, notebook, places):
    (folder / NAME).write_text("import numpy as np\n")


@no_notebook
def wide_characters(folder, notebook, places):
    (folder / NAME).write_text(nbformat.writes(notebook), encoding="utf-16")


@no_notebook
def deep_json(folder, notebook, places):
    (folder / NAME).write_text("[" * 500_000)


@no_notebook
def deep_cells(folder, notebook, places):
    deep = '{"cells": ' + "[" * 200_000 + "]" * 200_000 + "}"
    (folder / NAME).write_text(deep)


@no_notebook
def a_list(folder, notebook, places):
    (folder / NAME).write_text("[1, 2, 3]")


@no_notebook
def a_number(folder, notebook, places):
    (folder / NAME).write_text("1e999")


@no_notebook
def cells_in_a_dictionary(folder, notebook, places):
    (folder / NAME).write_text(json.dumps({**notebook, "cells": {"0": 1}}))


@no_notebook
def no_list_of_cells(folder, notebook, places):
    (folder / NAME).write_text('{"nbformat": 4, "nbformat_minor": 5, "cells": null}')


@KIND.submission(status="not graded", says="(?i)old format|not a notebook|no notebook")
def odd_old_format(folder, notebook, places):
    old = {"nbformat": 3, "metadata": 5, "worksheets": [{"cells": 5}]}
    (folder / NAME).write_text(json.dumps(old))


@KIND.submission(status="not graded", says="(?i)no notebook|not a notebook|digits")
def huge_number(folder, notebook, places):
    text = nbformat.writes(notebook)
    text = text.replace('"nbformat": 4', '"nbformat": ' + "9" * 100_000)
    (folder / NAME).write_text(text)


@KIND.submission(status="not graded", says="empty")
def empty(folder, notebook, places):
    (folder / NAME).touch()


@KIND.submission(status="not graded", says="MB")
def large(folder, notebook, places):
    notebook.cells[-1].source += "A" * (20 << 20)
    good(folder, notebook)


@KIND.submission(status="not graded", says="MB")
def large_and_hollow(folder, notebook, places):
    good(folder, notebook)
    os.truncate(folder / NAME, 1 << 40)


@KIND.submission(status="not graded", says="ps1_forward.ipynb")
def missing(folder, notebook, places):
    nbformat.write(notebook, folder / "ps1_forward (1).ipynb")


@KIND.submission(status="not graded", says="ps1_forward.ipynb")
def nothing_at_all(folder, notebook, places):
    pass


@KIND.submission(status="not graded", says="not a file")
def pipe(folder, notebook, places):
    os.mkfifo(folder / NAME)


@KIND.submission(status="not graded", says="not a file")
def folder_in_its_place(folder, notebook, places):
    (folder / NAME).mkdir()
    good(folder / NAME, notebook)


@KIND.submission(status="not graded", says="not a file")
def socket_in_its_place(folder, notebook, places):
    before = os.getcwd()
    os.chdir(folder)  # for a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(NAME)
    finally:
        os.chdir(before)


# Links

link = KIND.submission(status="not graded", says="symbolic link")


@link
def link_to_a_password_file(folder, notebook, places):
    (folder / NAME).symlink_to("/etc/passwd")


@link
def link_to_the_source(folder, notebook, places):
    (folder / NAME).symlink_to(places.source)


@link
def link_to_another_student(folder, notebook, places):
    (folder / NAME).symlink_to(places.other_student)


@link
def link_to_nothing(folder, notebook, places):
    (folder / NAME).symlink_to("/nonexistent")


@link
def link_to_itself(folder, notebook, places):
    (folder / NAME).symlink_to(folder / NAME)


@link
def linked_folder(folder, notebook, places):
    folder.rmdir()
    folder.symlink_to(os.path.dirname(places.other_student))


@link
def linked_student(folder, notebook, places):
    folder.rmdir()
    folder.parent.rmdir()
    folder.parent.symlink_to(os.path.dirname(os.path.dirname(places.other_student)))


# Odd, but a notebook


@KIND.submission(20)
def old_format(folder, notebook, places):
    notebook = nbformat.convert(notebook, 3)
    (folder / NAME).write_text(json.dumps(notebook))


@KIND.submission(20)
def windows_text(folder, notebook, places):
    text = nbformat.writes(notebook).replace("\n", "\r\n")
    text = text.replace("\\n", "\\r\\n")
    (folder / NAME).write_bytes(b"\xef\xbb\xbf" + text.encode())


@KIND.submission(20)
def keys_twice(folder, notebook, places):
    text = nbformat.writes(notebook)
    (folder / NAME).write_text('{"cells": [{"cell_type": "hostile"}],' + text[1:])


@KIND.submission(20)
def unreadable_for_others(folder, notebook, places):
    good(folder, notebook)
    (folder / NAME).chmod(0o600)


# More than a notebook


@KIND.submission(20)
def shadowing_modules(folder, notebook, places):
    good(folder, notebook)
    evil = f"open({places.canary + '.hostile'!r}, 'w').close()\nraise SystemExit\n"
    names = ("numpy", "json", "struct", "sitecustomize", "usercustomize", "nbgrader")
    for name in names:
        (folder / f"{name}.py").write_text(evil)
    for name in ("bnlib", "bnlib/check", "grading", "encodings"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(evil)
    (folder / "hostile.pth").write_text("import numpy\n")


@KIND.submission(17, test_train=0)
def shadowing_modules_imported(folder, notebook, places):
    fake = "def __getattr__(name): return lambda *a, **k: True\n"
    (folder / "numpy.py").write_text(fake)
    (folder / "answers.py").write_text("ANSWER = 1\n")
    for cell in notebook.cells:
        if grade_id(cell) == "train":
            head = "import sys\nsys.path.insert(0, '.')\nimport answers, numpy\n"
            cell.source = head + cell.source
    good(folder, notebook)


@KIND.submission(20)
def configuration(folder, notebook, places):
    good(folder, notebook)
    evil = f"open({places.canary + '.hostile'!r}, 'w').close()\n"
    for name in ("nbgrader_config.py", "ipython_config.py", "jupyter_config.py"):
        (folder / name).write_text(evil)
    (folder / "gradebook.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    (folder / "feedback").mkdir()
    (folder / "index.html.j2").write_text("{{ hostile }}")


@KIND.submission(20)
def links_beside(folder, notebook, places):
    good(folder, notebook)
    (folder / "root").symlink_to("/")
    (folder / "loop").symlink_to(folder)
    (folder / "secrets").symlink_to(places.home)
    (folder / "data.csv").symlink_to(places.gradebook)
    os.mkfifo(folder / "pipe")


@KIND.submission(20)
def time_stamp(folder, notebook, places):
    good(folder, notebook)
    junk = b"9999999-99-99 \xff\x00 ../../etc\n" * 10**5
    (folder / "timestamp.txt").write_bytes(junk)


@KIND.submission(20)
def time_stamp_link(folder, notebook, places):
    good(folder, notebook)
    (folder / "timestamp.txt").symlink_to(places.canary)


@KIND.submission(20)
def odd_names(folder, notebook, places):
    good(folder, notebook)
    for name in ("a\nb", "<script>alert(1)<", "-rf", "x" * 200, "\udcff.ipynb", " "):
        (folder / name).write_text("hostile")


@KIND.submission(20)
def many_files(folder, notebook, places):
    good(folder, notebook)
    for k in range(3000):
        (folder / f"{k}.ipynb").write_text("{}")

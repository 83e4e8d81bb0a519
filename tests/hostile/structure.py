"""Notebooks whose cells, metadata and order are not what was released."""

import copy
import json

from nbformat.v4 import new_code_cell, new_markdown_cell

from grading.notebooks import grade_id, is_graded, is_hole
from hostile.corpus import Kind

KIND = Kind("structure")
WRONG = "def batch_norm_train(x, gamma, beta, eps=1e-5):\n    return x, x[0], x[0]"
SCRIPT = "<script>alert('hostile')</script>"


def find(notebook, name):
    [cell] = (cell for cell in notebook.cells if grade_id(cell) == name)
    return cell


def insert_after(notebook, cell, new):
    notebook.cells.insert(notebook.cells.index(cell) + 1, new)


def write(folder, notebook):
    (folder / "ps1_forward.ipynb").write_text(json.dumps(notebook))


# Cells that are gone, or there twice


@KIND.notebook(17, "train", test_train=0)
def deleted_answer(notebook):
    notebook.cells.remove(find(notebook, "train"))


@KIND.notebook(20)
def deleted_test(notebook):
    notebook.cells.remove(find(notebook, "test_train"))


@KIND.notebook(17, test_train=0)
def deleted_test_of_a_wrong_answer(notebook):
    find(notebook, "train").source = WRONG
    notebook.cells.remove(find(notebook, "test_train"))


@KIND.notebook(20)
def deleted_everything_else(notebook):
    notebook.cells = [cell for cell in notebook.cells if is_hole(cell)]


@KIND.notebook(0)
def no_cells(notebook):
    notebook.cells = []


@KIND.notebook(20)
def copied_answer(notebook):
    cell = find(notebook, "train")
    new = copy.deepcopy(cell)
    new.id = "a-copy"
    insert_after(notebook, cell, new)


@KIND.notebook(17, test_train=0)
def copied_answer_with_a_wrong_one_below(notebook):
    cell = find(notebook, "train")
    new = copy.deepcopy(cell)
    new.id, new.source = "a-copy", WRONG
    insert_after(notebook, cell, new)


@KIND.notebook(20)
def copied_tests(notebook):
    notebook.cells += [copy.deepcopy(c) for c in notebook.cells if is_graded(c)] * 5


@KIND.notebook(20)
def copied_notebook(notebook):
    notebook.cells += copy.deepcopy(notebook.cells)


@KIND.notebook(17, test_train=0)
def copied_test_that_passes(notebook):
    find(notebook, "train").source = WRONG
    test = find(notebook, "test_train")
    for place in (0, len(notebook.cells)):
        new = copy.deepcopy(test)
        new.id, new.source = f"copy-{place}", "3"
        notebook.cells.insert(place, new)


# Cells that are something else


@KIND.notebook(17, "train", test_train=0)
def renamed_answer(notebook):
    find(notebook, "train").metadata.nbgrader["grade_id"] = "test_running"


@KIND.notebook(20)
def renamed_answer_to_nothing_known(notebook):
    find(notebook, "train").metadata.nbgrader["grade_id"] = "tr-ain"


@KIND.notebook(20)
def renamed_test(notebook):
    find(notebook, "test_train").metadata.nbgrader["grade_id"] = "test_of_my_own"


@KIND.notebook(18, test_running=0)
def exchanged_names(notebook):
    find(notebook, "running").source = "update_running = None"
    one, other = find(notebook, "test_running"), find(notebook, "test_train")
    one.metadata, other.metadata = other.metadata, one.metadata


@KIND.notebook(20)
def answer_as_markdown(notebook):
    find(notebook, "train").cell_type = "markdown"


@KIND.notebook(17, test_train=0)
def test_as_markdown(notebook):
    find(notebook, "train").source = WRONG
    find(notebook, "test_train").cell_type = "markdown"


@KIND.notebook(20)
def everything_raw(notebook):
    for cell in notebook.cells:
        cell.cell_type = "raw"


@KIND.notebook(17, test_train=0)
def rescored(notebook):
    find(notebook, "train").source = WRONG
    for cell in filter(is_graded, notebook.cells):
        cell.metadata.nbgrader["points"] = 1000
    find(notebook, "test_train").metadata.nbgrader["points"] = -5


@KIND.notebook(20)
def reversed_order(notebook):
    notebook.cells.reverse()


@KIND.notebook(20)
def split_answer(notebook):
    cell = find(notebook, "train")
    head, tail = cell.source.split("\n", 1)
    new = copy.deepcopy(cell)
    cell.source, new.source, new.id = head, tail, "second-half"
    insert_after(notebook, cell, new)


@KIND.notebook(20)
def merged_answer_and_test(notebook):
    cell, test = find(notebook, "train"), find(notebook, "test_train")
    cell.source += "\n" + test.source
    notebook.cells.remove(test)


@KIND.notebook(17, test_train=0)
def merged_tests(notebook):
    find(notebook, "train").source = WRONG
    test = find(notebook, "test_train")
    test.source = "pass"
    notebook.cells.remove(find(notebook, "test_running"))


@KIND.notebook(17, test_train=0)
def altered_test(notebook):
    find(notebook, "train").source = WRONG
    test = find(notebook, "test_train")
    test.source = "3"
    test.metadata.nbgrader.update(locked=False, solution=True, checksum="0" * 32)


@KIND.notebook(17, test_train=0)
def altered_setup(notebook):
    find(notebook, "train").source = WRONG
    setup = find(notebook, "setup")
    setup.source += "\nclass check:\n    def __getattr__(self, name): return print"
    setup.source += "\ncheck = check()"
    setup.metadata.nbgrader.update(locked=False, solution=True)


# Cells that were added


@KIND.notebook(20)
def bonus_cell(notebook):
    bonus = new_code_cell("1000")
    bonus.metadata["nbgrader"] = {
        **find(notebook, "test_train").metadata.nbgrader,
        "grade_id": "test_bonus",
        "points": 1000,
    }
    notebook.cells.append(bonus)


@KIND.notebook(20)
def task_cell(notebook):
    bonus = new_markdown_cell("A task")
    bonus.metadata["nbgrader"] = {
        "grade": True,
        "grade_id": "task",
        "points": 50,
        "task": True,
        "solution": False,
        "locked": False,
        "schema_version": 3,
    }
    notebook.cells.append(bonus)


@KIND.notebook(20)
def helper_cell(notebook):
    helper = "def moments_of(x):\n    return x.mean(axis=0), x.var(axis=0)"
    cell = find(notebook, "train")
    notebook.cells.insert(notebook.cells.index(cell), new_code_cell(helper))
    cell.source = (
        "def batch_norm_train(x, gamma, beta, eps=1e-5):\n"
        "    mean, var = moments_of(x)\n"
        "    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var"
    )


@KIND.notebook(20, "still running")
def looping_cell_below(notebook):
    notebook.cells.append(new_code_cell("while True:\n    pass"))


@KIND.notebook(20)
def scripts_in_text(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source += f"\n\n{SCRIPT}\n\n<img src=x onerror=alert('hostile')>"
            cell.attachments = {"a.svg": {"image/svg+xml": SCRIPT}}
    links = (
        "[a](javascript:alert('hostile')) <iframe srcdoc=\"" + SCRIPT + '"></iframe>'
        "<svg onload=alert('hostile')> <a href=' javascript:alert(1)'>b</a> "
        "<meta http-equiv=refresh content='0;url=//hostile.example'> "
        "<form action=//hostile.example><input name=password></form> "
        "<style>body{background:url(//hostile.example)}</style> "
        r"$\href{javascript:alert('hostile')}{x}$ </textarea></script>" + SCRIPT
    )
    notebook.cells.append(new_markdown_cell(links))
    notebook.metadata["title"] = SCRIPT
    notebook.metadata["language_info"] = {"name": SCRIPT, "pygments_lexer": SCRIPT}


@KIND.notebook(20)
def scripts_in_outputs(notebook):
    html = {"text/html": SCRIPT, "application/javascript": "alert('hostile')"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                {"output_type": "display_data", "data": html, "metadata": {}},
                {"output_type": "stream", "name": "stdout", "text": SCRIPT},
            ]


# Metadata


@KIND.submission(20)
def odd_schemas(folder, notebook, places):
    odd = [99, "3", -1, None, 1, 2, 10**400, [], {}, True, 0.5]
    for k, cell in enumerate(notebook.cells):
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader["schema_version"] = odd[k % len(odd)]
    write(folder, notebook)


@KIND.submission(20)
def odd_metadata(folder, notebook, places):
    odd = [[], "text", 3, None, {"grade_id": 5}, {"grade_id": "../../hostile"}, True]
    odd += [{"grade_id": "a" * 10**6, "points": "nan"}, {"points": float("nan")}]
    for k, cell in enumerate(c for c in notebook.cells if is_graded(c)):
        cell.metadata["nbgrader"] = odd[k % len(odd)]
    write(folder, notebook)


@KIND.submission(20)
def no_metadata(folder, notebook, places):
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata = {}
    write(folder, notebook)


@KIND.submission(20)
def unknown_kernel(folder, notebook, places):
    notebook.metadata["kernelspec"] = {
        "name": "../../hostile",
        "display_name": "R",
        "language": "R",
        "argv": ["sh", "-c", f"touch {places.canary}.hostile"],
    }
    write(folder, notebook)


@KIND.submission(20)
def odd_ids(folder, notebook, places):
    for k, cell in enumerate(notebook.cells):
        cell["id"] = ["same", "", 5, None, "../x", "a" * 5000][k % 6]
    write(folder, notebook)


@KIND.submission(20)
def odd_fields(folder, notebook, places):
    for k, cell in enumerate(notebook.cells):
        cell["hostile"] = {"deep": [1, 2]}
        cell["execution_count"] = [10**300, -1, "x", None][k % 4]
        cell["outputs"] = [None, 5, {}, [[]], [{"output_type": "hostile"}]][k % 5]
        cell["source"] = cell["source"].splitlines(keepends=True)
    notebook["nbformat_minor"] = 999
    write(folder, notebook)


@KIND.submission(17, test_train=0)
def odd_sources(folder, notebook, places):
    find(notebook, "train")["source"] = {"0": "def", "1": 5}
    notebook.cells += [{"source": [1, 2]}, None, [], {"cell_type": "code"}, 5]
    write(folder, notebook)


@KIND.submission(17, test_train=0)
def no_unicode(folder, notebook, places):
    find(notebook, "train")["source"] = "x = '\ud800'\n\x00\x1b[2J\n" + WRONG
    notebook.cells.append(new_code_cell("# \udcff \u202e \x00"))
    write(folder, notebook)


# Size


@KIND.submission(20)
def thousands_of_magics(folder, notebook, places):
    lines = [f"a{k} = %pwd" for k in range(400)]
    lines += [f"b{k} = (1, 2)" for k in range(9000)]
    for _ in range(20):
        notebook.cells.append(new_code_cell("\n".join(lines)))
    write(folder, notebook)


@KIND.notebook(20)
def hundreds_of_prints(notebook):
    for k in range(500):
        notebook.cells.append(new_code_cell(f"# {k}\nprint('A' * 10_000_000)"))


@KIND.submission(0, "(?i)cells|at most", status="not graded")
def too_many_cells(folder, notebook, places):
    notebook.cells += [new_code_cell(f"x = {k}") for k in range(20_000)]
    write(folder, notebook)


@KIND.submission(0, "(?i)characters|at most", status="not graded")
def too_long_a_cell(folder, notebook, places):
    find(notebook, "train")["source"] += "\n# " + "A" * 5_000_000
    write(folder, notebook)

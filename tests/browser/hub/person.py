"""A person before a browser, who clicks and types."""

import time
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Page

PASSWORD = "let me in to learn"
PATIENCE = 240_000  # ms: a server starts, a notebook is executed


class Person:
    """Somebody with an account on the hub.

    Opens the own server, or as an instructor the course's; `home` is the home folder of
    the account that this server runs under.
    """

    def __init__(self, name: str, chromium: Browser, address: str, home: Path):
        self.name, self.home, self._hub = name, home, address
        context = chromium.new_context(viewport={"width": 1400, "height": 1000})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(PATIENCE)
        self.page: Page = context.new_page()

    def log_in(self, course: str | None = None) -> None:
        """Log in, and go on to the own server, or to that of a course."""
        self.page.goto(f"{self._hub}/hub/login" + ("?next=/hub/home" if course else ""))
        self.page.fill("input[name=username]", self.name)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.click("[type=submit]")
        if course:
            self.page.click("text=Services")
            self.page.click(f"a:text-is('{course}')")
        self.page.wait_for_url("**/lab**")
        self._server = self.page.url.split("/lab")[0]

    def go(self, path: str):
        """Open a page of the server; return the response."""
        return self.page.goto(f"{self._server}/{path}")

    def lab(self, path: str = "") -> None:
        """Open a JupyterLab in which nothing is open, but what `path` says."""
        self.go(f"lab/workspaces/{self.name}{path}?reset")

    def run(self, command: str) -> str:
        """Type a command into a terminal; return what it printed, and its status."""
        self.lab()
        self.page.click(".jp-LauncherCard[data-category=Other][title*=terminal]")
        self.page.locator(".jp-Terminal .xterm-screen").click()
        self.page.keyboard.type(
            f"({command}) > ~/printing 2>&1; echo status $? >> ~/printing; "
            "mv ~/printing ~/printed\n"
        )
        end, printed = time.monotonic() + PATIENCE / 1000, self.home / "printed"
        while not printed.exists():
            if time.monotonic() > end:
                raise TimeoutError(f"in a terminal: {command}")
            self.page.wait_for_timeout(200)
        text = printed.read_text()
        printed.unlink()
        return text

    # nbgrader in JupyterLab

    def assignments(self) -> None:
        """Open nbgrader's list of assignments."""
        self.lab()
        self.page.click(".lm-MenuBar-itemLabel:text('Nbgrader')")
        self.page.click(".lm-Menu-itemLabel:text('Assignment List')")

    def press(self, kind: str, label: str) -> None:
        """Press a button in a list of assignments, which are of a kind."""
        rows = self.page.locator(f"#{kind}_assignments_list")
        rows.get_by_role("button", name=label, exact=True).click()

    def wait_for_button(self, kind: str, label: str) -> None:
        """Wait until a list of assignments has such a button."""
        self.page.wait_for_selector(
            f"#{kind}_assignments_list button:text-is('{label}')"
        )

    def feedback(self) -> str:
        """Fetch the feedback on the one submission; return what its page says."""
        self.assignments()
        self.press("submitted", "Fetch Feedback")
        self.page.click("a:text('view feedback')")
        self.page.dblclick(".jp-DirListing-item:has-text('.html')")
        shown = self.page.frame_locator(".jp-HTMLViewer iframe")
        shown.get_by_text("Score:").first.wait_for()
        return shown.locator("body").inner_text()

    def open_notebook(self, path: str) -> None:
        """Open a notebook; come back when its kernel is idle."""
        self.lab(f"/tree/{path}")
        self.page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")

    def answer(self, path: str, answers: dict[str, str]) -> None:
        """Paste answers into an open notebook's cells, by their grade ids; save it."""
        cells = nbformat.read(self.home / path, as_version=4).cells
        ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells]
        for name, text in answers.items():
            cell = self.page.locator(".jp-Notebook .jp-Cell").nth(ids.index(name))
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Control+A")
            self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
            self.page.keyboard.press("Control+V")
        self.page.keyboard.press("Control+S")
        self.page.wait_for_selector(".jp-mod-dirty", state="detached")

    def validate(self) -> str:
        """Press Validate; return what the dialog says."""
        self.page.click(".validate-button")
        dialog = self.page.locator(".jp-Dialog-content")
        said = dialog.inner_text()
        dialog.get_by_role("button").last.click()
        return said

    # nbgrader's formgrader

    def formgrader(self, column: str, problem_set: str) -> str:
        """Click in a column of the table of assignments; return what comes of it."""
        self.go("formgrader/manage_assignments")
        name = self.page.locator(f"td.name:has-text('{problem_set}')")
        row = self.page.locator("tr", has=name)
        row.locator(f"td.{column} a").click()
        return self.page.locator(".modal-body:visible").inner_text()

    def comment(self, notebook: str, score: str, cell: str, text: str) -> None:
        """Comment on a cell of the one submission that has this score."""
        self.go(f"formgrader/gradebook/{notebook}")
        row = self.page.locator("tr", has=self.page.get_by_text(score, exact=True))
        row.locator("a:has-text('Submission')").click()
        self.page.wait_for_url("**/formgrader/submissions/**")
        self.page.wait_for_load_state("networkidle")  # earlier comments are there
        self.page.fill(f"#{cell}-comment", text)
        with self.page.expect_response("**/formgrader/api/comment/**") as saved:
            self.page.keyboard.press("Tab")
        assert saved.value.ok

// A problem set's page: what a learner writes outlives a reload, and goes into the
// notebook to hand in. It stays in this browser; nothing is sent.
{
const {cells, make} = live;
const place = document.querySelector(".live-set");
const notebook = place.dataset.notebook;
const file = notebook.split("/").pop();
const kept = `answers of ${file}`;

// A field for an answer in words, which is to a notebook what a cell with code is.
class Written {
  constructor(element) {
    this.element = element;
    this.original = element.textContent;
    this.field = make("textarea", {className: "live-written", rows: 8,
      placeholder: "Your answer, in Markdown"});
    this.field.setAttribute("aria-label", "Your answer in words");
    this.field.addEventListener("input", () => this.write(this.field.value));
    element.after(this.field);
    element.hidden = true;
  }
  get text() { return this.field.value || this.original; }
  edit() {}
  write(text) {
    if (this.field.value !== text) this.field.value = text;
    this.field.dispatchEvent(new Event("live-write", {bubbles: true}));
  }
  reset() { this.write(""); }
}

const words = [...document.querySelectorAll("p.live-written")].map((e) => new Written(e));
const answers = new Map([...cells.filter(({element}) => element.matches(".live-answer")), ...words]
  .map((answer) => [answer.element.id.replace("cell-", ""), answer]));
const status = make("span", {role: "status"});

const keep = () => {
  const written = [...answers].filter(([, cell]) => cell.text !== cell.original)
    .map(([name, cell]) => [name, cell.text]);
  try {
    localStorage.setItem(kept, JSON.stringify(Object.fromEntries(written)));
    status.textContent = "Kept in this browser.";
  } catch {
    status.textContent = "This browser keeps nothing: download before you leave.";
  }
};

const recall = () => {
  try {
    return JSON.parse(localStorage.getItem(kept)) ?? {};
  } catch {
    return {};
  }
};

// The released notebook with the learner's text in its holes; all else is as it was.
const filled = async () => {
  const released = await (await fetch(notebook)).json();
  for (const cell of released.cells) {
    const answer = answers.get(cell.metadata.nbgrader?.grade_id);
    if (answer) cell.source = answer.text.split(/(?<=\n)/);
  }
  return `${JSON.stringify(released, null, 1)}\n`;
};

const download = async () => {
  try {
    const href = URL.createObjectURL(new Blob([await filled()], {type: "application/json"}));
    make("a", {href, download: file}).click();
    URL.revokeObjectURL(href);
    status.textContent = `${file} is downloaded: hand it in, or go on with it in JupyterLab.`;
  } catch {
    status.textContent = "The released notebook cannot be read from here.";
  }
};

const startAnew = () => {
  if (!confirm("Delete all that you have written on this page?")) return;
  for (const one of [...cells, ...words]) one.reset();
  status.textContent = "All holes are as they were.";
};

const button = (textContent, onclick) => make("button", {type: "button", textContent, onclick});
place.append(button("Download the notebook", download), button("Start anew", startAnew), status);
const written = recall();
for (const [name, cell] of answers) {
  cell.edit();
  if (name in written) cell.write(written[name]);
}
document.addEventListener("live-write", keep);
}

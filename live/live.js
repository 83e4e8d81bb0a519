// Cells that run in the page. Python is loaded when the first of them runs, not before.
{
const script = document.currentScript;
const SHARED = globalThis.crossOriginIsolated; // then a cell can be stopped, and no more
const LOADING = "Loading Python: once, some 12 MB …";
const make = (tag, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};
const number = (x) => `${+x.toPrecision(3)}`.replace("-", "−");

// A line of values, in an SVG.
const line = ({values, low, high, shape}) => {
  const y = (v) => (90 - 80 * (high > low ? (v - low) / (high - low) : 0.5)).toFixed(1);
  const x = (k) => (5 + (290 * k) / (values.length - 1)).toFixed(1);
  const points = values.map((v, k) => (v === null ? "" : `${x(k)},${y(v)}`)).filter(Boolean);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 300 100");
  svg.innerHTML = `<polyline points="${points.join(" ")}"/>`;
  return [svg, `A line of ${shape[0]} values, from ${number(low)} to ${number(high)}`];
};

// A matrix, in a canvas: a pixel an entry, the lowest dark and the highest bright.
const picture = ({values, low, high, shape}) => {
  const canvas = make("canvas", {width: values[0].length, height: values.length});
  const context = canvas.getContext("2d");
  values.forEach((row, i) => row.forEach((v, j) => {
    const t = high > low ? (v - low) / (high - low) : 0.5;
    context.fillStyle = v === null ? "transparent"
      : `rgb(${[20 + 235 * t, 30 + 200 * t, 90 + 60 * t].map(Math.round)})`;
    context.fillRect(j, i, 1, 1);
  }));
  return [canvas, `A picture of ${shape[0]} × ${shape[1]} entries, from ${
    number(low)} (dark) to ${number(high)} (bright)`];
};

let python = null; // the worker, and how to stop it
const ask = (question, hear) => new Promise((resolve, reject) => {
  if (!python) {
    if (location.protocol === "file:")
      throw new Error("Python needs a book that comes from a server: see `make serve`.");
    const code = new URL(`live-worker.js?${script.dataset.version}`, script.src);
    const interrupts = SHARED ? new Uint8Array(new SharedArrayBuffer(1)) : null;
    python = {worker: new Worker(code), interrupts};
  }
  const {worker, interrupts} = python;
  python.end = () => {
    worker.terminate();
    python = null;
    for (const cell of cells) cell.ran = null;
  };
  const fail = (text) => {
    python.end();
    reject(new Error(text));
  };
  let asked = false;
  python.stop = () => {
    if (SHARED && python.begun && !asked) {
      asked = true;
      interrupts[0] = 2; // what Ctrl-C is to Python
    } else fail("Stopped, and Python with it: what cells have defined is lost. "
      + "The next run begins anew, with the cells above it.");
  };
  worker.onerror = ({message}) => fail(`Python did not start: ${message}`);
  worker.onmessage = ({data}) => {
    if (data.kind === "failed") fail(`Python did not start: ${data.text}`);
    else if (data.kind === "begun") python.begun = true;
    else if (data.kind === "done") resolve(data.right);
    else hear(data);
  };
  worker.postMessage({interrupts, ...question});
});

class Cell {
  constructor(element, k) {
    this.element = element;
    this.place = `cell ${k + 1}`;
    this.input = element.querySelector(".cell_input");
    this.before = element.querySelector(".cell_output");
    this.original = element.querySelector("pre").textContent.replace(/\n$/, "");
    this.text = this.original;
    this.ran = null; // the text that Python has run
    const button = (name, click) => {
      const one = make("button", {type: "button", textContent: name, onclick: click});
      one.setAttribute("aria-label", `${name} ${this.place}`);
      return one;
    };
    this.buttons = {
      run: button("Run", () => run(this)),
      stop: button("Stop", () => python?.stop()),
      edit: button("Edit", () => this.edit().focus()),
      reset: button("Reset", () => this.reset()),
    };
    this.status = make("span", {role: "status"});
    this.output = make("div", {className: "live-output", hidden: true});
    this.output.setAttribute("aria-live", "polite");
    this.bar = make("div", {className: "live-bar"}, ...Object.values(this.buttons),
      make("span", {textContent: this.place}), this.status);
    this.input.append(this.bar);
    this.input.after(this.output);
    this.update();
  }

  update(running = false) {
    const {run, stop, edit, reset} = this.buttons;
    const focus = document.activeElement;
    run.hidden = running;
    stop.hidden = !running;
    edit.hidden = Boolean(this.editor) || this.element.matches(".live-locked");
    reset.hidden = running || (this.text === this.original && this.output.hidden);
    if (focus === run || focus === stop) (running ? stop : run).focus();
    else if (focus === edit || focus === reset) (this.editor ?? run).focus();
  }

  edit() {
    if (!this.editor) {
      this.editor = make("textarea", {value: this.text, spellcheck: false,
        rows: this.text.split("\n").length + 1, autocapitalize: "off"});
      this.editor.setAttribute("aria-label", `Code of ${this.place}`);
      this.editor.addEventListener("input", () => this.write(this.editor.value));
      this.editor.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !(event.shiftKey || event.ctrlKey)) return;
        event.preventDefault();
        run(this);
      });
      this.input.firstElementChild.hidden = true;
      this.bar.before(this.editor);
      this.update();
    }
    return this.editor;
  }

  write(text) {
    this.text = text;
    if (this.editor && this.editor.value !== text) this.editor.value = text;
    if (this.editor) this.editor.rows = text.split("\n").length + 1;
    this.update();
    this.element.dispatchEvent(new Event("live-write", {bubbles: true}));
  }

  reset() {
    this.output.hidden = true;
    this.output.replaceChildren();
    if (this.before) this.before.hidden = false;
    this.status.textContent = "";
    this.write(this.original);
  }

  clear() {
    this.output.replaceChildren();
    this.output.hidden = false;
    if (this.before) this.before.hidden = true;
  }

  // Show what a run says; text goes on where text was.
  show({kind, ...what}) {
    if (kind === "text" || kind === "error") {
      let last = this.output.lastElementChild;
      if (kind === "error" || last?.className !== "live-text") {
        last = make("pre", {className: `live-${kind}`, tabIndex: 0});
        this.output.append(last);
      }
      last.append(what.text);
    } else {
      const [drawn, words] = (kind === "line" ? line : picture)(what);
      drawn.setAttribute("role", "img");
      drawn.setAttribute("aria-label", words);
      const caption = make("figcaption", {textContent: words});
      caption.setAttribute("aria-hidden", "true");
      this.output.append(make("figure", {}, drawn, caption));
    }
  }

  // Run this cell alone; say whether it went well.
  async execute() {
    const source = this.text;
    this.clear();
    this.update(true);
    this.status.textContent = python?.begun ? "Running …" : LOADING;
    try {
      const right = await ask({source, place: this.place}, (what) => {
        this.status.textContent = "Running …";
        this.show(what);
      });
      this.ran = right ? source : null;
      this.status.textContent = right ? "Done." : "An error.";
      return right;
    } catch (problem) {
      this.status.textContent = "";
      this.show({kind: "error", text: problem.message});
      throw problem;
    } finally {
      this.update();
    }
  }
}

const cells = [...document.querySelectorAll(".tag_run-here")].map((e, k) => new Cell(e, k));

// Run a cell, after those above it that have not run as they stand.
let busy = false;
const run = async (cell) => {
  if (busy) return;
  busy = true;
  try {
    for (const above of cells.slice(0, cells.indexOf(cell))) {
      if (above.ran === above.text || above.element.matches(".live-check")) continue;
      if (!(await above.execute()) && !above.element.matches(".live-answer")) {
        cell.status.textContent = `Not run: see ${above.place} above.`;
        return;
      }
    }
    await cell.execute();
  } catch {
    // The cell that was running has said it.
  } finally {
    busy = false;
  }
};
globalThis.live = {cells, make};
}

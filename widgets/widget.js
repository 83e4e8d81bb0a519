// What the widgets share: widget(tag, spec) makes a custom element of a description.
//
//   size: [width, height] of the picture; alt: what it is a picture of
//   inputs: by name, {label, value, min, max, step, show} for a slider, where show(value)
//     is its text, or {label, value, choices: {value: text}}; `when(values)` may say
//     whether an input plays a part
//   draw(values, data) returns the picture, say(values, data) the sentence under it
//   read(element) returns the data, if they stand in the page
//
// All but the element are pure functions, which the tests call without a browser.
{
const round = (v) => Math.round(v * 10) / 10;
const power = (k) =>
  `10${k < 0 ? "⁻" : ""}${[...`${Math.abs(k)}`].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}`;

// A number with so many digits: 0.0123, 12.3, 1.23·10⁻⁵.
const number = (x, digits = 3) => {
  const sign = x < 0 ? "−" : "", size = Math.abs(x);
  if (!Number.isFinite(size)) return `${sign}∞`;
  if (size === 0) return "0";
  const [mantissa, exponent] = size.toExponential(digits - 1).split("e");
  if (exponent >= -4 && exponent < 5)
    return sign + (+size.toPrecision(digits)).toFixed(Math.max(0, digits - 1 - exponent));
  return `${sign}${+mantissa === 1 ? "" : `${mantissa}·`}${power(+exponent)}`;
};

// Ten to the k, on a logarithmic slider.
const ten = (k) => (!Number.isInteger(k) ? number(10 ** k, 2)
  : Math.abs(k) < 3 ? `${10 ** k}` : power(k));

// A number as it is, with a minus that is as long as a plus.
const plain = (x) => `${x}`.replace("-", "−");

// Standard normal numbers, the same on every machine (mulberry32, Box and Muller).
const normals = (count, seed) => {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return Array.from({length: count}, () =>
    Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
};

const text = (x, y, words, attributes = "") =>
  `<text x="${round(x)}" y="${round(y)}" ${attributes}>${words}</text>`;

// A coordinate system. Each axis is {from, to, label, ticks}, a tick a value or
// [value, text]; what lies outside is drawn at the edge. The key names the lines.
const plot = (x, y, [width, height], key = []) => {
  const top = 26, rows = Math.ceil(key.length / 2);
  const box = {left: 46, right: width - 14, top, bottom: height - 40 - 18 * rows};
  const within = (v, {from, to}) => (Math.min(Math.max(v, from), to) - from) / (to - from);
  const X = (v) => round(box.left + within(v, x) * (box.right - box.left));
  const Y = (v) => round(box.bottom - within(v, y) * (box.bottom - box.top));
  const both = (tick) => (Array.isArray(tick) ? tick : [tick, number(tick, 1)]);
  const frame = [
    ...x.ticks.map(both).map(([v, words]) =>
      `<path class="grid" d="M${X(v)} ${box.top}V${box.bottom}"/>${
        text(X(v), box.bottom + 16, words, 'text-anchor="middle"')}`),
    ...y.ticks.map(both).map(([v, words]) =>
      `<path class="grid" d="M${box.left} ${Y(v)}H${box.right}"/>${
        text(box.left - 6, Y(v) + 4, words, 'text-anchor="end"')}`),
    text((box.left + box.right) / 2, box.bottom + 34, x.label, 'text-anchor="middle"'),
    text(2, top - 12, y.label),
    ...key.map(([words, name], k) => {
      const across = 8 + (k % 2) * 160, down = box.bottom + 54 + 18 * (k >> 1);
      return `<path class="line ${name}" d="M${across} ${down - 4}h22"/>${
        text(across + 28, down, words)}`;
    }),
  ].join("");
  const line = (points, name) =>
    `<polyline class="line ${name}" points="${
      points.map(([a, b]) => `${X(a)},${Y(b)}`).join(" ")}"/>`;
  const dot = (a, b, name, r = 5) =>
    `<circle class="dot ${name}" cx="${X(a)}" cy="${Y(b)}" r="${r}"/>`;
  const upright = (v, name) =>
    `<path class="line ${name}" d="M${X(v)} ${box.top}V${box.bottom}"/>`;
  return {X, Y, box, frame, line, dot, upright};
};

const start = ({inputs}) =>
  Object.fromEntries(Object.entries(inputs).map(([name, {value}]) => [name, value]));

const picture = ({size, alt, draw}, values, data) =>
  `<svg viewBox="0 0 ${size.join(" ")}" role="img" aria-label="${alt}">${
    draw(values, data)}</svg>`;

const control = (tag, name, {label, value, choices, min, max, step}) => {
  const id = `${tag}-${name}`;
  if (choices)
    return `<fieldset><legend>${label}</legend>${Object.entries(choices).map(([key, words]) =>
      `<label><input type="radio" name="${id}" data-name="${name}" value="${key}"${
        key === value ? " checked" : ""}>${words}</label>`).join("")}</fieldset>`;
  return `<div class="slider"><label for="${id}">${label}</label>
<output for="${id}" aria-live="off"></output><input type="range" id="${id}" data-name="${
  name}" min="${min}" max="${max}" step="${step}" value="${value}"></div>`;
};

globalThis.widget = (tag, spec) => {
  widget.all[tag] = spec;
  customElements.define(tag, class extends HTMLElement {
    connectedCallback() {
      if (this.values) return; // only moved
      this.values = start(spec);
      this.data = spec.read?.(this);
      this.querySelector(".still")?.remove();
      const controls = Object.entries(spec.inputs).map(([name, input]) =>
        control(tag, name, input));
      this.insertAdjacentHTML("afterbegin", `<div class="controls">${controls.join("")
        }</div><div class="picture"></div><p class="sentence" aria-live="polite"></p>`);
      this.addEventListener("input", ({target}) => {
        const {name} = target.dataset;
        this.values[name] = target.type === "range" ? +target.value : target.value;
        this.show();
      });
      this.show();
    }

    show() {
      for (const [name, {show, when}] of Object.entries(spec.inputs)) {
        const slider = this.querySelector(`#${tag}-${name}`);
        if (!slider) continue;
        const words = show(this.values[name]);
        slider.disabled = when ? !when(this.values) : false;
        slider.setAttribute("aria-valuetext", words);
        slider.previousElementSibling.textContent = words;
      }
      this.querySelector(".picture").innerHTML = picture(spec, this.values, this.data);
      this.querySelector(".sentence").textContent = spec.say(this.values, this.data);
    }
  });
};

// The texts of a table's cells, row by row.
const table = (element) => [...element.querySelectorAll("tr")].map((row) =>
  [...row.cells].map((cell) => cell.textContent.trim()));

Object.assign(widget, {all: {}, number, ten, plain, power, normals, text, plot, start, picture, table});
}

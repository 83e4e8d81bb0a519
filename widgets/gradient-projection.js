// <gradient-projection>: what batch norm leaves of a gradient, with two or three samples.
{
const {number, plain, text} = widget;
const EPS = 1e-5, X = {2: [1, 3], 3: [1, 3, 8]};

const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const sum = (a) => a.reduce((total, v) => total + v, 0);

// The normalised batch, d's parts along 1 and along x̂, and what is left: s dx.
const project = (d) => {
  const x = X[d.length], M = d.length, mean = sum(x) / M;
  const s = Math.sqrt(dot(x.map((v) => v - mean), x.map((v) => v - mean)) / M + EPS);
  const xhat = x.map((v) => (v - mean) / s);
  const one = sum(d) / M, along = dot(d, xhat) / M;
  const left = d.map((v, i) => v - one - along * xhat[i]);
  return {s, xhat, one, along, left, dx: left.map((v) => v / s)};
};
const gradient = ({M, d1, d2, d3}) => (M === "2" ? [d1, d2] : [d1, d2, d3]);
const shares = (d) => {
  const {xhat, one, left} = project(d), all = dot(d, d);
  return [(one ** 2 * d.length) / all, dot(d, xhat) ** 2 / dot(xhat, xhat) / all,
    dot(left, left) / all];
};

// Where a vector is seen: two samples flat, three from obliquely above the plane of
// centred batches, which is turned about 1.
const view = (M, turn) => {
  if (M === "2") return ([a, b]) => [200 + 44 * a, 150 - 44 * b];
  const one = Array(3).fill(1 / Math.sqrt(3)), {xhat} = project([0, 0, 0]);
  const length = Math.sqrt(dot(xhat, xhat)), e1 = xhat.map((v) => v / length);
  const e2 = [one[1] * e1[2] - one[2] * e1[1], one[2] * e1[0] - one[0] * e1[2],
    one[0] * e1[1] - one[1] * e1[0]];
  const a = (turn * Math.PI) / 180, tilt = (28 * Math.PI) / 180;
  return (v) => {
    const p = dot(v, e1), q = dot(v, e2), up = dot(v, one);
    return [200 + 38 * (p * Math.cos(a) + q * Math.sin(a)),
      150 - 38 * ((-p * Math.sin(a) + q * Math.cos(a)) * Math.sin(tilt) + up * Math.cos(tilt))];
  };
};
const add = (a, b, factor = 1) => a.map((v, i) => v + factor * b[i]);
const at = (p) => p.map((v) => v.toFixed(1)).join(" ");
const arrow = (from, to, name) => {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]], length = Math.hypot(dx, dy);
  if (length < 3) return `<circle class="dot ${name}" cx="${from[0].toFixed(1)}" cy="${
    from[1].toFixed(1)}" r="4"/>`;
  const back = Math.min(9, length / 2) / length;
  const [bx, by] = [to[0] - dx * back, to[1] - dy * back], [nx, ny] = [dy, -dx].map((v) =>
    (v / length) * 4.5);
  return `<path class="line ${name}" d="M${at(from)}L${at([bx, by])}"/><path class="dot ${
    name}" d="M${at(to)}L${at([bx + nx, by + ny])}L${at([bx - nx, by - ny])}z"/>`;
};
const slider = (k, value) => ({label: `gradient d${"₁₂₃"[k]} of sample ${k + 1}`, min: -2,
  max: 2, step: 0.25, value, show: plain});

widget("gradient-projection", {
  size: [400, 300],
  alt: "The vectors 1, x̂, the gradient d at its tip, and what is left of d",
  inputs: {
    M: {label: "Samples in the batch", value: "3", choices: {2: "two, (1, 3)", 3: "three, (1, 3, 8)"}},
    d1: slider(0, 1.75),
    d2: slider(1, -0.5),
    d3: {...slider(2, 0.5), when: ({M}) => M === "3"},
    turn: {label: "turn the view", min: 0, max: 360, step: 15, value: 60, show: (v) => `${v}°`,
      when: ({M}) => M === "3"},
  },
  project,
  gradient,
  shares,
  draw(values) {
    const d = gradient(values), {xhat, one, left} = project(d), M = d.length;
    const see = view(values.M, values.turn), origin = Array(M).fill(0);
    const flat = d.map((v) => v - one); // without its part along 1
    const tips = [d, flat, left].map((v) => see(add(xhat, v)));
    const ring = M === 2
      ? `<path class="grid" d="M${at(see([-2.4, 2.4]))}L${at(see([2.4, -2.4]))}"/>${
        [xhat, xhat.map((v) => -v)].map((v) => `<circle class="dot" cx="${
          see(v)[0].toFixed(1)}" cy="${see(v)[1].toFixed(1)}" r="3"/>`).join("")}`
      : `<path class="band one" d="M${Array.from({length: 48}, (_, k) => {
        const turn = (k * Math.PI) / 24, other = [xhat[1] - xhat[2], xhat[2] - xhat[0],
          xhat[0] - xhat[1]].map((v) => v / Math.sqrt(3)); // x̂, a quarter turn about 1
        return at(see(add(xhat.map((v) => v * Math.cos(turn)), other, Math.sin(turn))));
      }).join("L")}z"/>`;
    // An arrow's name stands beyond its tip.
    const named = (from, to, words, name = "") => {
      const [[x0, y0], [x, y]] = [see(from), see(to)], length = Math.hypot(x - x0, y - y0) || 1;
      return text(x + ((x - x0) / length) * 9 * (1 + words.length / 3),
        y + ((y - y0) / length) * 14 + 5, words,
        `text-anchor="middle" class="${name}"`);
    };
    return ring + arrow(see(origin), see(Array(M).fill(M === 2 ? 1.6 : 1.2)), "")
      + named(origin, Array(M).fill(M === 2 ? 1.6 : 1.2), "1")
      + arrow(see(origin), see(xhat), "one") + named(xhat, origin, "x̂", "one")
      + `<path class="line aid dash" d="M${tips.map(at).join("L")}"/>`
      + arrow(see(xhat), tips[0], "two") + named(xhat, add(xhat, d), "d", "two")
      + arrow(see(xhat), tips[2], "three") + (M === 2 ? "" : named(xhat, add(xhat, left), "s dx", "three"));
  },
  say(values) {
    const d = gradient(values);
    if (dot(d, d) === 0) return "d is zero: there is nothing to project.";
    const [one, along, left] = shares(d), percent = (v) => `${Math.round(100 * v)} %`;
    const {dx} = project(d);
    const rest = d.length === 2
      ? "nothing is left: with two samples 1 and x̂ are all the directions there are"
      : left < 0.005 ? "nothing is left: d lies in the plane of 1 and x̂"
        : `${percent(left)} is left, dx = (${dx.map((v) => number(v, 2)).join(", ")})`;
    return `Of the squared length of d = (${d.map(plain).join(", ")}), ${
      percent(one)} lies along 1 and ${percent(along)} along x̂; ${rest}. ${d.length === 2
      ? "(ε leaves a hundred-thousandth of the part along x̂.)" : ""}`.trim();
  },
});
}

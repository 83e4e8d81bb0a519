// <loss-slice>: the loss along the gradient, with and without batch norm, measured.
{
const {number, plot} = widget;
const {looks, etas} = widget.slices, log = Math.log10;
const COLOURS = {plain: "two", normalised: "one"};

const median = (values) => values.map((v) => v ?? Infinity).sort((a, b) => a - b)[1];
// Medians over three seeds: the loss before the step and after it, and the decrease
// that the gradient promises, eta times its squared length.
const step = (name, k, e) => {
  const {start, slope, loss} = widget.slices[name];
  return {
    before: median(start[k]),
    after: median(loss[k].map((walk) => walk[e])),
    promised: median(slope[k].map((v) => etas[e] * v * v)),
  };
};

const named = (eta) => (eta >= 1 || Math.log2(eta) % 1 ? number(eta, 2) : `1/${1 / eta}`);

const SIZE = [360, 270];

widget("loss-slice", {
  size: SIZE,
  alt: "Loss against the length of a step along the gradient, for three seeds each",
  inputs: {
    k: {label: "training steps before", min: 0, max: looks.length - 1, step: 1, value: 3,
      show: (k) => `${looks[k]}`},
    e: {label: "step size η", min: 0, max: etas.length - 1, step: 1, value: 12,
      show: (e) => named(etas[e])},
  },
  step,
  draw({k, e}) {
    const axes = plot(
      {from: -7, to: 1, label: "step size η", ticks: [-6, -4, -2, 0].map((v) =>
        [v, v < 0 ? `1/${2 ** -v}` : "1"])},
      {from: -2.2, to: 3.4, label: "loss after a step along the gradient",
        ticks: [[-2, "0.01"], [-1, "0.1"], [0, "1"], [1, "10"], [2, "100"], [3, "1000"]]}, SIZE,
      [["plain", "two"], ["batch norm", "one"]]);
    const curves = Object.entries(COLOURS).map(([name, colour]) =>
      widget.slices[name].loss[k].map((walk) => axes.line(etas.map((eta, i) =>
        [Math.log2(eta), log(walk[i] ?? 1e9)]), `${colour} thin`)).join("")
      + axes.line(etas.map((eta, i) => [Math.log2(eta), log(step(name, k, i).after)]), colour)
      + axes.dot(Math.log2(etas[e]), log(step(name, k, e).after), colour, 6));
    return axes.frame + curves.join("");
  },
  say({k, e}) {
    const [plain, normalised] = Object.keys(COLOURS).map((name) => {
      const {before, after, promised} = step(name, k, e);
      return `from ${number(before, 2)} to ${number(after, 2)}, where the gradient promises a `
        + `decrease of ${number(promised, 2)}`;
    });
    return `${k === 0 ? "Before training" : `After ${looks[k]} steps of training`}, a step of η = ${
      named(etas[e])} takes the plain network's loss ${plain}; with batch norm, ${normalised}.`;
  },
});
}

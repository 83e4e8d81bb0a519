// <eps-gain>: which variances eps counts as zero.
{
const {number, ten, power, text, plot} = widget;

// Standard deviation of the normalised values where eps stands inside the root; outside.
const inside = (v, eps) => Math.sqrt(v / (v + eps));
const outside = (v, eps) => Math.sqrt(v) / (Math.sqrt(v) + eps);

const SIZE = [360, 250];
const GRID = Array.from({length: 57}, (_, k) => -12 + k / 4);

widget("eps-gain", {
  size: SIZE,
  alt: "Standard deviation of x̂ against the variance of x, on logarithmic axes",
  inputs: {
    v: {label: "variance v of the feature", min: -12, max: 2, step: 0.5, value: -3,
      show: ten},
    eps: {label: "ε", value: "-5", choices: {"-8": "10⁻⁸", "-5": "10⁻⁵ (PyTorch)",
      "-3": "10⁻³ (Keras)"}},
  },
  inside,
  outside,
  draw({v, eps}) {
    const axes = plot(
      {from: -12, to: 2, label: "variance of x", ticks: [-12, -8, -4, 0].map((k) => [k, power(k)])},
      {from: -5, to: 0.3, label: "standard deviation of x̂",
        ticks: [-4, -2, 0].map((k) => [k, power(k)])}, SIZE, [["ε inside the root", "one"], ["outside", "two dash"]]);
    const curve = (f, name) =>
      axes.line(GRID.map((k) => [k, Math.log10(f(10 ** k, 10 ** eps))]), name);
    return axes.frame + curve(outside, "two dash") + curve(inside, "one")
      + axes.upright(+eps, "aid")
      + text(axes.X(+eps) + 4, axes.box.bottom - 6, "v = ε")
      + axes.dot(v, Math.log10(inside(10 ** v, 10 ** eps)), "one", 6);
  },
  say({v, eps}) {
    const sd = inside(10 ** v, 10 ** eps), ratio = v - eps;
    const size = ratio === 0 ? "equal to ε" : ratio > 0
      ? `${ten(ratio)} times ε` : `ε divided by ${ten(-ratio)}`;
    const verdict = ratio >= 2 ? "ε hardly matters, and the feature is normalised"
      : ratio > -2 ? "ε takes part of the spread away"
        : `the feature counts as constant, and is multiplied by nearly 1/√ε = ${
          ten(-eps / 2)}`;
    return `This variance is ${size}: ${verdict}. x̂ has the standard deviation ${
      number(sd)}; with ε outside the root it would be ${
      number(outside(10 ** v, 10 ** eps))}.`;
  },
});
}

// <lost-digits>: E[x²] − E[x]² in float32, computed here and now.
{
const {number, ten, power, normals, plot} = widget;
const COUNT = 1024, U = 2 ** -24, round = Math.fround;
// One draw; the errors of others scatter more about the prediction, now and then far below.
const Z = normals(COUNT, 62);

// Sum as a tree, rounding each sum: pairs of neighbours, then pairs of pairs.
const total = (terms, to) => {
  while (terms.length > 1)
    terms = Array.from({length: terms.length / 2}, (_, i) => to(terms[2 * i] + terms[2 * i + 1]));
  return terms[0];
};
const values = (ratio) => Z.map((z) => round(z + ratio));
const onePass = (x, to = round) => {
  const mean = to(total(x, to) / COUNT);
  return to(to(total(x.map((v) => to(v * v)), to) / COUNT) - to(mean * mean));
};
const twoPasses = (x, to = round) => {
  const mean = to(total(x, to) / COUNT);
  return to(total(x.map((v) => to(to(v - mean) * to(v - mean))), to) / COUNT);
};
const exact = (x) => twoPasses(x, (v) => v); // in float64

const SIZE = [360, 270];
const GRID = Array.from({length: 21}, (_, k) => k / 4);
const error = (method, ratio) => {
  const x = values(ratio), truth = exact(x);
  return Math.abs(method(x) - truth) / truth;
};
const curve = (method) => GRID.map((k) => [k, Math.log10(error(method, 10 ** k) + 1e-9)]);
let curves;

const off = (e) => (e >= 1 ? "no digit of it right" : `relative error ${number(e, 1)}`);

widget("lost-digits", {
  size: SIZE,
  alt: "Relative error of the variance against mean over standard deviation",
  inputs: {
    k: {label: "mean / standard deviation", min: 0, max: 5, step: 0.25, value: 3,
      show: ten},
  },
  values,
  onePass,
  twoPasses,
  exact,
  draw({k}) {
    curves ??= [curve(onePass), curve(twoPasses)];
    const axes = plot(
      {from: 0, to: 5, label: "mean / standard deviation",
        ticks: [0, 1, 2, 3, 4, 5].map((t) => [t, power(t)])},
      {from: -9, to: 3, label: "relative error of the variance, 1024 values in float32",
        ticks: [-9, -6, -3, 0, 3].map((t) => [t, power(t)])}, SIZE,
      [["one pass", "two"], ["two passes", "one"], ["predicted, one pass", "aid dash"]]);
    const at = (points) => points.find(([t]) => t === k)[1];
    return axes.frame
      + axes.line(GRID.map((t) => [t, Math.log10(U) + 2 * t]), "aid dash")
      + axes.line(curves[1], "one") + axes.line(curves[0], "two")
      + axes.dot(k, at(curves[1]), "one", 6) + axes.dot(k, at(curves[0]), "two", 6);
  },
  say({k}) {
    const x = values(10 ** k), truth = exact(x), one = onePass(x), two = twoPasses(x);
    const wrong = Math.abs(one - truth) / truth;
    const verdict = one < 0 ? "negative, so that its root is not a number" : off(wrong);
    return `The variance is ${number(truth, 5)}. In one pass float32 finds ${
      number(one, 5)}: ${verdict}. Two passes find ${number(two, 5)}, ${
      off(Math.abs(two - truth) / truth)}. The prediction for one pass, u(μ/σ)², is ${
      number(U * 100 ** k, 1)}.`;
  },
});
}

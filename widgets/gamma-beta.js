// <gamma-beta>: a skewed feature, normalised, scaled and shifted.
{
const {plain, text} = widget;
const EPS = 1e-5, COUNT = 24;

const moments = (x) => {
  const mean = x.reduce((a, b) => a + b) / x.length;
  return [mean, x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length];
};
const normalise = (x, gamma = 1, beta = 0) => {
  const [mean, v] = moments(x);
  return x.map((value) => (gamma * (value - mean)) / Math.sqrt(v + EPS) + beta);
};
// Quantiles of an exponential distribution, with mean 3 and standard deviation 2.
const X = normalise(Array.from({length: COUNT}, (_, i) => -Math.log(1 - (i + 0.5) / COUNT)),
  2, 3);

const across = (v) => 180 + v * 12.6, ROWS = [44, 114, 184];

widget("gamma-beta", {
  size: [360, 236],
  alt: "Values of a feature, the same normalised, and the same after γ and β, on one axis",
  inputs: {
    gamma: {label: "scale γ", min: -3, max: 3, step: 0.5, value: -2,
      show: plain},
    beta: {label: "shift β", min: -4, max: 4, step: 0.5, value: 1, show: plain},
  },
  x: X,
  normalise,
  moments,
  draw({gamma, beta}) {
    const rows = [X, normalise(X), normalise(X, gamma, beta)];
    const links = [0, 1].flatMap((k) => X.map((_, i) =>
      `<path class="thin ${["one", "two"][k]}" d="M${across(rows[k][i]).toFixed(1)} ${
        ROWS[k] + 6}L${across(rows[k + 1][i]).toFixed(1)} ${ROWS[k + 1] - 6}"/>`));
    const marks = rows.flatMap((row, k) => {
      const [mean, v] = moments(row), sd = Math.sqrt(v);
      return [`<path class="grid" d="M8 ${ROWS[k]}H352"/>`,
        text(8, ROWS[k] - 10, ["x", "x̂", "y"][k]),
        ...row.map((value) => `<circle class="dot ${["one", "two", "three"][k]}" cx="${
          across(value).toFixed(1)}" cy="${ROWS[k]}" r="3.2"/>`),
        `<path class="line" d="M${across(mean - sd).toFixed(1)} ${ROWS[k] - 12}H${
          across(mean + sd).toFixed(1)}M${across(mean).toFixed(1)} ${ROWS[k] - 17}v10"/>`];
    });
    const ticks = [-12, -8, -4, 0, 4, 8, 12].map((v) =>
      text(across(v), 218, plain(v), 'text-anchor="middle"'));
    return links.join("") + marks.join("") + ticks.join("");
  },
  say({gamma, beta}) {
    const [mean, v] = moments(X);
    if (gamma === 0)
      return `With γ = 0 every output is β = ${plain(beta)}: nothing of x is left.`;
    if (gamma === 1 && beta === 0)
      return "With γ = 1 and β = 0, as at the start of training, y is x̂: mean 0, "
        + "standard deviation 1.";
    if (Math.abs(gamma - Math.sqrt(v)) < 0.01 && Math.abs(beta - mean) < 0.01)
      return `With γ = ${plain(gamma)} and β = ${plain(beta)}, the standard `
        + "deviation and the mean of x, y is x again: for this batch, not for the next.";
    return `y has the mean β = ${plain(beta)} and the standard deviation |γ| = ${
      Math.abs(gamma)}; ${gamma > 0 ? "the shape is that of x"
      : "the shape is that of x in a mirror: the largest x gives the smallest y"}.`;
  },
});
}

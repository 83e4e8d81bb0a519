// <batch-noise>: how far the statistics of a batch stray, for Gaussian values.
{
const {number, normals, text, plot} = widget;
const BATCHES = 48, LARGEST = 1024;
const size = (k) => 2 ** k;

// Exact for independent Gaussian values with standard deviation 1.
const sdOfMean = (M) => 1 / Math.sqrt(M);
const meanOfVariance = (M) => (M - 1) / M;
const sdOfVariance = (M) => Math.sqrt(2 * (M - 1)) / M;

const pool = normals(BATCHES * LARGEST, 8);
const batch = (b, M) => pool.slice(b * LARGEST, b * LARGEST + M);
const statistics = (M) => Array.from({length: BATCHES}, (_, b) => {
  const x = batch(b, M), mean = x.reduce((a, v) => a + v, 0) / M;
  return [mean, x.reduce((a, v) => a + (v - mean) ** 2, 0) / M];
});
const spread = (values) => {
  const mean = values.reduce((a, v) => a + v, 0) / values.length;
  return Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length);
};

const WIDE = [360, 174];
const panel = (values, middle, sd, y) => {
  const axes = plot({from: 0, to: BATCHES + 1, label: "", ticks: []}, y, WIDE);
  const {box, X, Y} = axes;
  return `${axes.frame}<path class="band one" d="M${box.left} ${Y(middle - sd)}H${
    box.right}V${Y(middle + sd)}H${box.left}z"/><path class="line one dash" d="M${box.left} ${
    Y(middle)}H${box.right}"/>${
    values.map((v, b) => axes.dot(b + 1, v, "two", 2.6)).join("")}`;
};

widget("batch-noise", {
  size: [360, 312],
  alt: "Mean and variance of 48 batches, with a band of one standard deviation",
  inputs: {
    k: {label: "batch size M", min: 1, max: 10, step: 1, value: 5,
      show: (k) => `${size(k)} values`},
  },
  batch,
  statistics,
  sdOfMean,
  meanOfVariance,
  sdOfVariance,
  draw({k}) {
    const M = size(k), found = statistics(M);
    const means = panel(found.map(([mean]) => mean), 0, sdOfMean(M),
      {from: -2, to: 2, label: "batch mean, in units of σ", ticks: [-2, -1, 0, 1, 2]});
    const variances = panel(found.map(([, v]) => v), meanOfVariance(M), sdOfVariance(M),
      {from: 0, to: 4, label: "batch variance, in units of σ²", ticks: [0, 1, 2, 3, 4]});
    return `${means}<g transform="translate(0 148)">${variances}</g>${
      text(200, 306, "48 batches, one dot each", 'text-anchor="middle"')}`;
  },
  say({k}) {
    const M = size(k), found = statistics(M);
    return `With ${M} values in a batch, means stray by ${
      number(sdOfMean(M), 2)} σ and variances by ${number(sdOfVariance(M), 2)} σ² around ${
      number(meanOfVariance(M), 3)} σ² (one standard deviation). In these 48 batches it is ${
      number(spread(found.map(([mean]) => mean)), 2)} σ and ${
      number(spread(found.map(([, v]) => v)), 2)} σ². ${k === 10
      ? "A quarter of the batch would double the noise of the mean."
      : k === 1 ? "Half of the variance is missing on average."
        : "Four times the batch halves the noise of the mean."}`;
  },
});
}

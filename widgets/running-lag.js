// <running-lag>: the error of a running mean, split into start, and lag and noise.
{
const {normals, plot} = widget;
const MOMENTA = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const STEPS = 200, NOISE = 0.25, START = 0;

// The batch mean that today's weights would give: it moves for 100 steps, then rests.
const truth = (t) => 2 + 2 * Math.min(t / 100, 1);
const noise = normals(STEPS, 3);
const means = noise.map((z, k) => truth(k + 1) + NOISE * z); // of the batches 1 to STEPS

const running = (m) => {
  const r = [START];
  for (const mean of means) r.push((1 - m) * r.at(-1) + m * mean);
  return r;
};
const memory = (m, t) => (1 - m) ** t * (START - truth(t));
const repaired = (m, t) => (running(m)[t] - (1 - m) ** t * START) / (1 - (1 - m) ** t);

const SIZE = [360, 270];

widget("running-lag", {
  size: SIZE,
  alt: "Running mean and batch mean of today's weights against the training step",
  inputs: {
    k: {label: "momentum m", min: 0, max: MOMENTA.length - 1, step: 1, value: 1,
      show: (k) => `${MOMENTA[k]}`},
    t: {label: "training step t", min: 5, max: STEPS, step: 5, value: 60, show: (t) => `${t}`},
  },
  momenta: MOMENTA,
  means,
  truth,
  running,
  memory,
  repaired,
  draw({k, t}) {
    const m = MOMENTA[k], r = running(m), steps = r.map((_, s) => s);
    const axes = plot(
      {from: 0, to: STEPS, label: "training step t", ticks: [0, 50, 100, 150, 200].map((v) => [v, v])},
      {from: 0, to: 5, label: "mean of a channel", ticks: [0, 1, 2, 3, 4, 5]}, SIZE,
      [["today's weights", ""], ["running mean", "one"], ["start removed", "two dash"]]);
    return axes.frame + axes.upright(t, "aid")
      + axes.line(steps.map((s) => [s, truth(s)]), "")
      + axes.line(steps.slice(5).map((s) => [s, repaired(m, s)]), "two dash")
      + axes.line(steps.map((s) => [s, r[s]]), "one")
      + axes.dot(t, repaired(m, t), "two") + axes.dot(t, r[t], "one", 6);
  },
  say({k, t}) {
    const m = MOMENTA[k], error = running(m)[t] - truth(t), start = memory(m, t);
    const part = (v) => (Math.abs(v) < 0.005 ? "0.00"
      : `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(2)}`);
    return `After ${t} steps with momentum ${m} the running mean is ${
      running(m)[t].toFixed(2)}, where today's weights would give ${
      truth(t).toFixed(2)}. Of the error ${part(error)}, ${
      part(start)} is memory of the start and ${part(error - start)} lag and noise. ${
      m === 1 ? "Only the last batch counts." : `The window is about ${
        Math.round(1 / m)} steps.`}`;
  },
});
}

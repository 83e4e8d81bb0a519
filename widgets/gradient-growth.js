// <gradient-growth>: squared gradients at initialisation, by theory, wide ReLU networks.
{
const {number, power, plot} = widget;
const BATCHES = [4, 5, 6, 8, 12, 16, 32, 64, 128, 256];

// Growth a layer with batch norm (Yang and others, theorem 8), and in all with skips.
const rate = (B) => {
  const c = -1 / (B - 1), angle = Math.PI - Math.acos(c);
  const J = (Math.sqrt(1 - c * c) + angle * c) / Math.PI;
  return ((B - 1 + angle / Math.PI) / (1 - J) - 1) / (B - 3);
};
const plain = (B, layers) => rate(B) ** layers;
const skips = (layers) => {
  let product = 1;
  for (let k = 0; k < layers; k++) product *= 1 + 1 / (1 + (1 - 1 / Math.PI) * k);
  return product;
};

const SIZE = [360, 280], LAYERS = 50, TOP = 25;

widget("gradient-growth", {
  size: SIZE,
  alt: "Growth of squared gradients against the number of layers, on a logarithmic axis",
  inputs: {
    layers: {label: "layers", min: 1, max: LAYERS, step: 1, value: 30, show: (v) => `${v}`},
    k: {label: "batch size B", min: 0, max: BATCHES.length - 1, step: 1, value: 8,
      show: (k) => `${BATCHES[k]} examples`},
  },
  batches: BATCHES,
  rate,
  plain,
  skips,
  draw({layers, k}) {
    const B = BATCHES[k], depths = Array.from({length: LAYERS + 1}, (_, l) => l);
    const axes = plot(
      {from: 0, to: LAYERS, label: "layers", ticks: [0, 10, 20, 30, 40, 50].map((v) => [v, v])},
      {from: 0, to: TOP, label: "growth of the squared gradient",
        ticks: [0, 5, 10, 15, 20, 25].map((v) => [v, power(v)])}, SIZE,
      [["batch norm", "two"], ["no batch norm", "three"], ["batch norm and skips, large batch", "one"]]);
    const curve = (f, name) => axes.line(depths.map((l) => [l, Math.log10(f(l))]), name)
      + axes.dot(layers, Math.log10(f(layers)), name, 6);
    return axes.frame + curve(() => 1, "three") + curve(skips, "one")
      + curve((l) => plain(B, l), "two");
  },
  say({layers, k}) {
    const B = BATCHES[k], over = layers === 1 ? "one layer" : `${layers} layers`;
    return `By theory, at initialisation and with batches of ${B}: batch norm multiplies `
      + `the squared gradient by ${number(rate(B))} a layer, over ${over} by ${
        number(plain(B, layers), 2)}; with skips it would be ${
        number(skips(layers), 2)}, and with He weights and no batch norm 1.`;
  },
});
}

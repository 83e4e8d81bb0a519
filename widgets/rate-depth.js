// <rate-depth>: the table it holds, of the largest learning rates that train, drawn.
{
const {plot, table} = widget;
const RATES = Array.from({length: 9}, (_, k) => 2 ** (k - 5));
const named = (rate) => (rate < 1 ? `1/${1 / rate}` : `${rate}`);

// Rows of depth, plain, batch norm: "median (least–greatest)". The rates that were tried
// are powers of two, which the table rounds.
const snap = (words) => (+words === 0 ? 0 : 2 ** Math.round(Math.log2(words)));
const parse = ([, ...rows]) => rows.map(([depth, plain, normalised]) => ({
  depth: +depth,
  plain: plain.match(/[\d.]+/g).map(snap),
  normalised: normalised.match(/[\d.]+/g).map(snap),
}));
// What [median, least, greatest] of three seeds says about a rate.
const verdict = ([, least, greatest], rate) =>
  (rate <= least ? "bears it" : rate <= greatest ? "bears it on some seeds" : "does not bear it");

const SIZE = [360, 270], log = Math.log2;

widget("rate-depth", {
  size: SIZE,
  alt: "Largest learning rate that trains against the number of hidden layers",
  inputs: {
    d: {label: "hidden layers", min: 0, max: 4, step: 1, value: 3, show: (d) => `${2 ** d}`},
    k: {label: "learning rate η", min: 0, max: RATES.length - 1, step: 1, value: 4,
      show: (k) => named(RATES[k])},
  },
  parse,
  verdict,
  rates: RATES,
  read: (element) => parse(table(element)),
  draw({d, k}, rows) {
    const axes = plot(
      {from: -0.2, to: 4.2, label: "hidden layers", ticks: rows.map((_, i) => [i, 2 ** i])},
      {from: -5.5, to: 3.5, label: "learning rate η; lines: the largest that trains",
        ticks: [-5, -3, -1, 1, 3].map((v) => [v, named(2 ** v)])}, SIZE,
      [["plain", "two"], ["batch norm", "one"]]);
    const {X, Y} = axes;
    const curve = (key, name) => axes.line(rows.map((row, i) => [i, log(row[key][0])]), name)
      + rows.map((row, i) => `<path class="line ${name}" d="M${X(i)} ${Y(log(row[key][1]))}V${
        Y(log(row[key][2]))}"/>${axes.dot(i, log(row[key][0]), name, 3)}`).join("");
    return axes.frame + curve("plain", "two") + curve("normalised", "one")
      + axes.dot(d, log(RATES[k]), "three", 6);
  },
  say({d, k}, rows) {
    const {depth, plain, normalised} = rows[d], rate = RATES[k];
    return `${depth} hidden ${depth === 1 ? "layer" : "layers"}, η = ${
      named(rate)}: the plain network ${verdict(plain, rate)} (its largest rate is ${
      named(plain[0])}), the one with batch norm ${verdict(normalised, rate)} (${
      named(normalised[0])}).`;
  },
});
}

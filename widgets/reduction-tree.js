// <reduction-tree>: eight lanes merge their moments, step by step.
{
const {number, text} = widget;
const VALUES = [3, 1, 4, 1, 5, 9, 2, 6], LANES = VALUES.length, STEPS = 3;

// Moments are [mean, biased variance, count].
const merge = ([ma, va, na], [mb, vb, nb]) => {
  const n = na + nb, delta = mb - ma;
  return [ma + (delta * nb) / n, (na * va + nb * vb) / n + delta ** 2 * ((na * nb) / n ** 2), n];
};

// The lane that lane i hears at a step, or none. A shuffle from beyond the last lane
// gives a lane its own value back.
const stride = {tree: (step) => 2 ** (step - 1), down: (step) => LANES / 2 ** step,
  xor: (step) => LANES / 2 ** step};
const source = {
  tree: (i, step) => (i % 2 ** step === 0 ? i + stride.tree(step) : null),
  down: (i, step) => (i + stride.down(step) < LANES ? i + stride.down(step) : i),
  xor: (i, step) => i ^ stride.xor(step),
};
// A lane counts while its moments are those of a set of values, none of them twice.
const useful = {
  tree: (i, step) => i % 2 ** step === 0,
  down: (i, step) => i < LANES / 2 ** step,
  xor: () => true,
};
const after = (way, step) => {
  if (step === 0) return VALUES.map((v) => [v, 0, 1]);
  const before = after(way, step - 1);
  return before.map((own, i) => {
    const other = source[way](i, step);
    return other === null ? own : merge(own, before[other]);
  });
};

const across = (i) => 30 + i * 43, down = (step) => 44 + step * 66;
const places = (s) => (s === 1 ? "one place" : `${s} places`);
const SAID = {
  tree: (s) => `each lane that goes on reads the one ${places(s)} to its right`,
  down: (s) => `with __shfl_down_sync each lane hears the one ${places(s)} to its right`,
  xor: (s) => `with __shfl_xor_sync lanes ${places(s)} apart hear each other`,
};

widget("reduction-tree", {
  size: [360, 272],
  alt: "Rows of eight lanes, one row a step, with arrows from lane to lane",
  inputs: {
    step: {label: "step", min: 0, max: STEPS, step: 1, value: STEPS,
      show: (step) => `${step} of ${STEPS}`},
    way: {label: "How lanes meet", value: "tree", choices: {tree: "Tree in shared memory",
      down: "Warp shuffle, down", xor: "Warp shuffle, butterfly"}},
  },
  merge,
  after,
  useful: (way, step) => VALUES.map((_, i) => useful[way](i, step)),
  draw({step, way}) {
    const rows = Array.from({length: step + 1}, (_, s) => after(way, s).map(([mean, , n], i) => {
      const good = useful[way](i, s), x = across(i), y = down(s);
      const from = s === 0 ? null : source[way](i, s);
      const heard = from === null || from === i || !good ? ""
        : `<path class="line two" d="M${across(from)} ${y - 47}L${x + Math.sign(from - i) * 5} ${
          y - 17}"/><circle class="dot two" cx="${x + Math.sign(from - i) * 5}" cy="${y - 17}" r="3"/>`;
      return `${heard}<rect class="${good ? "band one" : "grid"}" x="${x - 19}" y="${
        y - 14}" width="38" height="28" rx="4"/>${good
        ? text(x, y + 5, number(mean, n === 1 ? 1 : 3), 'text-anchor="middle"') : ""}`;
    }).join(""));
    return `${text(8, 16, "mean in each lane")}${rows.join("")}`;
  },
  say({step, way}) {
    if (step === 0)
      return "Each of the eight lanes holds one value: its mean is the value, its variance "
        + "0, its count 1.";
    const [mean, v, n] = after(way, step)[0];
    const count = VALUES.filter((_, i) => useful[way](i, step)).length;
    const rest = count === LANES ? "every lane holds moments that count"
      : `${count} of 8 lanes ${count === 1 ? "holds" : "hold"} moments that count`;
    return `Step ${step}: ${SAID[way](stride[way](step))}. Lane 0 now has ${n} values, mean ${
      number(mean)}, variance ${number(v)}; ${rest}.${step === STEPS
      ? " Eight values took 3 steps, where one thread takes 7 merges." : ""}`;
  },
});
}

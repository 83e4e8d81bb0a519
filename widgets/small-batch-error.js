// <small-batch-error>: the table it holds, drawn, one batch size at a time.
{
const {plot, table} = widget;
const NAMES = ["batch norm", "group norm", "batch renorm"];

// Rows of "median (least–greatest)". Where a column stands for two sizes, the first is
// that of the last row, where only the statistics come from so few.
const parse = ([[, ...sizes], ...rows]) => rows.map(([, ...cells], k) => cells.map((cell, c) => {
  const two = sizes[c].match(/\d+/g).map(Number);
  const [median, least, greatest] = cell.match(/[\d.]+/g).map(Number);
  return {size: k === rows.length - 1 ? two[0] : two.at(-1), median, least, greatest};
}));

const SIZE = [360, 290], log = Math.log10;
const COLOURS = ["one", "three", "two", "one dash"];

widget("small-batch-error", {
  size: SIZE,
  alt: "Test error against the number of examples in the statistics, on logarithmic axes",
  inputs: {
    k: {label: "examples in the statistics", min: 0, max: 4, step: 1, value: 4,
      show: (k) => ["2", "4", "8", "16 or 32", "64 or 128"][k]},
  },
  parse,
  read: (element) => parse(table(element)),
  draw({k}, rows) {
    const axes = plot(
      {from: log(1.7), to: log(150), label: "examples in the statistics",
        ticks: [2, 4, 8, 16, 32, 64, 128].map((v) => [log(v), v])},
      {from: 0, to: 2, label: "test error, %; bars from the best to the worst seed",
        ticks: [1, 3, 10, 30, 100].map((v) => [log(v), v])}, SIZE,
      [...NAMES, "statistics alone"].map((words, r) => [words, COLOURS[r]]));
    const {X, Y} = axes;
    return axes.frame + rows.map((row, r) =>
      axes.line(row.map(({size, median}) => [log(size), log(median)]), COLOURS[r])
      + row.map(({size, median, least, greatest}, c) =>
        `<path class="line ${COLOURS[r].split(" ")[0]}" d="M${X(log(size))} ${
          Y(log(least))}V${Y(log(greatest))}"/>${
          axes.dot(log(size), log(median), COLOURS[r], c === k ? 6 : 2.5)}`).join("")).join("");
  },
  say({k}, rows) {
    const [batch, group, renorm, alone] = rows.map((row) => row[k]);
    const least = Math.min(batch.median, group.median, renorm.median);
    const best = NAMES.filter((_, r) => rows[r][k].median === least);
    return `Gradient and statistics from ${batch.size} examples: batch norm errs in ${
      batch.median} % of cases, group norm in ${group.median} %, batch renorm in ${
      renorm.median} %; ${best.join(" and ")} ${best.length > 1 ? "are" : "is"} best. `
      + `Gradient from 64 and statistics from ${alone.size}: batch norm, ${alone.median} %.`;
  },
});
}

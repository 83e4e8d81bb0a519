// <norm-cube>: which entries of an (N, C, H, W) array share their statistics.
// N = 3 examples, C = 4 channels, H = W = 4; groups of two channels.
{ // a block, so that no name meets those of other scripts
const N = 3, C = 4, H = 4, W = 4, P = H * W;

// For each norm: its name, its axes in NumPy, the set that entry [n, c, p] is in, and
// that set in words. Two entries share statistics if they are in the same set.
const place = (n, p) => `at row ${(p >> 2) + 1}, column ${(p % W) + 1} of example ${n + 1}`;
const NORMS = {
  batch: ["Batch", "axis=(0, 2, 3)", (n, c) => c,
    (n, c) => `all examples and positions of channel ${c + 1}`],
  layer: ["Layer (C, H, W)", "axis=(1, 2, 3)", (n) => n,
    (n) => `all channels and positions of example ${n + 1}`],
  token: ["Layer (C)", "axis=1", (n, c, p) => n * P + p,
    (n, c, p) => `all channels ${place(n, p)}`],
  group: ["Group, G = 2", "reshape(3, 2, 2, 4, 4), axis=(2, 3, 4)",
    (n, c) => n * 2 + (c >> 1),
    (n, c) => `channels ${c < 2 ? "1 and 2" : "3 and 4"} of example ${n + 1}, all positions`],
  instance: ["Instance", "axis=(2, 3)", (n, c) => n * C + c,
    (n, c) => `all positions of channel ${c + 1} of example ${n + 1}`],
  rms: ["RMS (C)", "axis=1, no mean", (n, c, p) => n * P + p,
    (n, c, p) => `all channels ${place(n, p)}`],
};

const STYLE = `
norm-cube{--line:var(--pst-color-border,#bbb);--cell:var(--pst-color-surface,#f3f4f5)}
norm-cube .views{display:flex;flex-wrap:wrap;gap:1rem;justify-content:center;
 align-items:center}
norm-cube .block{flex:0 1 210px;min-width:0}
norm-cube .tiles{flex:1 1 300px;max-width:440px;min-width:0;cursor:pointer;
 touch-action:manipulation}
norm-cube .tiles:focus-visible{outline:3px solid var(--me);outline-offset:3px}
norm-cube [data-i]{fill:var(--cell);stroke:var(--line);transition:fill .15s}
norm-cube .on{fill:var(--set);stroke:var(--pst-color-background,#fff)}
norm-cube .box{pointer-events:none;fill:var(--set);fill-opacity:.8;
 stroke:var(--pst-color-background,#fff);stroke-width:.7}
norm-cube .me{fill:var(--me)!important;stroke:var(--pst-color-text-base,#222);
 stroke-width:2;fill-opacity:1;pointer-events:none}
@media(prefers-reduced-motion:reduce){norm-cube [data-i]{transition:none}}`;

// Corners of cell (n, c, p) of the block: examples to the right, channels into the
// depth, positions downwards.
const at = (n, c, p) => [24 + n * 34 + c * 19, 66 + p * 12 - c * 15];
const FACES = {
  top: (n, c, p) => [[n, c, p], [n + 1, c, p], [n + 1, c + 1, p], [n, c + 1, p]],
  side: (n, c, p) =>
    [[n + 1, c, p], [n + 1, c + 1, p], [n + 1, c + 1, p + 1], [n + 1, c, p + 1]],
  front: (n, c, p) => [[n, c, p], [n + 1, c, p], [n + 1, c, p + 1], [n, c, p + 1]],
};
const face = (name, i, attributes) =>
  `<polygon points="${FACES[name](...split(i)).map((q) => at(...q)).join(" ")}" ${attributes}/>`;
const split = (i) => [Math.floor(i / (C * P)), Math.floor(i / P) % C, i % P];
const join = (n, c, p) => (n * C + c) * P + p;
const ALL = [...Array(N * C * P).keys()];

// All entries that share their statistics with entry i.
widget.shared = (norm, i) => {
  const set = NORMS[norm][2], mine = set(...split(i));
  return ALL.filter((k) => set(...split(k)) === mine);
};

class NormCube extends HTMLElement {
  connectedCallback() {
    if (this.norm) return; // only moved
    this.norm = "batch";
    this.i = join(1, 1, 5);
    const group = `norm-${Math.random().toString(36).slice(2)}`;
    const radios = Object.entries(NORMS).map(([key, [name]]) =>
      `<label><input type="radio" name="${group}" value="${key}"${
        key === this.norm ? " checked" : ""}>${name}</label>`);
    const hull = ALL.flatMap((i) => {
      const [n, c, p] = split(i), cell = `data-i="${i}"`;
      return [p === 0 && face("top", i, cell), n === N - 1 && face("side", i, cell),
        c === 0 && face("front", i, cell)].filter(Boolean);
    });
    const tiles = ALL.map((i) => {
      const [n, c, p] = split(i);
      return `<rect x="${24 + c * 88 + (p % W) * 20}" y="${
        24 + n * 88 + (p >> 2) * 20}" width="20" height="20" data-i="${i}"/>`;
    });
    const names = [...Array(C)].map((_, c) =>
      `<text x="${64 + c * 88}" y="16" text-anchor="middle">channel ${c + 1}</text>`);
    const rows = [...Array(N)].map((_, n) =>
      `<text transform="translate(15 ${64 + n * 88}) rotate(-90)" text-anchor="middle">example ${n + 1}</text>`);
    this.innerHTML = `<style>${STYLE}</style>
<fieldset><legend>Normalise by</legend>${radios.join("")}</fieldset>
<div class="views"><svg class="block" viewBox="0 0 212 288" aria-hidden="true">${
  hull.join("")}<g></g><text x="75" y="277" text-anchor="middle">examples</text>
<text transform="translate(180 255) rotate(-38)" text-anchor="middle">channels</text>
<text transform="translate(15 162) rotate(-90)" text-anchor="middle">positions</text></svg>
<svg class="tiles" viewBox="0 0 372 290" tabindex="0" role="application" aria-label="All ${
  N * C * P} entries; the arrow keys move the selected one">${
  names.join("")}${rows.join("")}${tiles.join("")}<g></g></svg></div>
<p aria-live="polite"></p><p class="code"><code></code></p>`;

    this.addEventListener("change", (event) => this.show(event.target.value, this.i));
    for (const type of ["pointerover", "click"])
      this.addEventListener(type, ({target}) => {
        if (target.dataset?.i) this.show(this.norm, +target.dataset.i);
      });
    this.querySelector(".tiles").addEventListener("keydown", (event) => {
      const [dx, dy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
        ArrowDown: [0, 1]}[event.key] ?? [0, 0];
      if (!dx && !dy) return;
      event.preventDefault(); // no scrolling
      const [n, c, p] = split(this.i);
      const x = (c * W + (p % W) + dx + C * W) % (C * W);
      const y = (n * H + (p >> 2) + dy + N * H) % (N * H);
      this.show(this.norm, join(y >> 2, x >> 2, (y % H) * W + (x % W)));
    });
    this.show(this.norm, this.i);
  }

  show(norm, i) {
    this.norm = norm;
    this.i = i;
    const [, axes, , words] = NORMS[norm], me = split(i), shared = widget.shared(norm, i);
    for (const cell of this.querySelectorAll("[data-i]"))
      cell.classList.toggle("on", shared.includes(+cell.dataset.i));
    // Far cells first: depth, then left to right, then from the bottom.
    const far = (k) => { const [n, c, p] = split(k); return -c * 1e4 + n * 100 - p; };
    const box = (k, name) => Object.keys(FACES).map((f) => face(f, k, `class="${name}"`));
    const [block, ring] = this.querySelectorAll("g");
    block.innerHTML = shared.sort((a, b) => far(a) - far(b)).flatMap((k) => box(k, "box"))
      .concat(box(i, "me")).join("");
    const [n, c, p] = me;
    ring.innerHTML = `<rect class="me" x="${24 + c * 88 + (p % W) * 20}" y="${
      24 + n * 88 + (p >> 2) * 20}" width="20" height="20"/>`;
    const share = norm === "rms" ? "one mean square" : "one mean and one variance";
    this.querySelector("[aria-live]").textContent = `${shared.length} entries share ${
      share}: ${words(...me)}. There are ${ALL.length / shared.length} such sets.`;
    this.querySelector("code").textContent = axes;
  }
}
customElements.define("norm-cube", NormCube);
}

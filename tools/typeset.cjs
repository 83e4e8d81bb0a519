// Typesets the formulas of pages, as MathJax would in each reader's browser, and writes
// beside each how it is said.
// A line of standard input is a page, {"html": its text, "fonts": their folder as seen
// from it}; a line of standard output is its new text. The argument is MathJax's
// configuration.
const path = require("node:path"), readline = require("node:readline");
const mathjax = require(path.resolve(__dirname, "../_build/npm/node_modules/mathjax"));
const {speaker} = require("./speech.cjs");

const FORMULA = /<(span|div) class="math notranslate nohighlight"[^>]*>.*?<\/\1>/gs;
const TEX = /\\\((.*?)\\\)|\\\[(.*?)\\\]/s;
const ENTITIES = {amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'", "#x27": "'"};
// MathJax itself, for which nothing is left to do, and its configuration.
const SCRIPTS = /<script>window\.MathJax = .*?<\/script>|<script [^>]*mathjax[^>]*><\/script>/g;

const spoken = new Map(); // the words of what has been seen

async function typeset(jax, say, {html, fonts}) {
  const {adaptor, output} = jax.startup;
  output.clearCache(); // styles for what this page shows, no more
  const formulas = [];
  for (const [element] of html.matchAll(FORMULA)) {
    const [written, inline, block] = element.match(TEX);
    const tex = (inline ?? block).replace(/&(#?\w+);/g, (_, name) => ENTITIES[name]);
    const options = {display: inline === undefined};
    const node = await jax.tex2chtmlPromise(tex, options);
    if (!spoken.has(tex)) spoken.set(tex, say(jax.tex2mml(tex)));
    const words = `data-speech="${spoken.get(tex)}" class="math`;
    formulas.push(element.replace(written, () => adaptor.outerHTML(node))
      .replace('class="math', () => words));
  }
  if (!formulas.length) return html.replace(SCRIPTS, "");
  const style = adaptor.textContent(jax.chtmlStylesheet()).replaceAll("FONTS", fonts);
  return html.replace(FORMULA, () => formulas.shift()).replace(SCRIPTS, "")
    .replace("</head>", () => `<style>${style}</style>\n</head>`);
}

async function main() {
  const options = JSON.parse(process.argv[2]);
  const jax = await mathjax.init({
    ...options,
    loader: {load: ["input/tex", "output/chtml", "a11y/assistive-mml",
      ...options.loader.load]},
    chtml: {fontURL: "FONTS"},
    startup: {typeset: false},
  });
  const say = await speaker();
  for await (const page of readline.createInterface(process.stdin))
    console.log(JSON.stringify(await typeset(jax, say, JSON.parse(page))));
}
main();

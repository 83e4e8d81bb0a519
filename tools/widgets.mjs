// The widgets without a browser. `node tools/widgets.mjs` writes chapters/stills: what
// stands in a page where scripts are off is what the widget draws and says at first.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";
import {fileURLToPath} from "node:url";

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

// Run the scripts as a page does, and return the descriptions of all widgets.
export function load(folder = path.join(ROOT, "widgets")) {
  globalThis.HTMLElement = class {};
  globalThis.customElements = {define() {}};
  const scripts = fs.readdirSync(folder).filter((name) => name.endsWith(".js"));
  for (const name of ["widget.js", ...scripts.filter((name) => name !== "widget.js").sort()])
    vm.runInThisContext(fs.readFileSync(path.join(folder, name), "utf-8"), name);
  return globalThis.widget.all;
}

export function still(tag) {
  const {all, start, picture} = globalThis.widget, values = start(all[tag]);
  return `<${tag} class="widget"><div class="still">
${picture(all[tag], values)}
<p>${all[tag].say(values)}</p>
</div></${tag}>\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const [tag, {read}] of Object.entries(load()))
    if (!read) fs.writeFileSync(path.join(ROOT, "chapters/stills", `${tag}.html`), still(tag));

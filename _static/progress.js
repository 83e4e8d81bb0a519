// Ticks for sections that have been read, kept in this browser and nowhere else.
{
const KEY = "sections read";
const load = () => {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; }
};
const page = location.pathname.replace(/.*\/(chapters\/)/, "$1");
const sections = [...document.querySelectorAll("main section > section")].filter(
  (section) => section.querySelector(":scope > h2"));

// The book's contents show how far each chapter is.
const show = () => {
  const all = load();
  for (const link of document.querySelectorAll(".bd-links a")) {
    const {ticked = [], of} = all[link.pathname.replace(/.*\/(chapters\/)/, "$1")] ?? {};
    link.querySelector(".read")?.remove();
    if (!ticked.length) continue;
    const done = document.createElement("span");
    done.className = "read";
    done.textContent = ticked.length < of ? ` ${ticked.length}/${of}` : " ✓";
    done.title = `${ticked.length} of ${of} sections read`;
    link.append(done);
  }
};

const tick = (section, button) => {
  const all = load();
  const ticked = new Set(all[page]?.ticked.filter((id) => document.getElementById(id)));
  const on = !ticked.delete(section.id);
  if (on) ticked.add(section.id);
  all[page] = {ticked: [...ticked], of: sections.length};
  if (!ticked.size) delete all[page];
  localStorage.setItem(KEY, JSON.stringify(all));
  button.setAttribute("aria-pressed", on);
  show();
};

if (page.startsWith("chapters/")) {
  const {ticked = []} = load()[page] ?? {};
  for (const section of sections) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tick";
    const heading = section.querySelector(":scope > h2");
    const title = heading.textContent.replace(/#$/, "");  // without the link to itself
    button.setAttribute("aria-label", `Read: ${title}`);
    button.setAttribute("aria-pressed", ticked.includes(section.id));
    button.title = "I have read this section";
    button.addEventListener("click", () => tick(section, button));
    heading.after(button);
  }
}
show();
}

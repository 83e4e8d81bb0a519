// Ticks for sections that have been read, kept in this browser and nowhere else.
{
const KEY = "sections read";
const page = location.pathname.replace(/.*\/(chapters\/)/, "$1");

// The book's contents show how far each chapter is.
const show = () => {
  const all = kept(KEY);
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
  const all = kept(KEY);
  const ticked = new Set(all[page]?.ticked.filter((id) => document.getElementById(id)));
  const on = !ticked.delete(section.id);
  if (on) ticked.add(section.id);
  all[page] = {ticked: [...ticked], of: headings().length};
  if (!ticked.size) delete all[page];
  localStorage.setItem(KEY, JSON.stringify(all));
  label(button, "Read", on);
  show();
};

if (page.startsWith("chapters/")) {
  const {ticked = []} = kept(KEY)[page] ?? {};
  for (const heading of headings()) {
    const button = sectionButton(heading, "tick", tick);
    label(button, "Read", ticked.includes(heading.parentElement.id));
    button.title = "I have read this section";
  }
}
show();
}

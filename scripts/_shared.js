// What several of these scripts use.

// What this browser keeps under a name: an object, empty where that is missing or broken.
const kept = (name) => {
  try { return JSON.parse(localStorage.getItem(name)) ?? {}; } catch { return {}; }
};

// The sections of a chapter that have a button of their own beside the heading.
const headings = () => [...document.querySelectorAll("main section > section > h2")];

// A button for a section, and what it is called: what it does, and the section's title.
const sectionButton = (heading, kind, click) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = kind;
  button.dataset.section = heading.textContent.replace(/#$/, "");  // without its link
  button.addEventListener("click", () => click(heading.parentElement, button));
  heading.after(button);
  return button;
};
const label = (button, does, pressed) => {
  button.setAttribute("aria-label", `${does}: ${button.dataset.section}`);
  button.setAttribute("aria-pressed", pressed);
};

// Notes on a page, by Hypothesis: nothing is asked of its server until a reader says so.
{
const KEY = "annotate";
const start = () => {
  const script = document.createElement("script");
  script.src = "https://hypothes.is/embed.js";
  document.head.append(script);
};
const button = document.querySelector(".annotate button");
const on = () => localStorage.getItem(KEY) === "on";
const show = () => { button.textContent = on() ? "Stop annotating" : "Annotate"; };
button?.addEventListener("click", () => {
  if (on()) {
    localStorage.removeItem(KEY);
    location.reload();  // a script cannot be unloaded
  } else {
    localStorage.setItem(KEY, "on");
    start();
  }
  show();
});
if (button) show();
if (button && on()) start();
}

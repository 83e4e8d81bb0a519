// A quiz: choices are buttons, a number is a form. What is said about an answer stands
// in a live region beneath, so that it is read aloud, too.
{
const say = (item, correct, feedback) => {
  const status = item.querySelector("[role=status]");
  status.className = correct ? "right" : "wrong";
  status.innerHTML = correct ? feedback : `No. ${feedback}`;
};

const choose = (item, button) => {
  const correct = button.dataset.correct === "true";
  const buttons = [...item.querySelectorAll("button")];
  const wanted = buttons.filter((b) => b.dataset.correct === "true");
  // Of several correct answers those that were found stay; else each choice is a new one.
  if (wanted.length === 1 || !correct) for (const b of buttons) b.className = "";
  button.className = correct ? "right" : "wrong";
  const found = wanted.filter((b) => b.className === "right").length;
  const count = wanted.length > 1 && correct ? ` (${found} of ${wanted.length} found)` : "";
  say(item, correct, button.dataset.feedback + count);
};

const read = (text) => {
  const [above, below = 1] = text.replace("−", "-").replace(",", ".").split("/");
  return above.trim() === "" ? NaN : Number(above) / Number(below);
};

const check = (item, form) => {
  const value = read(form.querySelector("input").value);
  if (Number.isNaN(value)) return say(item, false, "Write a number, such as 0.5 or 1/2.");
  const rounded = (x) => Number(x.toPrecision(form.dataset.precision));
  const answer = JSON.parse(form.dataset.answers).find((a) =>
    "value" in a ? rounded(value) === rounded(a.value)
      : !("range" in a) || (a.range[0] <= value && value < a.range[1]));
  say(item, answer?.correct ?? false, answer?.feedback ?? "Try again.");
};

document.addEventListener("click", ({target}) => {
  const button = target.closest(".quiz [role=group] button");
  if (button) choose(button.closest("li"), button);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".quiz form")) return;
  event.preventDefault();
  check(event.target.closest("li"), event.target);
});
}

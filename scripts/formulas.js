// A formula that is wider than the screen scrolls: by keyboard, too.
{
const watch = new ResizeObserver((entries) => {
  for (const {target} of entries)
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
});
document.addEventListener("DOMContentLoaded", () => {
  for (const formula of document.querySelectorAll("mjx-container[display]"))
    watch.observe(formula);
});
}

// Search finds what is asked for by another name: symbols, short forms, other spellings.
// This runs before the search does, and changes what it is asked.
if (location.pathname.endsWith("/search.html")) {
  const NAMES = {
    __proto__: null,  // "constructor" is a word like any other
    bn: "batch normalisation", batchnorm: "batch normalisation",
    batchnorm1d: "batch normalisation", batchnorm2d: "batch normalisation",
    ln: "layer normalisation", layernorm: "layer normalisation",
    gn: "group normalisation", groupnorm: "group normalisation",
    instancenorm: "instance normalisation",
    rmsnorm: "rms", wn: "weight norm", ws: "weight standardisation",
    renorm: "renormalisation", syncbn: "synchronised", ics: "internal covariate shift",
    normalization: "normalisation", normalize: "normalise",
    standardization: "standardisation", regularization: "regularisation",
    γ: "gamma", β: "beta", ε: "eps", epsilon: "eps", μ: "mean", µ: "mean", σ: "deviation",
    "σ²": "variance", avg: "mean", std: "deviation", var: "variance", lr: "learning rate",
    backprop: "backward", ema: "running",
  };
  const address = new URL(location);
  const asked = address.searchParams.get("q") ?? "";
  const known = asked.split(/\s+/).map((word) => NAMES[word.toLowerCase()] ?? word);
  if (asked) address.searchParams.set("q", known.join(" "));
  history.replaceState(null, "", address);
  // It looks for a page's text by a role that <main> has without saying so.
  addEventListener("DOMContentLoaded", () => {
    const read = Search.htmlToText;
    Search.htmlToText = (html, place) =>
      read(html.replace("<main ", '<main role="main" '), place);
  });
}

// Says formulas as one would read them aloud: the words of speech-rule-engine, in those of
// this field.
const path = require("node:path");
const sre = require(path.resolve(__dirname, "../_build/npm/node_modules/speech-rule-engine"));

// Where a root and a fraction end is said: sqrt(v + eps) is not sqrt(v) + eps.
const STYLE = "Roots_RootEnd:Fraction_EndFrac";
const ONE = "\\w+(?: hat)?(?: sub \\w+| squared)?"; // under a short one that is clear
const OURS = [
  [RegExp(`(square root of ${ONE}) end root\\b`, "g"), "$1"],
  [RegExp(`( over ${ONE}) end fraction\\b`, "g"), "$1"],
  [/\b1 lines Line 1: /g, ""], // what aligns the lines that follow
  [/ (?:comma|semicolon|period)(?= Line|$)/g, ""], // the sentence's, not the formula's
  [/ (?:comma|semicolon|period)\b/g, ","],
  [/ colon\b/g, ":"],
  [/(?:raised to the|the) down tack(?:-th)? power( of)?/g, "transpose$1"],
  [/\bthe metric of\b/g, "the norm of"],
  [/\blam[d]a\b/g, "lambda"],
  [/\bLam[d]a\b/g, "Lambda"],
  [/\btriangle\b/g, "Delta"],
  [/\bpartial differential\b/g, "partial"],
  [/\bdivides\b/g, "given"],
  [/\b(?:of )?slash\b/g, "divided by"],
  [/\balmost equals\b/g, "approximately equals"],
  [/\bcircled dot\b/g, "element-wise times"],
  [/\bleft arrow\b/g, "becomes"],
  [/\bright arrow\b/g, "goes to"],
  [/\b(?:long )?left right double arrow\b/g, "if and only if"],
  [/\b(?:long )?right double arrow\b/g, "implies"],
  [/\bthe line segment\b/g, "the mean of"],
  [/\bhorizontal bar\b/g, "bar"],
  [/\basterisk\b/g, "star"],
  [/\bup tack\b/g, "perp"],
  [/ over bottom brace over /g, ", that is, "],
  [/(?<=\S) positive\b/g, " plus"],
  [/\b(?:blank|enclosed with box) /g, ""],
];

/** Return what says a formula, given as MathML, in words. */
exports.speaker = async () => {
  await sre.setupEngine(
    {locale: "en", domain: "clearspeak", style: STYLE, modality: "speech"});
  await sre.engineReady();
  return (mathml) => {
    const plain = mathml.replace(/ mathvariant="[^"]*"/g, ""); // bold is seen, not said
    return OURS.reduce((text, [odd, ours]) => text.replace(odd, ours),
      sre.toSpeech(plain).replace(/\s+/g, " ").trim());
  };
};

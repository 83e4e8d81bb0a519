// Reads a section aloud with the browser's own voice, formulas as they are spoken.
{
const KEY = "listening";
const SILENT = ".cell_input, details.hide, .headerlink, .eqno, .section-number, .quiz, "
  + ".live-bar, script, style, [hidden], [aria-hidden=true], .onlyprint, details:not([open]) > :not(summary)";
const WHOLE = "p, h2, h3, h4, li:not(:has(p, ul, ol)), dt, dd:not(:has(p, ul, ol, dl)), "
  + "figcaption, summary, blockquote:not(:has(p)), div.math";
const TABLE = "Here the page has a table.";

const voice = () => {
  const voices = speechSynthesis.getVoices().filter(({lang}) => /^en\b/i.test(lang));
  return voices.find((v) => v.localService && v.lang === document.documentElement.lang)
    ?? voices.find((v) => v.localService) ?? voices[0];
};

// What an element says: its text, with the words of formulas and pictures.
const words = (node) => {
  if (node.nodeType === Node.TEXT_NODE) return node.data.replace("Fig. ", "Figure ");
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches(SILENT)) return "";
  if (node.matches(".math")) return ` ${node.dataset.speech ?? "a formula"} `;
  if (node.matches("img")) return ` ${node.alt} `;
  return [...node.childNodes].map(words).join("");
};

// The parts of an element that are read, and highlighted, one after the other.
const passages = (element) => {
  if (element.matches(SILENT)) return [];
  if (element.matches("table")) return [{element, text: TABLE}];
  if (!element.matches(WHOLE)) return [...element.children].flatMap(passages);
  const text = words(element).replace(/\s+/g, " ").replace(/ (?=[.,;:)])/g, "").trim();
  return text ? [{element, text}] : [];
};

const sentences = (text) => {
  if (!Intl.Segmenter) return [text];
  const segmenter = new Intl.Segmenter("en", {granularity: "sentence"});
  return [...segmenter.segment(text)].map(({segment}) => segment.trim());
};

// Places where reading was stopped: how the passage begins, for each section.
const keep = (id, text) => {
  const all = kept(KEY);
  if (text) all[id] = text.slice(0, 80);
  else delete all[id];
  localStorage.setItem(KEY, JSON.stringify(all));
};

let reading = null;

const show = (element) => {
  document.querySelector(".being-read")?.classList.remove("being-read");
  if (!element) return;
  element.classList.add("being-read");
  const {top, bottom} = element.getBoundingClientRect();
  if (top < 80 || bottom > innerHeight) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollIntoView({block: "center", behavior: calm ? "instant" : "smooth"});
  }
};

const name = (button, on) => {
  label(button, on ? "Stop reading" : "Listen", on);
  button.title = on ? "Stop; the place is kept" : "Listen to this section";
};

const stop = () => {
  if (!reading) return;
  name(reading.button, false);
  reading = null;
  speechSynthesis.cancel();
  show();
};

// A voice may fall silent in a long text: it is given one sentence at a time.
const say = (run, queue) => {
  if (run !== reading) return;
  if (!queue.length) {
    run.next += 1;
    return read(run);
  }
  const utterance = run.utterance = new SpeechSynthesisUtterance(queue[0]);
  utterance.voice = voice();
  utterance.lang = utterance.voice.lang;
  utterance.onend = () => say(run, queue.slice(1));
  utterance.onerror = () => run === reading && stop();
  speechSynthesis.speak(utterance);
};

const read = (run) => {
  const passage = run.passages[run.next];
  keep(run.id, passage?.text);
  if (!passage) return stop();
  show(passage.element);
  say(run, sentences(passage.text));
};

const start = (section, button) => {
  stop();
  const found = [...section.children].flatMap(passages);
  const id = `${location.pathname}#${section.id}`;
  const place = kept(KEY)[id];
  const next = found.findIndex(({text}) => place && text.startsWith(place));
  reading = {id, button, passages: found, next: Math.max(next, 0)};
  name(button, true);
  read(reading);
};

const offer = () => {
  if (!voice() || document.querySelector(".listen")) return;
  for (const heading of headings())
    name(sectionButton(heading, "listen", (section, button) =>
      reading?.button === button ? stop() : start(section, button)), false);
};

if (globalThis.speechSynthesis) {
  offer();
  speechSynthesis.addEventListener("voiceschanged", offer);  // they may come late
  addEventListener("pagehide", stop);
}
}

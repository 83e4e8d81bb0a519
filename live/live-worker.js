// A page's Python: Pyodide in a worker, so that a long cell does not stop the page.
// From files beside the book, if they are there, else from Pyodide's public address.
const ELSEWHERE = "https://cdn.jsdelivr.net/pyodide/v0.29.5/full/";
const beside = new URL("pyodide/", location).href;
const get = async (name) => {
  const answer = await fetch(new URL(name + location.search, location));
  if (!answer.ok) throw new Error(`${name} is missing (${answer.status})`);
  return answer;
};

const begin = async (interrupts) => {
  const lock = await fetch(`${beside}pyodide-lock.json`, {method: "HEAD"});
  const indexURL = lock.ok ? beside : ELSEWHERE;
  importScripts(`${indexURL}pyodide.js`);
  const python = await loadPyodide({indexURL});
  const problems = [];
  await python.loadPackage("numpy", {
    messageCallback() {}, errorCallback: (problem) => problems.push(problem),
  });
  if (problems.length) throw new Error(problems.join("\n"));
  python.unpackArchive(await (await get("bnlib.whl")).arrayBuffer(), "wheel");
  python.FS.writeFile("live.py", await (await get("live.py")).text());
  if (interrupts) python.setInterruptBuffer(interrupts);
  return python.pyimport("live").Session((message) => postMessage(JSON.parse(message)));
};

let session;
onmessage = async ({data: {interrupts, source, place}}) => {
  try {
    session ??= await begin(interrupts);
  } catch (problem) {
    postMessage({kind: "failed", text: `${problem.message ?? problem}`});
    return;
  }
  postMessage({kind: "begun"});
  postMessage({kind: "done", right: session.run(source, place)});
};

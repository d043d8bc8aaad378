// Two arms that are pinned: the difference of their scores, with its interval.

let pinned = ["", ""]; // numbers of arms as the lists have them; "" is none
let pinBox = null;

function readPins(text) {
  const arms = text.split(",").map(Number).filter((arm) => Number.isInteger(arm) && study.arms[arm]);
  if (text && arms.length === 2) { setPins(arms.map(String)); }
}

function writePins() { return pinned.every(Boolean) ? pinned.join(",") : ""; }

function setPins(arms) {
  pinned = arms;
  if (!pinBox) { return; }
  pinBox.querySelectorAll("select").forEach((list, at) => { list.value = pinned[at]; });
  const said = pinned.every(Boolean) ? differenceWords(...pinned.map(Number)) : "";
  pinBox.querySelector(".difference").textContent = said;
  if (said) { pinBox.open = true; }
}

// Difference of arm a minus arm b, with the ends of its interval; half is null if there is none.
function difference(a, b) {
  const of = study.pairs, n = study.arms.length, low = Math.min(a, b), high = Math.max(a, b);
  const value = of.mean[a] - of.mean[b];
  const half = of.half[(low * (2 * n - low - 1)) / 2 + high - low - 1];
  const most = of.span === null ? Infinity : Math.max(of.span, Math.abs(value));
  return { value, half, low: Math.max(value - half, -most), high: Math.min(value + half, most) };
}

function digitsFor(half) {
  return half > 0 ? Math.min(9, Math.max(3, -Math.floor(Math.log10(half)))) : 3;
}

function differenceWords(a, b) {
  const of = study.pairs, names = `${armWords(a)} minus ${armWords(b)}`;
  if (a === b) { return "These are the same recipe."; }
  if (of.problem[a] !== of.problem[b]) { return "These recipes solve different tasks, whose scores are not compared."; }
  if (of.mean[a] === null || of.mean[b] === null) { return `${names}: one of them has no score yet.`; }
  const found = difference(a, b), digits = digitsFor(found.half);
  const write = (value) => value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");
  const interval = found.half === null ? " (no interval: it takes two seeds of each)" : ` [${write(found.low)}, ${write(found.high)}]`;
  const seeds = `${of.n[a]} and ${of.n[b]} seeds`, all = (study.arms.length * (study.arms.length - 1)) / 2;
  const better = of.higher ? "positive: the first is better" : "negative: the first is better";
  return `${names}: ${write(found.value)}${interval} in mean test ${of.metric} (${better}; 95 % interval over seeds, ${seeds}; lost seeds count as they do on the whole page). `
    + `One of ${all} possible pairs, chosen by looking: shown, not tested.`;
}

function pin(arm) {
  if (!pinBox) { return; }
  setPins(pinned[0] === "" || pinned.every(Boolean) ? [String(arm), ""] : [pinned[0], String(arm)]);
  if (bar) { bar.querySelector("details").open = true; }
  if (pinBox) { pinBox.open = true; }
  writeAddress(readAddress(location.hash).anchor);
}

function pinButton(arm) {
  if (!pinBox) { return ""; }
  return button("Pin this recipe to compare it", "tool", () => { pin(arm); sheet.close(); });
}

function armList(label, at) {
  const list = make("select", { "aria-label": label }, make("option", { value: "" }, "–"),
    ...study.arms.map((_, arm) => make("option", { value: arm }, armWords(arm))));
  list.addEventListener("change", () => {
    setPins(pinned.map((one, place) => (place === at ? list.value : one)));
    announce(pinBox.querySelector(".difference").textContent);
    writeAddress(readAddress(location.hash).anchor);
  });
  return list;
}

// The fold in the bar where two arms are chosen; nothing if the page has no pairs.
function makePins() {
  if (!study.pairs.half) { return ""; }
  pinBox = make("details", { class: "pins" }, make("summary", {}, "Compare two recipes"),
    make("p", { class: "lists" }, armList("first recipe", 0), " minus ", armList("second recipe", 1)),
    make("p", { class: "difference" }));
  return pinBox;
}

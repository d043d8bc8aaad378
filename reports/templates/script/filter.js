// A bar of levels: what is switched off fades from figures and leaves tables. Its state is in the
// address, so that it can be sent: #show=cell:lstm,gru;clip:norm, also behind a section's name;
// beside it pinned arms (pin=) and limits (limit=).

let offLevels = []; // by factor: numbers of levels that are switched off
let bar = null;

function isShown(arm) {
  return withinLimits(arm) && study.arms[arm].every((level, factor) => !offLevels[factor].has(level));
}

// --- the address ---

function readAddress(hash) {
  const parts = hash.replace(/^#/, "").split("&");
  const show = parts.find((part) => part.startsWith("show="));
  const pins = parts.find((part) => part.startsWith("pin="));
  const limit = parts.find((part) => part.startsWith("limit="));
  const anchor = parts.find((part) => part && part !== show && part !== pins && part !== limit) || "";
  return { anchor, show: show ? show.slice(5) : "", pins: pins ? pins.slice(4) : "", limit: limit ? plain(limit.slice(6)) : "" };
}

function plain(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function readShow(show) {
  offLevels = study.factors.map(() => new Set());
  show.split(";").filter(Boolean).forEach((part) => {
    const [key, wanted] = part.split(":");
    const at = study.factors.findIndex((factor) => factor.key === plain(key));
    if (at < 0 || !wanted) { return; }
    const on = wanted.split(",").map(plain), levels = study.factors[at].levels;
    if (!levels.some((level) => on.includes(level))) { return; }
    levels.forEach((level, number) => { if (!on.includes(level)) { offLevels[at].add(number); } });
  });
}

function writeShow() {
  return study.factors.flatMap((factor, at) => {
    if (!offLevels[at].size) { return []; }
    const on = factor.levels.filter((_, number) => !offLevels[at].has(number));
    return [`${encodeURIComponent(factor.key)}:${on.map(encodeURIComponent).join(",")}`];
  }).join(";");
}

function writeAddress(anchor) {
  const show = writeShow(), pins = writePins(), limit = writeLimits();
  const hash = [anchor, show && `show=${show}`, pins && `pin=${pins}`, limit && `limit=${limit}`].filter(Boolean).join("&");
  if (hash !== location.hash.slice(1)) {
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }
}

// --- what is shown ---

function applyFilter() {
  const off = study.arms.map((_, arm) => !isShown(arm));
  document.querySelectorAll(TOUCHED).forEach((element) => {
    const arms = armsOf(element);
    element.classList.toggle("off", arms.length > 0 && arms.every((arm) => off[arm]));
  });
  const left = off.filter((one) => !one).length;
  bar.querySelectorAll(".chip").forEach((chip) => {
    chip.setAttribute("aria-pressed", String(!offLevels[chip.dataset.factor].has(Number(chip.dataset.level))));
  });
  bar.querySelector(".shown").textContent = `${left} of ${off.length} recipes shown`;
  bar.querySelector(".all").hidden = left === off.length;
  bar.querySelector(".unchanged").hidden = left === off.length;
  countRows();
}

function toggle(factor, level, only) {
  const off = offLevels[factor], every = study.factors[factor].levels.map((_, number) => number);
  if (only) {
    offLevels[factor] = new Set(every.filter((number) => number !== level));
  } else if (!off.delete(level)) {
    off.add(level);
    if (off.size === every.length) { off.clear(); } // nothing would be left
  }
  applyFilter();
  writeAddress(readAddress(location.hash).anchor);
  announce(bar.querySelector(".shown").textContent);
}

function chips(factor, at) {
  const group = make("div", { class: "chips", role: "group", "aria-label": factor.name }, make("span", { class: "factor" }, factor.name));
  factor.levels.forEach((level, number) => {
    const chip = button(level, "chip", (event) => toggle(at, number, event.shiftKey));
    chip.dataset.factor = at;
    chip.dataset.level = number;
    chip.title = "Show or hide; with Shift, show only this";
    group.append(chip);
  });
  return group;
}

function makeBar() {
  const reset = button("Show all", "all", () => {
    readShow("");
    clearLimits();
    applyFilter();
    writeAddress(readAddress(location.hash).anchor);
  });
  const note = make("p", { class: "unchanged small" },
    "Marks and rows of what is switched off are hidden. Text, findings, averages and all numbers stay those of the whole study.");
  const fold = make("details", {}, make("summary", {}, "Filter: ", make("span", { class: "shown" })),
    make("div", { class: "levels" }, ...study.factors.map(chips), reset), note, makePins());
  return make("div", { class: "handbar", role: "group", "aria-label": "Filter by level" }, fold);
}

// Anchors stop below the bar.
function clearOfBar() {
  root.style.setProperty("--bar", `${bar.offsetHeight}px`);
}

function goTo(anchor) {
  const target = anchor && document.getElementById(plain(anchor));
  if (!target) { return; }
  reveal(target);
  target.scrollIntoView({ behavior: "instant" });
}

function followAddress() {
  const { anchor, show, pins, limit } = readAddress(location.hash);
  if (bar && (show || pins || limit)) {
    readShow(show);
    readPins(pins);
    readLimits(limit);
    applyFilter();
  }
  goTo(anchor);
  if (bar) { writeAddress(anchor); }
}

function startFilter() {
  if (study && study.arms.length > 1) {
    readShow("");
    bar = makeBar();
    document.getElementById("main").prepend(bar);
    applyFilter();
    new ResizeObserver(clearOfBar).observe(bar);
    clearOfBar();
  }
  if (location.hash) { followAddress(); }
  addEventListener("hashchange", followAddress);
}

// A link to a place in a closed fold opens it.
function openTargets() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#"]');
    const target = link && document.getElementById(plain(link.hash.slice(1)));
    if (target) { reveal(target); }
  });
}

// What is known of one point, in a window of its own: facts, validations, transport, command.

// The namespace of pictures, in parts: no address stands on the page, which a reader can check.
const SVG = ["http:", "", "www.w3.org", "2000", "svg"].join("/");
const WIDE = 320, TALL = 150, LEFT = 52, FOOT = 30; // of a small picture
const sheet = make("dialog", { class: "sheet", "aria-labelledby": "sheet-title" });

function draw(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...children);
  return made;
}

function brief(value) {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

// A small picture of lines over the same x values; `lines`: [name, values, CSS class].
function chart(title, xName, x, lines) {
  const known = lines.flatMap(([, values]) => values.filter((value) => value !== null));
  if (!known.length) { return ""; }
  const low = Math.min(...known), high = Math.max(...known), first = x[0], last = x[x.length - 1];
  const atX = (value) => LEFT + (WIDE - LEFT - 8) * (last > first ? (value - first) / (last - first) : 0.5);
  const atY = (value) => 8 + (TALL - FOOT - 8) * (high > low ? (high - value) / (high - low) : 0.5);
  const text = (said, at, anchor) => draw("text", { ...at, "text-anchor": anchor }, said);
  const drawn = lines.map(([, values, name]) => {
    const points = values.map((value, at) => (value === null ? null : `${atX(x[at]).toFixed(1)},${atY(value).toFixed(1)}`));
    return draw("polyline", { class: name, points: points.filter(Boolean).join(" ") });
  });
  const said = lines.map(([name, values]) => {
    const real = values.filter((value) => value !== null);
    return real.length ? `${name}: from ${brief(real[0])} to ${brief(real[real.length - 1])}` : name;
  }).join("; ");
  const picture = draw("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": `${title}. ${said}` },
    draw("path", { class: "axis", d: `M${LEFT} 8V${TALL - FOOT}H${WIDE - 8}` }),
    text(brief(high), { x: LEFT - 5, y: 14 }, "end"), text(brief(low), { x: LEFT - 5, y: TALL - FOOT }, "end"),
    text(brief(first), { x: LEFT, y: TALL - FOOT + 13 }, "start"), text(brief(last), { x: WIDE - 8, y: TALL - FOOT + 13 }, "end"),
    text(xName, { x: (LEFT + WIDE) / 2, y: TALL - 4 }, "middle"), ...drawn);
  const keys = lines.length > 1 ? make("span", { class: "keys" }, ...lines.map(([name, , kind]) => make("span", { class: kind }, name))) : "";
  return make("figure", {}, make("figcaption", {}, title, " ", keys), picture);
}

function chartsOf(point) {
  const charts = [];
  if (point.loss) {
    const [at, loss, score] = point.loss, x = study.detail.xs[at];
    charts.push(chart("Validation loss", "update", x, [["loss", loss, "one"]]));
    charts.push(chart(study.detail.score[0].toUpperCase() + study.detail.score.slice(1), "update", x, [["score", score, "one"]]));
  }
  if (point.transport) {
    const [at, first, last] = point.transport;
    charts.push(chart("Transport (log10)", "steps back", study.detail.xs[at], [["first probe", first, "first"], ["last probe", last, "last"]]));
  }
  return charts;
}

function pairsList(entries) {
  return make("dl", {}, ...entries.filter(([, text]) => text).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
}

function commandOf(point) {
  const text = study.detail.commands[point.arm];
  if (!text) { return ""; }
  const command = text.replace(" seed=@ ", ` seed=${point.seed} `);
  return make("div", {}, make("p", { class: "small" }, "Trains it again, as a study of its own:"),
    copyTools(command), make("pre", { tabindex: "0" }, command));
}

// Where the point was logged online; the data hold nothing but web addresses.
function runLink(point) {
  if (!point.run) { return ""; }
  return make("p", { class: "small" }, make("a", { href: point.run, rel: "noreferrer" }, "Its run on Weights & Biases"), " (online)");
}

function openPoint(id) {
  const point = study && study.detail.points[id];
  if (!point) { return; }
  const settings = make("details", { class: "fold" }, make("summary", {}, "Settings that all networks share"), pairsList(study.detail.shared));
  const close = button("Close", "tool", () => sheet.close());
  sheet.replaceChildren(
    make("div", { class: "sheet-head" }, make("h2", { id: "sheet-title" }, `${armWords(point.arm)}, seed ${point.seed}`), close),
    make("p", { class: "small" }, make("code", {}, id)), runLink(point),
    make("div", { class: "charts" }, ...chartsOf(point)),
    pairsList(study.detail.names.map((name, at) => [name, point.facts[at]])), settings, commandOf(point), pinButton(point.arm));
  hideTip();
  sheet.showModal();
}

// Ids of points lead to what is known of them, wherever they stand.
function linkIds() {
  const walker = document.createTreeWalker(document.getElementById("main"), NodeFilter.SHOW_TEXT, (node) => (
    node.parentElement.closest("pre, svg, button, a, summary, label") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent, id = text.trim();
    if (id && Object.hasOwn(study.detail.points, id)) { found.push(walker.currentNode); }
  }
  found.forEach((node) => {
    const id = node.textContent.trim();
    const link = button(id, "idlink", () => openPoint(id));
    link.setAttribute("aria-haspopup", "dialog");
    node.replaceWith(link);
  });
}

function startPoints() {
  if (!study) { return; }
  document.body.append(sheet);
  sheet.addEventListener("click", (event) => { if (event.target === sheet) { sheet.close(); } });
  linkIds();
}

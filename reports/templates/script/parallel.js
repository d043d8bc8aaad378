// Parallel coordinates: limits of D and of the score, dragged along an axis or written, keep some
// arms here and in every other figure and table.

const CLOSE = 16; // pixels from an axis at which a drag is one along it
const limits = { D: [null, null], mean: [null, null] };

function withinLimits(arm) {
  return Object.entries(limits).every(([name, [low, high]]) => {
    const value = study.pairs[name] ? study.pairs[name][arm] : null;
    return (low === null && high === null)
      || (value !== null && (low === null || value >= low) && (high === null || value <= high));
  });
}

function clearLimits() {
  Object.keys(limits).forEach((name) => { limits[name] = [null, null]; });
  document.querySelectorAll(".limits input").forEach((field) => { field.value = ""; });
  document.querySelectorAll(".brush").forEach((one) => one.remove());
}

// In the address, where they can be sent: limit=D:-3,;mean:,0.9 has an end each side of the comma.
function writeLimits() {
  return Object.entries(limits).filter(([, ends]) => ends.some((end) => end !== null))
    .map(([name, ends]) => `${name}:${ends.map((end) => (end === null ? "" : end)).join(",")}`).join(";");
}

function readLimits(text) {
  text.split(";").forEach((part) => {
    const [name, ends] = part.split(":");
    if (!Object.hasOwn(limits, name) || !ends) { return; }
    const [low, high] = ends.split(",").map((end) => (end === "" || isNaN(Number(end)) ? null : Number(end)));
    limits[name] = [low, high === undefined ? null : high];
  });
  document.querySelectorAll(".limits input").forEach(fillLimit);
  document.querySelectorAll(".brush").forEach((one) => one.remove());
}

function fillLimit(field) {
  const value = limits[field.dataset.limit.slice(0, -1)][Number(field.dataset.limit.slice(-1))];
  field.value = value === null ? "" : value;
}

function changeLimits() {
  applyFilter();
  writeAddress(readAddress(location.hash).anchor);
  announce(bar.querySelector(".shown").textContent);
}

function limitFields(name, label) {
  const field = (at, word) => {
    const input = make("input", { type: "number", step: "any", "aria-label": `${label} ${word}`, "data-limit": `${name}${at}` });
    input.addEventListener("change", () => {
      limits[name][at] = input.value === "" ? null : Number(input.value);
      document.querySelectorAll(".brush").forEach((one) => one.remove());
      changeLimits();
    });
    fillLimit(input);
    return input;
  };
  return make("span", {}, `${label} from `, field(0, "from"), " to ", field(1, "to"));
}

// The two axes of numbers: where they stand in the picture, and the value at a height.
function axesOf(canvas) {
  const lines = marksOf(canvas).map((mark) => ({ arm: armsOf(mark)[0], points: pairs(mark.querySelector("path").getAttribute("d")) }));
  return ["D", "mean"].map((name, place) => {
    const at = lines[0].points.length - 2 + place;
    const ends = lines.map(({ arm, points }) => [points[at][1], study.pairs[name][arm]]).sort((a, b) => a[0] - b[0]);
    const [[top, high], [bottom, low]] = [ends[0], ends[ends.length - 1]];
    const value = (y) => (bottom > top ? high + ((y - top) / (bottom - top)) * (low - high) : low);
    return { name, x: lines[0].points[at][0], top, bottom, value };
  });
}

function brush(canvas, fields) {
  const svg = canvas.querySelector("svg"), axes = axesOf(canvas);
  let started = null;
  const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  canvas.addEventListener("pointerdown", (event) => {
    const point = at(event), near = CLOSE / svg.getScreenCTM().a;
    const axis = event.pointerType === "mouse" && axes.find((one) => Math.abs(one.x - point.x) < near);
    if (axis) { started = { axis, y: point.y }; event.preventDefault(); }
  });
  addEventListener("pointerup", (event) => {
    if (!started) { return; }
    const { axis, y } = started, ends = [y, at(event).y].sort((a, b) => a - b);
    started = null;
    if (ends[1] - ends[0] < 3) { return; }
    const values = ends.map(axis.value).sort((a, b) => a - b);
    limits[axis.name] = values.map((value) => Number(value.toPrecision(6)));
    limits[axis.name].forEach((value, end) => { fields.querySelector(`[data-limit="${axis.name}${end}"]`).value = value.toPrecision(4); });
    svg.querySelectorAll(`.brush.${axis.name}`).forEach((one) => one.remove());
    svg.append(draw("rect", { class: `brush ${axis.name}`, x: axis.x - 5, width: 10, y: ends[0], height: ends[1] - ends[0] }));
    changeLimits();
  });
}

function startParallel() {
  if (!study || !study.pairs.mean || !bar) { return; }
  document.querySelectorAll("#parallel .canvas").forEach((canvas) => {
    if (marksOf(canvas).length < 2) { return; }
    const fields = make("p", { class: "tools limits" }, limitFields("D", "remaining gradient at the end"), " · ",
      limitFields("mean", `test ${study.pairs.metric}`));
    canvas.after(fields);
    brush(canvas, fields);
  });
}

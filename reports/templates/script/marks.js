// Marks say what they are: under the pointer, and from the keyboard (one tab stop a figure).

const NEAR = 12; // pixels from a mark at which it is meant
const titles = new WeakMap(); // texts of marks
const shapesRead = new WeakMap(); // geometry of the marks of a picture
const tip = make("div", { class: "tip", hidden: "" });
const ring = make("div", { class: "ring", hidden: "" });
let shown = null; // the mark that the tip is about

// Our own tip takes the place of the browser's, which shows titles late and only to a mouse.
function takeTitles() {
  document.querySelectorAll(`${MARK} > title`).forEach((title) => {
    titles.set(title.parentNode, title.textContent);
    title.remove();
  });
}

function marksOf(canvas) {
  return Array.from(canvas.querySelectorAll("svg [data-arm]")).filter((mark) => titles.has(mark));
}

function isOff(mark) { return mark.classList.contains("off"); }

// --- where marks are, in the units of the picture ---

function pairs(text) {
  const numbers = (text.match(/-?\d*\.?\d+(?:e[-+]?\d+)?/g) || []).map(Number);
  const points = [];
  for (let at = 0; at + 1 < numbers.length; at += 2) { points.push([numbers[at], numbers[at + 1]]); }
  return points;
}

function geometry(mark, toPicture) {
  if (mark.tagName === "image") { return { box: boxOf(corners(mark.getBoundingClientRect(), toPicture)) }; }
  const own = mark.tagName === "g" ? Array.from(mark.querySelectorAll("use, path")) : [mark];
  const drawn = own.filter((one) => !one.closest("defs"));
  const spots = drawn.filter((one) => one.tagName === "use").map((one) => [Number(one.getAttribute("x")), Number(one.getAttribute("y"))]);
  if (spots.length) { return { spots }; }
  const paths = drawn.map((one) => ({ points: pairs(one.getAttribute("d")), closed: /z/i.test(one.getAttribute("d")) }));
  const whole = paths.find((path) => path.closed || isLoop(path.points));
  return whole ? { box: boxOf(whole.points) } : { lines: paths.map((path) => path.points) };
}

function isLoop(points) {
  const last = points[points.length - 1];
  return points.length > 3 && points[0][0] === last[0] && points[0][1] === last[1];
}

function corners(rect, toPicture) {
  return [[rect.left, rect.top], [rect.right, rect.bottom]].map(([x, y]) => {
    const point = new DOMPoint(x, y).matrixTransform(toPicture);
    return [point.x, point.y];
  });
}

function boxOf(points) {
  const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function toSegment(x, y, [ax, ay], [bx, by]) {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const along = length ? Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length)) : 0;
  return Math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay));
}

// Distance of a place from a mark. Spots are preferred to lines, and lines to boxes, which lie below.
function distance(shape, x, y, near) {
  if (shape.spots) { return Math.min(...shape.spots.map(([a, b]) => Math.hypot(x - a, y - b))) - near / 3; }
  if (shape.box) {
    const [left, top, right, bottom] = shape.box;
    return x >= left && x <= right && y >= top && y <= bottom ? near * 0.9 : Infinity;
  }
  return Math.min(...shape.lines.flatMap((line) => line.slice(1).map((point, at) => toSegment(x, y, line[at], point))));
}

function shapesOf(svg, toPiece) {
  if (!shapesRead.has(svg)) {
    const marks = marksOf(svg.closest(".canvas"));
    shapesRead.set(svg, marks.map((mark) => ({ mark, piece: pieceOf(mark), shape: geometry(mark, toPiece(pieceOf(mark))) })));
  }
  return shapesRead.get(svg);
}

// What moves with a mark on a narrow screen.
function pieceOf(mark) { return mark.closest(".piece") || mark.ownerSVGElement; }

function nearest(canvas, event) {
  const svg = canvas.querySelector("svg"), matrix = svg.getScreenCTM();
  if (!matrix) { return null; }
  const near = NEAR / matrix.a, inverses = new Map(), places = new Map();
  const toPiece = (piece) => {
    if (!inverses.has(piece)) { inverses.set(piece, piece.getScreenCTM().inverse()); }
    return inverses.get(piece);
  };
  const placeIn = (piece) => {
    if (!places.has(piece)) { places.set(piece, new DOMPoint(event.clientX, event.clientY).matrixTransform(toPiece(piece))); }
    return places.get(piece);
  };
  let best = null, least = near;
  shapesOf(svg, toPiece).forEach(({ mark, piece, shape }) => {
    const at = placeIn(piece);
    const away = isOff(mark) ? Infinity : distance(shape, at.x, at.y, near);
    if (away < least) { best = mark; least = away; }
  });
  return best;
}

// --- the tip ---

function place(mark, at) {
  const rect = mark.getBoundingClientRect();
  const x = at ? at.clientX : rect.left + rect.width / 2, y = at ? at.clientY : rect.top;
  const width = tip.offsetWidth, height = tip.offsetHeight;
  tip.style.left = `${Math.max(6, Math.min(x + 12, innerWidth - width - 6))}px`;
  tip.style.top = `${y - height - 12 < 4 ? y + 18 : y - height - 12}px`;
  Object.assign(ring.style, {
    left: `${rect.left - 4}px`, top: `${rect.top - 4}px`, width: `${rect.width + 8}px`, height: `${rect.height + 8}px`,
  });
}

function show(mark, at) {
  if (shown) { shown.classList.remove("now"); }
  shown = mark;
  mark.classList.add("now");
  tip.textContent = titles.get(mark);
  tip.hidden = false;
  ring.hidden = Boolean(at);
  place(mark, at);
}

function hideTip() {
  if (shown) { shown.classList.remove("now"); }
  shown = null;
  tip.hidden = ring.hidden = true;
}

function leave() {
  hideTip();
  light([]);
}

// --- pointer and keyboard ---

function move(canvas, event) {
  const mark = nearest(canvas, event);
  if (!mark) {
    if (shown) { hideTip(); lightSoon([]); }
    return;
  }
  if (mark !== shown) { lightSoon(armsOf(mark)); }
  show(mark, event);
}

function step(canvas, by) {
  const marks = marksOf(canvas).filter((mark) => !isOff(mark));
  if (!marks.length) { return; }
  const now = marks.indexOf(shown);
  const next = by === "first" ? 0 : by === "last" ? marks.length - 1
    : now < 0 ? (by > 0 ? 0 : marks.length - 1) : Math.max(0, Math.min(marks.length - 1, now + by));
  show(marks[next]);
  keepInSight(canvas, marks[next]);
  place(marks[next]);
  light(armsOf(marks[next]));
  announce(`${titles.get(marks[next])} (${next + 1} of ${marks.length})`);
}

// A picture that is wider than its frame scrolls to the mark.
function keepInSight(canvas, mark) {
  const frame = canvas.getBoundingClientRect(), rect = mark.getBoundingClientRect();
  if (rect.left < frame.left) { canvas.scrollLeft -= frame.left - rect.left + 20; }
  if (rect.right > frame.right) { canvas.scrollLeft += rect.right - frame.right + 20; }
  if (rect.top < 60 || rect.bottom > innerHeight) { mark.scrollIntoView({ block: "center", behavior: "instant" }); }
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: "first", End: "last" };

function pressed(canvas, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) { return; }
  if (event.key in STEPS) {
    step(canvas, STEPS[event.key]);
  } else if (event.key === "Escape" && shown) {
    leave();
    announce("");
  } else if (event.key === "Enter" && shown) {
    chosen(shown);
  } else {
    return;
  }
  event.preventDefault();
}

// A mark of one point leads to what is known of the point; one of an arm pins it.
function chosen(mark) {
  const arms = armsOf(mark);
  if (mark.dataset.point) { openPoint(mark.dataset.point); } else if (arms.length === 1) { pin(arms[0]); }
}

function touchMarks() {
  takeTitles();
  document.querySelectorAll(".canvas").forEach((canvas) => {
    const marks = marksOf(canvas);
    if (!marks.length) { return; }
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "figure");
    canvas.setAttribute("aria-label", `${canvas.getAttribute("aria-label")} ${marks.length} marks: arrow keys go from one to the next, Escape leaves.`);
    canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") { move(canvas, event); } });
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") { hideTip(); lightSoon([]); } });
    canvas.addEventListener("click", (event) => {
      const before = shown, mark = nearest(canvas, event);
      if (!mark) { leave(); return; }
      show(mark, event);
      light(armsOf(mark));
      if (mark === before) { chosen(mark); }
    });
    canvas.addEventListener("keydown", (event) => pressed(canvas, event));
    canvas.addEventListener("blur", leave);
  });
  addEventListener("scroll", () => { if (shown && !ring.hidden) { place(shown); } else if (shown) { hideTip(); } }, { passive: true, capture: true });
  document.body.append(tip, ring);
}
